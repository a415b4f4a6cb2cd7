"""Every error has an exit code, and the numbers do not change."""

from __future__ import annotations

import pytest

from mountfs import errors
from mountfs.command.exit_code import MEANINGS, ExitCode, exit_code_of
from mountfs.command.mount import root_cause
from mountfs.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    BusyError,
    CredentialsError,
    DeadlineError,
    MountError,
    MountfsError,
    NotPublishedError,
    RequestRejectedError,
    UsageError,
    WrongRegionError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError(), 1),
        (UsageError(), 2),
        (BucketNotFoundError(""), 3),
        (AccessDeniedError(""), 4),
        (CredentialsError(""), 5),
        (WrongRegionError(""), 6),
        (DeadlineError(""), 7),
        (RequestRejectedError(""), 7),
        (MountError(), 8),
        (BusyError(), 9),
        (NotPublishedError(), 10),
    ],
)
def test_an_error_has_this_code(error: Exception, code: int) -> None:
    """Scripts depend on it."""
    assert code == exit_code_of(error)


def test_no_error_of_ours_counts_as_internal() -> None:
    """A new class in the tree needs a row in the table."""
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    ours = [cls for cls in found if issubclass(cls, MountfsError) and cls is not MountfsError]
    assert len(ours) > 10
    assert all(exit_code_of(cls("")) is not ExitCode.INTERNAL for cls in ours)


def test_every_code_is_explained() -> None:
    """``--help`` lists them all."""
    assert set(ExitCode) == set(MEANINGS)


def test_of_a_group_the_bug_is_reported_else_the_first_error() -> None:
    """An error that follows from a bug says little."""
    usage, bug = UsageError("usage"), RuntimeError("bug")
    assert usage is root_cause(usage)
    assert usage is root_cause(ExceptionGroup("", [ExceptionGroup("", [usage])]))
    assert bug is root_cause(ExceptionGroup("", [usage, ExceptionGroup("", [bug])]))
