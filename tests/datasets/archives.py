"""Makes archives with the standard library, and reads them with what is tested."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

from mountfs.datasets.archive import members
from mountfs.datasets.archive_error import ArchiveError
from mountfs.datasets.member_content import HELD_BYTES_MAX
from mountfs.datasets.tar_stream import stream_tar
from mountfs.datasets.zip_stream import stream_zip

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMATS = {
    "ustar": tarfile.USTAR_FORMAT,
    "gnu": tarfile.GNU_FORMAT,
    "pax": tarfile.PAX_FORMAT,
}


def tar_bytes(
    files: Mapping[str, bytes], *, kind: int = tarfile.PAX_FORMAT, mtime: float = 0
) -> bytes:
    """Return a tar archive of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), mtime
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write_tar(path: Path, files: Mapping[str, bytes], *, kind: int = tarfile.PAX_FORMAT) -> str:
    """Write a tar archive of these files; return its path."""
    path.write_bytes(tar_bytes(files, kind=kind))
    return str(path)


def write_zip(path: Path, files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> str:
    """Write a zip archive of these files; return its path."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def read_members(path: str, *, start: int = 0) -> list[tuple[str, bytes]]:
    """Return name and content of each member, in order."""
    return [(member.name, member.read()) for member in members(path, start=start)]


def read_until_error(
    path: str, *, held_bytes_max: int = HELD_BYTES_MAX
) -> tuple[list[tuple[str, bytes]], ArchiveError | None]:
    """Return the members before the damage, and what was said about it."""
    found: list[tuple[str, bytes]] = []
    stream = stream_zip if path.endswith(".zip") else stream_tar
    try:
        for member in stream(path, held_bytes_max=held_bytes_max):
            with member:
                found += [(member.name, member.read())]
    except ArchiveError as error:
        return found, error
    return found, None
