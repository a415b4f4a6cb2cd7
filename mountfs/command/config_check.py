"""Values of options that are allowed by themselves and do not go together."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mountfs.errors import UsageError

if TYPE_CHECKING:
    from mountfs.command.config import MountConfig

MIN_PART_BYTES = 64 * 1024
"""Smaller requests cost more than they carry."""

MIN_PARTS_IN_MEMORY = 4
"""One part that is read and one that comes, for each of two readers; less has no overlap."""

KMS = ("aws:kms", "aws:kms:dsse")
"""The values of ``--sse`` that take a key."""


def check_config(config: MountConfig) -> MountConfig:
    """Return *config* with what its values imply.

    Raises:
        UsageError: it cannot work; the message names the option, the value and the remedy.
    """
    config = _imply_read_only(config)
    _check_memory(config)
    _check_store(config)
    _check_paths(config)
    return config


def _imply_read_only(config: MountConfig) -> MountConfig:
    """Refuse what contradicts ``--read-only``, which ``--version-at`` implies."""
    cause = config.origins.get("read-only", "--read-only")
    if config.version_at_ns is not None:
        cause = config.origins["version-at"]
        if not config.read_only and "read-only" in config.origins:
            raise UsageError(
                f"{cause} and {config.origins['read-only']} exclude each other: "
                "the past cannot be changed; leave one of them out"
            )
        if not config.read_only:
            origins = {**config.origins, "read-only": f"implied by {cause}"}
            config = replace(config, read_only=True, origins=origins)
    if config.read_only and config.write.write_back:
        raise UsageError(
            f"{cause} and {config.origins['write-back']} exclude each other: "
            "nothing is written through a read-only mount; leave one out, or say --no-write-back"
        )
    return config


def _check_memory(config: MountConfig) -> None:
    part_bytes = config.store.part_size_bytes
    if part_bytes < MIN_PART_BYTES:
        raise UsageError(
            f"{config.origins['part-size']}: {part_bytes} bytes are too few; "
            f"allowed is {MIN_PART_BYTES // 1024}K and more"
        )
    least = MIN_PARTS_IN_MEMORY * part_bytes
    if config.read.memory_limit_bytes < least:
        origin = config.origins.get("memory-limit", "the default of --memory-limit")
        raise UsageError(
            f"{origin}: {config.read.memory_limit_bytes} bytes are too few; allowed is "
            f"{MIN_PARTS_IN_MEMORY} times --part-size and more, here {least // 1024}K"
        )


def _check_store(config: MountConfig) -> None:
    store, origins = config.store, config.origins
    if not store.sign_requests and store.profile is not None:
        raise UsageError(
            f"{origins['sign-request']} and {origins['profile']} exclude each other: "
            "a request without signature has no profile"
        )
    if store.sse_kms_key_id and store.sse not in KMS:
        given = f"{origins['sse']} is {store.sse!r}" if store.sse else "--sse is not given"
        raise UsageError(
            f"{origins['sse-kms-key-id']}: {store.sse_kms_key_id!r} needs --sse {' or '.join(KMS)},"
            f" and {given}"
        )


def _check_paths(config: MountConfig) -> None:
    if config.log.file is not None and Path(config.log.file).is_relative_to(config.mountpoint):
        raise UsageError(
            f"{config.origins['log-file']}: {config.log.file!r} lies inside of the mountpoint; "
            "choose a file outside of it"
        )
    cache_dir = config.write.cache_dir
    if not config.read_only and _is_inside(cache_dir, config.mountpoint):
        origin = config.origins.get("cache-dir", "the default of --cache-dir")
        raise UsageError(
            f"{origin}: {cache_dir!r} lies inside of the mountpoint; "
            "choose a directory on a local disk"
        )


def _is_inside(path: str, mountpoint: str) -> bool:
    return any(Path(way).is_relative_to(mountpoint) for way in (path, os.path.realpath(path)))
