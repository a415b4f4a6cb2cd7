"""What the kernel calls a handle, if it may write."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mountfs.vfs.written_file import WrittenFile


class WriteHandle:
    """One open file description that may write, or that has created its file.

    Attributes:
        file: what it writes to.
        is_write_only: it cannot read.
    """

    __slots__ = ("file", "is_write_only")

    def __init__(self, file: WrittenFile, *, is_write_only: bool) -> None:
        self.file = file
        self.is_write_only = is_write_only
