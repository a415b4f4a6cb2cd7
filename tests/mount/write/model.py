"""File operations on a place and on a local directory, in any order that Hypothesis thinks of."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.mount.content import MIB, make_bytes
from tests.mount.write import pair
from tests.mount.write.pair import both
from tests.mount.write.tree import tree_of_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.mount.write.tree import Tree

FILES = ["a", "b", "d/a", "d/b", "d/e/a", "e/a"]
DIRECTORIES = ["d", "e", "d/e", "e/d"]
"""Few, so that they meet; all names are of files too, at times, because of rename."""

paths = st.sampled_from([*FILES, *FILES, *DIRECTORIES])
files = st.sampled_from(FILES)
directories = st.sampled_from(DIRECTORIES)

PART = 5 * MIB
"""The part size of the mounts of this model: the least that a store takes."""

_POOL = make_bytes(2 * MIB)

starts = st.sampled_from([0, 0, 1, 4095, 4096, 65_537, MIB, PART - 1, PART, PART + 70_001])
pieces = st.builds(
    lambda seed, length: _POOL[seed * 977 : seed * 977 + length],
    st.integers(0, 200),
    st.sampled_from([0, 1, 10, 4096, 70_000, 300_001, MIB + 1]),
)

open_flags = st.builds(
    lambda mode, *more: mode | sum(more),
    st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR]),
    st.sampled_from([0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_EXCL]),
    st.sampled_from([0, 0, os.O_TRUNC]),
    st.sampled_from([0, 0, 0, os.O_APPEND]),
)

MAX_HANDLES = 6


@dataclass(slots=True, eq=False, kw_only=True)
class Handle:
    """The same file, opened on both sides.

    Attributes:
        mounted: its descriptor in the place.
        local: its descriptor in the local directory.
    """

    mounted: int
    local: int


class FileOperations(RuleBasedStateMachine):
    """Does the same in two directories; every difference in what comes of it is an error.

    Args:
        mounted: where the directory to be tested is made.
        local: where the reference is made.
        check_published: fails unless everybody else sees this tree; is called while nothing is
            open.
    """

    def __init__(
        self, mounted: Path, local: Path, check_published: Callable[[str, Tree], None]
    ) -> None:
        super().__init__()
        self.name = uuid.uuid4().hex[:8]
        self.mounted = mounted / self.name
        self.local = local / self.name
        self.check_published = check_published
        self.handles: list[Handle] = []

    def both(self, call: Callable[..., Any], *names: str) -> Any:
        """Do something with the same paths on both sides."""
        return both(lambda root: call(*(root / name for name in names)), self.mounted, self.local)

    def on_handle(self, index: int, call: Callable[[int], Any]) -> Any:
        """Do something with one of the open files, if any is open."""
        if not self.handles:
            return None
        handle = self.handles[index % len(self.handles)]
        return both(call, handle.mounted, handle.local)

    @initialize()
    def begin(self) -> None:
        """Begin with a few files, so that not everything is ENOENT."""
        self.both(lambda root: root.mkdir(), "")
        self.both(lambda path: path.mkdir(), "d")
        self.both(lambda path: path.write_bytes(_POOL[:100_000]), "a")
        self.both(lambda path: path.write_bytes(_POOL[:3]), "d/a")

    def teardown(self) -> None:
        """Compare all that is there, here and elsewhere, once more."""
        self.close_all()
        if self.mounted.is_dir():
            self.look_from_elsewhere()

    # --- open files ------------------------------------------------------------------------

    @precondition(lambda self: len(self.handles) < MAX_HANDLES)
    @rule(path=paths, flags=open_flags)
    def open_file(self, path: str, flags: int) -> None:
        """Open, with any flags."""
        opened: list[int] = []

        def open_one(target: Path) -> str:
            opened.append(os.open(target, flags, 0o644))
            return "opened"

        expected = pair.result_of(lambda: open_one(self.local / path))
        found = pair.result_of(lambda: open_one(self.mounted / path))
        if len(opened) == 2:
            self.handles.append(Handle(local=opened[0], mounted=opened[1]))
        else:
            for descriptor in opened:
                os.close(descriptor)
        assert expected == found

    @rule(index=st.integers(0, 5), data=pieces)
    def write(self, index: int, data: bytes) -> None:
        """Write at the position, or at the end with O_APPEND."""
        self.on_handle(index, lambda descriptor: os.write(descriptor, data))

    @rule(index=st.integers(0, 5), data=pieces, start=starts)
    def write_at(self, index: int, data: bytes, start: int) -> None:
        """Write anywhere."""
        self.on_handle(index, lambda descriptor: os.pwrite(descriptor, data, start))

    @rule(index=st.integers(0, 5), size=st.sampled_from([1, 5000, MIB]))
    def read(self, index: int, size: int) -> None:
        """Read at the position."""
        self.on_handle(index, lambda descriptor: os.read(descriptor, size))

    @rule(index=st.integers(0, 5), size=st.sampled_from([1, 5000, 2 * MIB]), start=starts)
    def read_at(self, index: int, size: int, start: int) -> None:
        """Read anywhere."""
        self.on_handle(index, lambda descriptor: os.pread(descriptor, size, start))

    @rule(index=st.integers(0, 5), start=starts)
    def seek(self, index: int, start: int) -> None:
        """Move the position."""
        self.on_handle(index, lambda descriptor: os.lseek(descriptor, start, os.SEEK_SET))

    @rule(index=st.integers(0, 5))
    def seek_to_the_end(self, index: int) -> None:
        """Move the position to the end, wherever that is."""
        self.on_handle(index, lambda descriptor: os.lseek(descriptor, 0, os.SEEK_END))

    @rule(index=st.integers(0, 5), size=starts)
    def truncate_open_file(self, index: int, size: int) -> None:
        """Make an open file shorter or longer."""
        self.on_handle(index, lambda descriptor: os.ftruncate(descriptor, size))

    @rule(index=st.integers(0, 5))
    def look_at_open_file(self, index: int) -> None:
        """Kind and size by descriptor."""
        self.on_handle(index, pair.describe_descriptor)

    @rule(index=st.integers(0, 5))
    def synchronise(self, index: int) -> None:
        """Have what is written published."""
        self.on_handle(index, os.fsync)

    @rule(index=st.integers(0, 5))
    def drop_cache(self, index: int) -> None:
        """Have the kernel forget what it may."""
        self.on_handle(
            index, lambda descriptor: os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        )

    @rule(index=st.integers(0, 5))
    def close_a_duplicate(self, index: int) -> None:
        """Close another descriptor of the same open file, as a child process does."""
        self.on_handle(index, lambda descriptor: os.close(os.dup(descriptor)))

    @precondition(lambda self: self.handles)
    @rule(index=st.integers(0, 5))
    def close(self, index: int) -> None:
        """Close one."""
        handle = self.handles.pop(index % len(self.handles))
        both(os.close, handle.mounted, handle.local)

    # --- files by name ---------------------------------------------------------------------

    @rule(path=files, data=pieces)
    def write_file(self, path: str, data: bytes) -> None:
        """Write a whole file."""
        self.both(lambda target: target.write_bytes(data), path)

    @rule(path=files, data=pieces, start=starts)
    def patch_file(self, path: str, data: bytes, start: int) -> None:
        """Open, write in the middle, close."""

        def patch(target: Path) -> int:
            with target.open("r+b") as file:
                file.seek(start)
                return file.write(data)

        self.both(patch, path)

    @rule(path=files, data=pieces)
    def append_to_file(self, path: str, data: bytes) -> None:
        """Open, write at the end, close."""

        def append(target: Path) -> int:
            with target.open("ab") as file:
                return file.write(data)

        self.both(append, path)

    @rule(path=paths)
    def read_file(self, path: str) -> None:
        """Read a whole file, not from the page cache."""
        self.both(pair.read_everything, path)

    @rule(path=paths, size=starts)
    def truncate_file(self, path: str, size: int) -> None:
        """Make a file shorter or longer without opening it."""
        self.both(lambda target: os.truncate(target, size), path)

    @rule(path=files, data=pieces, start=starts)
    def change_file_by_map(self, path: str, data: bytes, start: int) -> None:
        """Write through a shared mapping."""
        self.both(lambda target: pair.change_by_map(target, start, data), path)

    @rule(old=paths, new=paths)
    def copy(self, old: str, new: str) -> None:
        """Copy with Python's library."""
        self.both(pair.copy_file, old, new)

    @rule(old=files, new=files)
    def copy_in_the_kernel(self, old: str, new: str) -> None:
        """Copy by one system call."""
        if old != new:
            self.both(pair.copy_in_the_kernel, old, new)

    @rule(path=paths)
    def unlink(self, path: str) -> None:
        """Remove a file, open or not."""
        self.both(os.unlink, path)

    @rule(old=paths, new=paths, may_replace=st.booleans())
    def rename(self, old: str, new: str, may_replace: bool) -> None:
        """Rename a file or a directory, open or not, over another or not."""
        self.both(lambda one, two: pair.rename(one, two, may_replace=may_replace), old, new)

    @rule(path=paths, mtime_ns=st.sampled_from([0, 1_700_000_000_123_456_789]))
    def set_times(self, path: str, mtime_ns: int) -> None:
        """Set the times and see them."""
        self.both(lambda target: pair.set_times(target, mtime_ns), path)

    @rule(path=paths, mode=st.sampled_from([0o600, 0o755, 0o777]))
    def set_mode(self, path: str, mode: int) -> None:
        """Set the permissions and see them."""
        self.both(lambda target: pair.set_mode(target, mode), path)

    @rule(path=paths)
    def look_at_file(self, path: str) -> None:
        """Kind and size by name."""
        self.both(pair.describe, path)

    # --- directories -----------------------------------------------------------------------

    @rule(path=directories)
    def make_directory(self, path: str) -> None:
        """Make a directory."""
        self.both(os.mkdir, path)

    @rule(path=paths)
    def remove_directory(self, path: str) -> None:
        """Remove a directory, if it is empty and is one."""
        self.both(os.rmdir, path)

    @rule(path=st.sampled_from(["", *DIRECTORIES]))
    def list_directory(self, path: str) -> None:
        """List the names."""
        self.both(pair.list_names, path)

    @rule()
    def walk(self) -> None:
        """Read everything."""
        self.both(pair.read_tree, "")

    # --- everybody else --------------------------------------------------------------------

    @precondition(lambda self: self.handles)
    @rule()
    def close_all(self) -> None:
        """Close what is open."""
        while self.handles:
            self.close(0)

    @precondition(lambda self: not self.handles)
    @rule()
    def look_from_elsewhere(self) -> None:
        """See what another mount sees."""
        self.check_published(self.name, tree_of_directory(self.local))
