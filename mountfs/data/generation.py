"""What one close made durable on the local disk: the value that the journal keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mountfs.objects import ObjectHeaders, ObjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One dirty generation of a file: what the object is to become.

    What lies in none of the extents comes from the base, up to `base_bytes`, and is zeros behind.

    Attributes:
        key: of the object.
        size_bytes: of the object.
        headers: of the object.
        extents: the ranges ``[start, stop)`` that are stored here, in order, apart from each other.
        expected_etag: what the key holds as far as we know: "" nothing, None unknown. A replay
            finds out with it whether somebody else has written meanwhile.
        base: the version that the bytes outside of the extents come from; None if there is none.
        base_bytes: how much of the base is still visible.
    """

    key: str
    size_bytes: int
    headers: ObjectHeaders
    extents: tuple[tuple[int, int], ...]
    expected_etag: str | None = None
    base: ObjectId | None = None
    base_bytes: int = 0

    @property
    def stored_bytes(self) -> int:
        """How much of it is stored here."""
        return sum(stop - start for start, stop in self.extents)
