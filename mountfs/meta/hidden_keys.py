"""Keys that cannot be shown as paths, or lie where the control directory is."""

from __future__ import annotations

import logging

from mountfs.keys import CONTROL_NAME, decode_name

log = logging.getLogger(__name__)


class HiddenKeys:
    """Counts the keys that answers held and the tree does not show, and says so once.

    Attributes:
        count: entries left out of answers so far; a refresh counts them again.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def add(self, key: str) -> None:
        """Count *key*."""
        self.count += 1
        if self.count == 1:
            log.warning(
                "keys with an empty part, '.', '..', a NUL or a part over 255 bytes are hidden, "
                "and %s at the root; the first is %s",
                decode_name(CONTROL_NAME),
                ascii(key),
            )
