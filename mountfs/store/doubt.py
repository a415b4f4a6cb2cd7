"""Whether a change that is asked for again may have been made the first time.

When an answer is lost, the store may have done what it was asked. Repeating that is harmless, but a
repeated *conditional* change is refused by its own first attempt, and an upload that was completed
cannot be completed again. Then somebody has to look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from mountfs.errors import ConflictError, StoreError, StoreUnavailableError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_Answer = TypeVar("_Answer")


class Doubt:
    """Watches the attempts at one change.

    Attributes:
        is_left: an attempt that ended before the last one may have made the change.
    """

    __slots__ = ("is_left",)

    def __init__(self) -> None:
        self.is_left = False

    async def watch(self, attempt: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Run one attempt.

        Raises:
            StoreError: as *attempt* does.

        Cancellation: leaves the doubt: that is how `Retry` cuts off an attempt that hangs.
        """
        before, self.is_left = self.is_left, True
        try:
            return await attempt()
        except StoreError as error:
            if _is_refusal(error):
                self.is_left = before
            error.may_have_landed = self.is_left
            raise


def _is_refusal(error: StoreError) -> bool:
    """Tell whether the store surely did nothing."""
    # "Slow down" is said at the door. A proxy that says it has not passed the request on.
    return not isinstance(error, StoreUnavailableError) or isinstance(
        error, ThrottledError | ConflictError
    )
