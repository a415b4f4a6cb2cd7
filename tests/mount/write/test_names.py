"""Names that are made, renamed and removed: as in a local directory, and cheaply."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes, put_objects
from tests.mount.outcome import outcome_of
from tests.mount.write.counting import Counting
from tests.mount.write.pair import rename_without_replacing, result_of
from tests.mount.write.tree import list_keys, tree_of_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from tests.mount.write.conftest import Compared, Sharing, Writing
    from tests.mount.write.place import Place
    from tests.stores.proxy import Proxy

pytestmark = pytest.mark.mount

NAMES = [
    "with space", " ", "trailing ", "-rf", "*", "?", "a+b", "a%2Fb", "a&b;c", "a=b", "#", "a:b",
    "back\\slash", "quote'\"", "<xml>&amp;", "tab\there", "line\nbreak", "~", "..a", "a..", "...",
    "grüße", "gru\u0308ße", "数据", "🙂", "\u200b", "%", "%25", "x" * 255, "ü" * 127, "$(id)", "{}",
]  # fmt: skip


@pytest.fixture
def outcomes(place: Place, tmp_path: Path) -> Callable[[Callable[[Path], object]], None]:
    """Return what runs a scenario in a local directory and in the place, and compares results."""

    def compare(scenario: Callable[[Path], object]) -> None:
        local = tmp_path / "reference"
        local.mkdir()
        expected = scenario(local)
        assert expected == scenario(place.path)
        place.check_holds(tree_of_directory(local))

    return compare


def test_any_name_can_be_made_renamed_and_removed(compared: Compared) -> None:
    """What URLs, XML and shells treat specially; Unicode is not normalised."""

    def scenario(directory: Path) -> None:
        for name in NAMES:
            (directory / name).write_bytes(name.encode())
        assert set(NAMES) == set(os.listdir(directory))
        (directory / "d").mkdir()
        for name in NAMES[::2]:
            os.rename(directory / name, directory / "d" / name)
        for name in NAMES[1::4]:
            os.unlink(directory / name)
        for name in NAMES[::2]:
            assert name.encode() == (directory / "d" / name).read_bytes()

    compared(scenario)


def test_directories_may_have_any_name(compared: Compared) -> None:
    """Made, filled, renamed."""

    def scenario(directory: Path) -> None:
        for name in NAMES[::3]:
            (directory / name).mkdir()
            (directory / name / "f").write_bytes(b"content")
            os.rename(directory / name, directory / f"{name[:200]}2")

    compared(scenario)


def test_what_is_too_long_or_is_no_name_is_refused(place: Place) -> None:
    """256 bytes; a key over 1,024 bytes; what is not UTF-8. Nothing is left behind."""
    root = place.path
    assert outcome_of(lambda: (root / ("x" * 256)).write_bytes(b"")) == "ENAMETOOLONG"
    assert outcome_of(lambda: (root / ("ü" * 128)).mkdir()) == "ENAMETOOLONG"
    (root / "f").write_bytes(b"content")
    assert outcome_of(lambda: os.rename(root / "f", root / ("x" * 256))) == "ENAMETOOLONG"
    if not place.is_local:
        deep = root.joinpath(*["y" * 250] * 5)
        deep.parent.mkdir(parents=True)
        assert outcome_of(lambda: deep.write_bytes(b"")) == "ENAMETOOLONG"
        assert outcome_of(deep.mkdir) == "ENAMETOOLONG"
        assert outcome_of(lambda: os.rename(root / "f", deep)) == "ENAMETOOLONG"
        no_name = os.fsencode(root) + b"/\xff\xfe"
        assert outcome_of(lambda: os.mkdir(no_name)) in {"EILSEQ", "EINVAL"}
        assert outcome_of(lambda: os.rename(root / "f", no_name)) in {"EILSEQ", "EINVAL"}
    assert b"content" == (root / "f").read_bytes()
    place.check_holds(tree_of_directory(root))


def test_a_directory_whose_keys_would_be_too_long_is_not_renamed(place: Place) -> None:
    """The length counts that the deepest key would have."""
    if place.is_local:
        pytest.skip("has no keys")
    deep = place.path.joinpath("d", *["y" * 240] * 3)
    deep.mkdir(parents=True)
    (deep / ("z" * 240)).write_bytes(b"content")
    expected = tree_of_directory(place.path)
    target = place.path / ("t" * 250)
    assert outcome_of(lambda: os.rename(place.path / "d", target)) == "ENAMETOOLONG"
    place.check_holds(expected)


def test_names_that_are_in_the_way(outcomes: Callable[..., None]) -> None:
    """EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EINVAL: the errors of a local directory."""

    def scenario(root: Path) -> object:
        (root / "f").write_bytes(b"f")
        (root / "g").write_bytes(b"g")
        (root / "d").mkdir()
        (root / "d/x").write_bytes(b"x")
        (root / "e").mkdir()
        creating = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        return [
            result_of(call)
            for call in (
                lambda: (root / "f").mkdir(),
                lambda: (root / "d").mkdir(),
                lambda: (root / "d").rmdir(),
                lambda: (root / "f").rmdir(),
                lambda: (root / "d").unlink(),
                lambda: (root / "none").rmdir(),
                lambda: (root / "none").unlink(),
                lambda: (root / "f/x").write_bytes(b""),
                lambda: (root / "f/x").mkdir(),
                lambda: (root / "none/x").mkdir(),
                lambda: (root / "d").write_bytes(b""),
                lambda: os.close(os.open(root / "f", creating)),
                lambda: os.close(os.open(root / "d", creating)),
                lambda: os.rename(root / "f", root / "d"),
                lambda: os.rename(root / "d", root / "f"),
                lambda: os.rename(root / "e", root / "d"),
                lambda: os.rename(root / "d", root / "d/y"),
                lambda: os.rename(root / "d/x", root / "d"),
                lambda: os.rename(root / "none", root / "f"),
                lambda: os.rename(root / "f", root / "none/f"),
                lambda: os.rename(root / "f", root / "g/f"),
                lambda: rename_without_replacing(root / "f", root / "g"),
                lambda: rename_without_replacing(root / "d", root / "e"),
                lambda: rename_without_replacing(root / "f", root / "d"),
                lambda: os.rename(root / "f", root / "f"),
                lambda: os.rename(root / "d", root / "e"),  # empty: may be replaced
                lambda: rename_without_replacing(root / "f", root / "new"),
                lambda: os.listdir(root / "f"),
                lambda: sorted(os.listdir(root)),
                lambda: os.truncate(root / "e", 0),
                lambda: os.truncate(root / "g", -1),
            )
        ]

    outcomes(scenario)


def test_links_are_refused(place: Place) -> None:
    """Hard links always, the others without `--attributes=posix`; nothing is left behind."""
    if place.is_local:
        pytest.skip("has links")
    (place.path / "f").write_bytes(b"content")
    for call in (
        lambda: os.link(place.path / "f", place.path / "g"),
        lambda: os.symlink("f", place.path / "g"),
        lambda: os.mkfifo(place.path / "g"),
    ):
        assert outcome_of(call) == "EPERM"
    place.check_holds({"f": b"content"})


def test_a_file_that_was_only_created_exists(place: Place) -> None:
    """Also one that nothing can be written to, and one that is made by ``mknod``."""
    creating = os.O_CREAT | os.O_EXCL
    os.close(os.open(place.path / "a", creating | os.O_RDONLY))
    os.close(os.open(place.path / "b", creating | os.O_WRONLY))
    os.mknod(place.path / "c")
    place.check_holds({"a": b"", "b": b"", "c": b""})


def test_an_open_file_follows_its_renames(compared: Compared) -> None:
    """Written before and after; its directory is renamed too; the other side is open as well."""

    def scenario(root: Path) -> None:
        (root / "d").mkdir()
        (root / "target").write_bytes(b"old target")
        with (root / "d/f").open("w+b", buffering=0) as file, (root / "target").open("r+b") as old:
            file.write(b"one")
            os.rename(root / "d/f", root / "d/g")
            file.write(b"two")
            os.rename(root / "d", root / "e")
            file.write(b"three")
            os.rename(root / "e/g", root / "target")
            file.write(b"four")
            assert b"onetwothreefour" == (root / "target").read_bytes()
            assert b"old target" == old.read()
            old.write(b" goes on")
            old.seek(0)
            assert b"old target goes on" == old.read()
            os.fsync(old.fileno())
        assert b"onetwothreefour" == (root / "target").read_bytes()

    compared(scenario)


def test_an_unlinked_file_lives_on_through_its_handles(compared: Compared) -> None:
    """It is read and written, and does not come back when it is closed."""

    def scenario(root: Path) -> None:
        (root / "f").write_bytes(make_bytes(300_000))
        with (root / "f").open("r+b", buffering=0) as file:
            os.unlink(root / "f")
            assert not (root / "f").exists()
            assert make_bytes(300_000) == os.pread(file.fileno(), 300_000, 0)
            os.pwrite(file.fileno(), b"new", 100)
            os.ftruncate(file.fileno(), 1000)
            os.fsync(file.fileno())
            assert b"new" == os.pread(file.fileno(), 3, 100)
            assert 1000 == os.fstat(file.fileno()).st_size
            (root / "f").write_bytes(b"another")
            os.pwrite(file.fileno(), b"newer", 100)
        assert b"another" == (root / "f").read_bytes()

    compared(scenario)


def test_a_removed_directory_can_be_made_again(compared: Compared) -> None:
    """Many times, and with other things in it."""

    def scenario(root: Path) -> None:
        for number in range(4):
            (root / "d/e").mkdir(parents=True)
            (root / f"d/e/{number}").write_bytes(b"%d" % number)
            assert [f"{number}"] == os.listdir(root / "d/e")
            if number < 3:
                os.unlink(root / f"d/e/{number}")
                os.removedirs(root / "d/e") if number == 3 else os.rmdir(root / "d/e")
                os.rmdir(root / "d")

    compared(scenario)


def test_a_directory_stays_when_its_last_file_goes(sharing: Sharing) -> None:
    """It had no marker: another client made it by its file alone. The next mount sees it too."""
    mount = sharing(objects={"d/f": b"content"})
    os.unlink(mount.path / "d/f")
    assert [] == os.listdir(mount.path / "d")
    mount.check_holds({"d": None})


def test_renaming_a_large_file_copies_it_in_the_store(sharing: Sharing, proxy: Proxy) -> None:
    """Not a byte of it comes here."""
    mount = sharing(objects={"f": make_bytes(40 * MIB)})
    assert 40 * MIB == (mount.path / "f").stat().st_size
    requests = Counting(proxy, mount)
    mark = requests.mark()
    os.rename(mount.path / "f", mount.path / "g")
    assert "GET" not in requests.count(since=mark)
    mount.check_holds({"g": make_bytes(40 * MIB)})


def test_a_mount_of_a_prefix_writes_below_it(s3: S3Client, bucket: str, writing: Writing) -> None:
    """And touches nothing beside it."""
    put_objects(s3, bucket, {"team/a": b"a", "team2/b": b"b", "c": b"c"})
    mount = writing(prefix="team/")
    (mount.path / "d").mkdir()
    (mount.path / "d/f").write_bytes(b"f")
    os.rename(mount.path / "a", mount.path / "d/a")
    os.rename(mount.path / "d", mount.path / "e")
    mount.check_holds({"e": None, "e/f": b"f", "e/a": b"a"})
    assert {"team2/b", "c"} == {k for k in list_keys(s3, bucket) if not k.startswith("team/")}


def test_the_control_directory_cannot_be_changed(writing: Writing) -> None:
    """Nobody can make, remove or replace it."""
    mount = writing()
    (mount.path / "f").write_bytes(b"content")
    refusals = {"EEXIST", "EPERM", "EACCES", "EROFS", "ENOTEMPTY", "EISDIR", "EBUSY"}
    for call in (
        lambda: os.mkdir(mount.path / ".mountfs"),
        lambda: os.rmdir(mount.path / ".mountfs"),
        lambda: os.rename(mount.path / "f", mount.path / ".mountfs"),
        lambda: os.rename(mount.path / ".mountfs", mount.path / "g"),
        lambda: os.unlink(mount.path / ".mountfs/stats"),
        lambda: os.rename(mount.path / "f", mount.path / ".mountfs/stats"),
        lambda: (mount.path / ".mountfs/new").write_bytes(b""),
        lambda: (mount.path / ".mountfs/new").mkdir(),
    ):
        assert outcome_of(call) in refusals
    mount.check_holds({"f": b"content"})
