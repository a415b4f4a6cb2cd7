"""What no program sees of a mount: whether anything is left of what has ended, and its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mountfs.data.budget import Budget
    from mountfs.vfs.assembly import Vfs
    from mountfs.vfs.committing import Committer
    from mountfs.vfs.written_file import WrittenFile


def written_files(vfs: Vfs) -> dict[int, WrittenFile]:
    """Return what is known of files that were written to, by inode number."""
    return _committer(vfs).files


def journalled_files(vfs: Vfs) -> dict[int, WrittenFile]:
    """Return the files whose uploads are awaited, by the numbers that the journal gave them."""
    journalling = _committer(vfs).journalling
    assert journalling is not None, "it is mounted with --write-back"
    return journalling._uploads.files


def budget_of(vfs: Vfs) -> Budget:
    """Return the memory for data of all files."""
    return vfs.filesystem._blocks.budget


def _committer(vfs: Vfs) -> Committer:
    assert vfs.changes is not None, "it is mounted read-write"
    return vfs.changes._committer
