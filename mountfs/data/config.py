"""How much memory reading may use."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfig:
    """How data is read.

    Attributes:
        memory_limit_bytes: for all object data that the mount holds.
        max_read_ahead_bytes: how far one sequential reader is read ahead at most.
    """

    memory_limit_bytes: int = 1024 * MIB
    max_read_ahead_bytes: int = 64 * MIB
