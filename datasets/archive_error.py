"""What is wrong with an archive, as an `OSError` that names the file and the member."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ArchiveError(OSError):
    """An archive that is damaged, cut short, or of a kind that is refused.

    Its `errno` is ``EBADMSG`` for damage and ``ENOTSUP`` for what is refused, its `filename` the
    archive. Can be made of a single text and pickled, as the workers of a DataLoader need it.

    Attributes:
        member: the member that cannot be read, or the last one before the damage; None if there is
            none.
    """

    member: str | None = None


def damaged(
    path: str, problem: str, member: str | None = None, *, where: str = "in"
) -> ArchiveError:
    """Return the error for an archive that is not what its format demands.

    Args:
        path: the archive.
        problem: what is wrong, the start of a sentence.
        member: the member that is damaged, or that is nearest to the damage.
        where: how the damage lies to the member: ``in`` or ``after``.
    """
    return _make(errno.EBADMSG, path, problem, member, where)


def refused(path: str, problem: str, member: str | None = None) -> ArchiveError:
    """Return the error for an archive that may be sound, but uses what is not supported."""
    return _make(errno.ENOTSUP, path, problem, member, "in")


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Give each `OSError` that the system raises inside the name of the file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = path
        raise


def _make(number: int, path: str, problem: str, member: str | None, where: str) -> ArchiveError:
    text = problem if member is None else f"{problem}, {where} member {member!r}"
    error = ArchiveError(number, text, path)
    error.member = member
    return error
