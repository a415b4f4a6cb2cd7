"""What comes of a system call."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def outcome_of(call: Callable[[], object]) -> str:
    """Return ``done``, or the name of the errno with which *call* failed."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"
