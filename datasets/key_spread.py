"""Where in a bucket the files of the ranks go: a store scales with the prefixes of its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

DIGITS = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class KeySpread:
    """A directory for each rank, from a list that is dealt out in turn.

    Directories are told apart by their first characters, by which a store divides its keys among
    its servers: numbers are written with their lowest digit first.

    Attributes:
        directories: Relative paths.
    """

    directories: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.directories:
            raise ValueError("no directories to spread the files over")
        for directory in self.directories:
            if {"", ".", ".."} & {*directory.split("/")}:
                raise ValueError(f"{directory!r} is no relative path of a directory")

    @classmethod
    def round_robin(cls, directories: Iterable[str]) -> Self:
        """Deal out these directories."""
        return cls(tuple(directory.strip("/") for directory in directories))

    @classmethod
    def numeric(cls, count: int, *, digits: int = 0) -> Self:
        """Deal out *count* directories with decimal names of at least so many digits."""
        return cls._of_base(10, count, digits)

    @classmethod
    def binary(cls, count: int, *, digits: int = 0) -> Self:
        """Deal out *count* directories with binary names of at least so many digits."""
        return cls._of_base(2, count, digits)

    @classmethod
    def hexadecimal(cls, count: int, *, digits: int = 0) -> Self:
        """Deal out *count* directories with hexadecimal names of at least so many digits."""
        return cls._of_base(16, count, digits)

    def directory_of(self, rank: int) -> str:
        """Return where the files of a rank go."""
        return self.directories[rank % len(self.directories)]

    @classmethod
    def _of_base(cls, base: int, count: int, digits: int) -> Self:
        width = digits
        while base**width < count:
            width += 1
        return cls(tuple(_digits_of(number, base, max(width, 1)) for number in range(count)))


def _digits_of(number: int, base: int, width: int) -> str:
    """Return *width* digits, lowest first."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, base)
        digits.append(DIGITS[digit])
    return "".join(digits)
