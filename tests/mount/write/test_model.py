"""The mount against a local directory, over all operations on files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.mount.write.model import FileOperations
from tests.mount.write.place import FRESH, SMALL_STEPS
from tests.mount.write.tree import describe_difference, tree_of_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.mount.write.conftest import Sharing, Writing
    from tests.mount.write.place import MountedPlace, WritableMount
    from tests.mount.write.tree import Tree

pytestmark = pytest.mark.mount


def check_model(
    machine: Callable[[], FileOperations], *, examples: int, steps: int, is_random: bool = False
) -> None:
    """Run *machine*; the same way each time unless *is_random*."""
    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # a factory will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=not is_random,
            database=None,
            deadline=None,
            print_blob=is_random,
            suppress_health_check=list(HealthCheck),
        ),
    )


def seen_from(mount: MountedPlace, other: MountedPlace) -> Callable[[str, Tree], None]:
    """Return what checks a directory as the bucket has it, and as another mount shows it."""

    def check(name: str, expected: Tree) -> None:
        mount.within.check_directory_holds(f"{mount.name}/{name}", expected)
        difference = describe_difference(expected, tree_of_directory(other.path / name))
        assert difference == "", f"through another mount:\n{difference}"

    return check


def check_against_local(
    sharing: Sharing, local: Path, *, examples: int, steps: int, is_random: bool = False
) -> None:
    """Compare a mount with a local directory, and with another mount of the same bucket."""
    mount = sharing(*SMALL_STEPS)
    other = sharing(*FRESH)
    local.mkdir()
    check = seen_from(mount, other)
    check_model(
        lambda: FileOperations(mount.path, local, check),
        examples=examples,
        steps=steps,
        is_random=is_random,
    )


class WithRemounts(FileOperations):
    """Ends the mount and begins it again in between.

    Args:
        mount: what is tested.
        local: where the reference is made.
    """

    def __init__(self, mount: WritableMount, local: Path) -> None:
        super().__init__(mount.path, local, mount.check_directory_holds)
        self.mount = mount

    @rule()
    def remount(self) -> None:
        """All that was written is there afterwards."""
        self.close_all()
        self.mount.remount()
        self.walk()


def test_the_mount_does_what_a_local_directory_does(sharing: Sharing, tmp_path: Path) -> None:
    """Results, errors, contents; and another mount sees what was closed."""
    check_against_local(sharing, tmp_path / "local", examples=6, steps=40)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_mount_does_what_a_local_directory_does_for_long(
    sharing: Sharing, tmp_path: Path
) -> None:
    """The same, for long."""
    check_against_local(sharing, tmp_path / "local", examples=400, steps=50, is_random=True)


def test_a_remount_loses_nothing(writing: Writing, tmp_path: Path) -> None:
    """Whatever was done before it."""
    (tmp_path / "local").mkdir()
    mount = writing(*SMALL_STEPS)
    check_model(lambda: WithRemounts(mount, tmp_path / "local"), examples=2, steps=30)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_remounts_lose_nothing(writing: Writing, tmp_path: Path) -> None:
    """The same, for long."""
    (tmp_path / "local").mkdir()
    mount = writing(*SMALL_STEPS)
    check_model(
        lambda: WithRemounts(mount, tmp_path / "local"), examples=60, steps=50, is_random=True
    )
