"""Where our version of an object goes that somebody else has changed meanwhile: beside theirs."""

from __future__ import annotations

import posixpath
import time
from typing import TYPE_CHECKING

from mountfs.errors import BaseGoneError, PreconditionFailedError, StoreUnavailableError
from mountfs.keys import KEY_MAX_BYTES, NAME_MAX_BYTES, sort_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from mountfs.objects import ObjectInfo

MAX_CONFLICT_NAMES = 100
"""Of one file in one second; somebody else makes them as fast as we do otherwise."""


async def publish_beside(key: str, publish: Callable[[str], Awaitable[ObjectInfo]]) -> ObjectInfo:
    """Publish our version of *key* under the first name beside it that is free.

    Args:
        key: of which somebody else has changed the object.
        publish: makes the object, if its key holds nothing yet.

    Returns: the new object, `ObjectInfo.key` included.

    Raises:
        StoreUnavailableError: no name is free.
        StoreError, OSError: as *publish*.
    """
    for beside in conflict_keys(key):
        try:
            return await publish(beside)
        except BaseGoneError:
            raise
        except PreconditionFailedError:  # another one of this second
            continue
    raise StoreUnavailableError(f"no free name for our version of {key!r}")


def conflict_keys(key: str) -> Iterator[str]:
    """Yield the keys that our version of *key* may get now, in the order of preference."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for number in range(MAX_CONFLICT_NAMES):
        yield conflict_key(key, now, number)


def conflict_key(key: str, time_text: str, number: int = 0) -> str:
    """Return the key of our version of *key*: ``model.conflict-20250131T235959Z.pt``.

    The time stands before the extension, so that programs still know what the file is. *number*
    tells several ones of one second apart. The name is cut where it would be too long.
    """
    directory, name = posixpath.split(key)
    stem, extension = posixpath.splitext(name)
    mark = f".conflict-{time_text}" + (f"-{number}" if number else "") + extension
    prefix = f"{directory}/" if directory else ""
    room = min(NAME_MAX_BYTES, KEY_MAX_BYTES - len(sort_key(prefix))) - len(sort_key(mark))
    cut = sort_key(stem)[: max(room, 0)].decode("utf-8", "ignore")
    return f"{prefix}{cut if len(sort_key(stem)) > room else stem}{mark}"
