"""How data is read and written: memory, staging, and what a publish does about others' changes."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadConfig:
    """How data is read.

    Attributes:
        memory_limit_bytes: for all object data that the mount holds.
        max_read_ahead_bytes: how far one sequential reader is read ahead at most; twice as far
            where the files of a directory are read to their end, one after another.
    """

    memory_limit_bytes: int = 1024 * MIB
    max_read_ahead_bytes: int = 64 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteConfig:
    """How data is written.

    Attributes:
        cache_dir: the staging directory, an absolute path: what does not fit into memory, and in
            write-back mode everything that was closed and is not uploaded yet.
        write_back: `close` returns when the data is safe in the staging directory; otherwise when
            the store has it.
        warn_after_seconds: in write-back mode, what waits longer than that for its upload is
            reported loudly.
        conflict: what a publish does when somebody else has changed the object meanwhile:
            ``overwrite`` it, or ``fail`` and keep the data here.
        rename_dir_limit: objects that the rename of one directory may copy at most.
    """

    cache_dir: str = "/var/lib/mountfs"
    write_back: bool = False
    warn_after_seconds: float = 300.0
    conflict: str = "overwrite"
    rename_dir_limit: int = 100_000
