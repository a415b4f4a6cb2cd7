from __future__ import annotations

import os
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mountfs.datasets import save_attempt
from mountfs.datasets.checkpoint_record import CheckpointRecord
from mountfs.datasets.checkpoints import Checkpoints
from tests.datasets.conftest import MOUNT, new_directory

if TYPE_CHECKING:
    from pathlib import Path


def state_of(step: int) -> dict[str, Any]:
    """Return something to save that tells the step."""
    return {"weight": torch.full((100,), float(step)), "step": step}


@pytest.fixture(params=["renamed", "in place", pytest.param("mount", marks=MOUNT)])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory, which is also taken for one on a mount, and one that is."""
    if request.param == "mount":
        return new_directory(request, "mount") / "run"
    monkeypatch.setattr(save_attempt, "is_on_mount", lambda path: request.param == "in place")
    return tmp_path / "run"


def test_the_latest_is_loaded(root: Path) -> None:
    """By default; others by their step."""
    checkpoints = Checkpoints(root)
    for step in (10, 5, 200):
        checkpoints.save(state_of(step), step)
    assert [5, 10, 200] == checkpoints.steps()
    assert 200 == checkpoints.load()["step"]
    assert 5 == checkpoints.load(5)["step"]
    assert torch.equal(state_of(10)["weight"], checkpoints.load(10, mmap=True)["weight"])


def test_nothing_else_is_left_in_the_directory(root: Path) -> None:
    """A file or directory and its record for each step."""
    checkpoints = Checkpoints(root)
    checkpoints.save(state_of(1), 1)
    with checkpoints.directory(2) as path:
        save_file({"w": state_of(2)["weight"]}, f"{path}/a.safetensors")
    names = {"step-00000001.json", "step-00000001.pt", "step-00000002", "step-00000002.json"}
    assert names == {*os.listdir(root)}


def test_where_nothing_was_saved_nothing_is_found(root: Path) -> None:
    """Looking makes no directory, and loading says what is missing and where."""
    checkpoints = Checkpoints(root, best=("loss", "min"))
    assert (None, None, None, []) == (
        checkpoints.latest(), checkpoints.best(), checkpoints.at(3), checkpoints.steps(),
    )  # fmt: skip
    assert not root.exists()
    with pytest.raises(FileNotFoundError, match=r"no complete checkpoint 'latest'.*run"):
        checkpoints.load()


def test_the_newest_stay_and_the_best(root: Path) -> None:
    """The best is never removed, and replaced as the best by a better one only."""
    checkpoints = Checkpoints(root, keep=2, best=("loss", "min"))
    losses = {1: 3.0, 2: 1.0, 3: 2.0, 4: float("nan"), 5: 1.5}
    for step, loss in losses.items():
        checkpoints.save(state_of(step), step, metrics={"loss": loss})
    assert [2, 4, 5] == checkpoints.steps()
    assert 2 == checkpoints.load("best")["step"]
    checkpoints.save(state_of(6), 6, metrics={"loss": 0.5})
    assert [5, 6] == checkpoints.steps()
    assert {"loss": 0.5} == checkpoints.best().metrics  # type: ignore[union-attr]
    assert 4 == len(os.listdir(root))


def test_the_best_may_be_the_highest(root: Path) -> None:
    """The direction decides; who has not said what is best cannot ask."""
    checkpoints = Checkpoints(root, best=("accuracy", "max"))
    for step, accuracy in enumerate((0.1, 0.9, 0.9, 0.5)):
        checkpoints.save(state_of(step), step, metrics={"accuracy": accuracy})
    checkpoints.save(state_of(9), 9)
    assert 1 == checkpoints.best().step  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="best="):
        Checkpoints(root).best()


def test_what_was_just_saved_stays_whatever_its_step(root: Path) -> None:
    """A training that goes on from an old step must not lose what it saves."""
    checkpoints = Checkpoints(root, keep=1)
    checkpoints.save(state_of(30), 30)
    checkpoints.save(state_of(10), 10)
    assert [10, 30] == checkpoints.steps()


def test_saving_a_step_again_replaces_it(root: Path) -> None:
    """From one moment to the next, also when it becomes a directory."""
    checkpoints = Checkpoints(root)
    checkpoints.save(state_of(1), 7)
    checkpoints.save(state_of(2), 7)
    assert 2 == checkpoints.load(7)["step"]
    with checkpoints.directory(7) as path:
        save_file({"w": torch.zeros(3)}, f"{path}/w.safetensors")
    assert 2 == len(os.listdir(root))
    with pytest.raises(IsADirectoryError, match="load_sharded"):
        checkpoints.load()
    record = checkpoints.latest()
    assert record is not None
    assert torch.equal(torch.zeros(3), load_file(f"{record.path}/w.safetensors")["w"])


def write_half(path: str) -> None:
    """Do as a program does that fails while it writes."""
    with open(f"{path}/half", "wb") as file:
        file.write(b"x")
    raise KeyError


def test_a_save_that_fails_changes_nothing(root: Path) -> None:
    """The step keeps what it had, and nothing is left of the attempt."""
    checkpoints = Checkpoints(root)
    checkpoints.save(state_of(1), 7)
    before = {*os.listdir(root)}
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        checkpoints.save({"no": threading.Lock()}, 7)
    with pytest.raises(KeyError), checkpoints.directory(7) as path:
        write_half(path)
    assert before == {*os.listdir(root)}
    assert 1 == checkpoints.load(7)["step"]


@pytest.mark.parametrize("damage", ["truncate", "remove", "record"])
def test_one_that_is_not_complete_is_skipped(
    root: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Loading takes the one before, and the log says what is wrong with the newer one."""
    checkpoints = Checkpoints(root)
    checkpoints.save(state_of(1), 1)
    checkpoints.save(state_of(2), 2)
    if damage == "truncate":
        os.truncate(root / "step-00000002.pt", 10)
    elif damage == "remove":
        os.unlink(root / "step-00000002.pt")
    else:
        (root / "step-00000002.json").write_text('{"format": 1, "name"')
    assert 1 == checkpoints.load()["step"]
    assert [1] == checkpoints.steps()
    assert "step-00000002" in caplog.text
    with pytest.raises(FileNotFoundError, match="no complete checkpoint 2"):
        checkpoints.load(2)


def test_a_file_that_a_directory_lacks_makes_it_incomplete(root: Path) -> None:
    """Every file counts, at any depth."""
    checkpoints = Checkpoints(root)
    with checkpoints.directory(1) as path:
        os.makedirs(f"{path}/a/b")
        for name in ("a/b/1", "a/2"):
            with open(f"{path}/{name}", "wb") as file:
                file.write(b"12345")
    record = checkpoints.latest()
    assert record is not None
    assert {"a/b/1": 5, "a/2": 5} == record.sizes_bytes
    os.unlink(f"{record.path}/a/b/1")
    assert checkpoints.latest() is None


def test_a_name_that_leads_elsewhere_is_no_record(root: Path) -> None:
    """Or pruning could remove what a manipulated record points to."""
    root.mkdir()
    text = '{"format": 1, "step": 1, "name": "../x", "metrics": {}, "sizes_bytes": {}}'
    (root / "step-00000001.json").write_text(text)
    assert [] == Checkpoints(root).steps()


def kill_while_saving(root: Path, kind: str) -> None:
    """Let a child process die in the middle of a save."""
    child = os.fork()
    if child == 0:

        class Fatal:
            def __reduce__(self) -> Any:
                os._exit(9)

        checkpoints = Checkpoints(root)
        if kind == "file":
            checkpoints.save({"big": torch.zeros(1000), "fatal": Fatal()}, 2)
        else:
            with checkpoints.directory(2) as path, open(f"{path}/half", "wb") as file:
                file.write(b"x" * 1000)
                file.flush()
                os._exit(9)
        os._exit(1)
    assert 9 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_a_killed_training_leaves_is_skipped_and_removed_by_the_next(
    root: Path, kind: str
) -> None:
    """Somebody's own files in the directory stay, whatever they are called."""
    Checkpoints(root).save(state_of(1), 1)
    kill_while_saving(root, kind)
    (root / "step-00000099.pt").write_bytes(b"somebody's")
    assert 5 == len(os.listdir(root))  # one file or directory, and what marks it, more
    checkpoints = Checkpoints(root)
    assert 1 == checkpoints.load()["step"]
    checkpoints.save(state_of(3), 3)
    expected = {f"step-0000000{step}.{kind}" for step in (1, 3) for kind in ("pt", "json")}
    assert expected | {"step-00000099.pt"} == {*os.listdir(root)}


def test_saving_in_the_background_saves_what_the_state_was(root: Path) -> None:
    """The training changes its tensors in place while the save goes on."""
    checkpoints = Checkpoints(root)
    weight = torch.zeros(1000)
    state = {"weight": weight, "view": weight[10:20], "step": 1}
    for step in (1, 2):
        checkpoints.save_async(state, step)
        weight += 1
        state["step"] = step + 1
    checkpoints.wait()
    checkpoints.wait()
    for step in (1, 2):
        loaded = checkpoints.load(step)
        assert step == loaded["step"]
        assert torch.equal(torch.full((1000,), step - 1.0), loaded["weight"])
        loaded["weight"] += 1  # shared storages stay shared
        assert torch.equal(torch.full((10,), float(step)), loaded["view"])


class Failing:
    """Makes the disk refuse to publish."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def begin(self) -> None:
        """Fail from now on."""

        def fail(record: CheckpointRecord) -> None:
            raise OSError(28, "No space left on device")

        self._patch.setattr(CheckpointRecord, "write", fail)


@pytest.mark.parametrize("report", ["wait", "save", "save_async", "load"])
def test_an_error_of_the_background_is_reported_once(
    root: Path, report: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By wait or by the next save or load, whichever comes first; at once in the log."""
    checkpoints = Checkpoints(root)
    checkpoints.save(state_of(1), 1)
    with monkeypatch.context() as context:
        Failing(context).begin()
        checkpoints.save_async(state_of(2), 2)
        arguments = {"save": (state_of(3), 3), "save_async": (state_of(3), 3)}.get(report, ())
        with pytest.raises(OSError, match="No space left"):
            getattr(checkpoints, report)(*arguments)
    assert "could not be saved" in caplog.text
    checkpoints.wait()
    assert [1] == checkpoints.steps()
    checkpoints.save(state_of(4), 4)
    assert [1, 4] == checkpoints.steps()


def test_a_state_that_cannot_be_saved_is_an_error_at_once(root: Path) -> None:
    """Not only when somebody waits: it is copied before save_async returns."""
    checkpoints = Checkpoints(root)
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        checkpoints.save_async({"no": threading.Lock()}, 1)
    with pytest.raises(ValueError, match="step=-1"):
        checkpoints.save_async({}, -1)
    checkpoints.wait()


def test_a_forked_process_does_not_wait_for_its_parents_save(root: Path) -> None:
    """No thread survives a fork; the child may load, and the parent's save goes on."""
    checkpoints = Checkpoints(root)
    checkpoints.save(state_of(1), 1)
    checkpoints.save_async(state_of(2), 2)
    child = os.fork()
    if child == 0:
        checkpoints.wait()
        os._exit(0 if checkpoints.load(1)["step"] == 1 else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    checkpoints.wait()
    assert [1, 2] == checkpoints.steps()


def test_it_can_be_pickled(root: Path) -> None:
    """Also with a save under way, which stays with the original."""
    checkpoints = Checkpoints(root, keep=1, best=("loss", "min"))
    checkpoints.save_async(state_of(1), 1, metrics={"loss": 1})
    copy = pickle.loads(pickle.dumps(checkpoints))
    checkpoints.wait()
    assert 1 == copy.load("best")["step"]


def test_failing_to_remove_an_old_one_is_no_failure_of_the_save(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, and the next save tries again."""
    checkpoints = Checkpoints(root, keep=1)
    checkpoints.save(state_of(1), 1)
    with monkeypatch.context() as context:
        context.setattr("mountfs.datasets.checkpoints.remove_checkpoint", refuse)
        checkpoints.save(state_of(2), 2)
    assert "could not be removed" in caplog.text
    assert [1, 2] == checkpoints.steps()
    checkpoints.save(state_of(3), 3)
    assert [3] == checkpoints.steps()


def refuse(*_: object, **__: object) -> None:
    """Fail as a directory does that belongs to somebody else."""
    raise PermissionError(13, "Permission denied")


def test_several_processes_that_do_not_know_each_other_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would take itself for the only one that saves."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="init_process_group"):
        Checkpoints(root).save(state_of(1), 1)


@pytest.mark.parametrize(
    "options", [{"keep": 0}, {"best": ("loss", "smallest")}, {"best": "loss"}], ids=str
)
def test_nonsense_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    """When it is said, not at the first save."""
    with pytest.raises(ValueError, match=r"keep=|best="):
        Checkpoints(tmp_path, **options)
