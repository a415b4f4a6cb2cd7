"""Which written files become streams, and when their parts go up."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mountfs.vfs.showing import headers_of, saved_attributes
from mountfs.vfs.upload_headers import headers_for_content

if TYPE_CHECKING:
    import trio

    from mountfs.data.draft import Draft
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.written_file import WrittenFile


log = logging.getLogger(__name__)

SPILL_AHEAD_BYTES = 64 * 1024 * 1024
SPILL_BYTES = 16 * 1024 * 1024
"""With ``--write-back`` a file that holds so much memory is written to the disk in such steps. The
close then has little left to write; smaller files are better off in memory until then."""


class Streaming:
    """Lets files that are written in order go up while they are written.

    Args:
        bucket: where to.
        nursery: owns what goes on beside.
    """

    def __init__(self, bucket: Bucket, nursery: trio.Nursery) -> None:
        self._bucket = bucket
        # Write-back wants all of it on disk; and who must not replace what somebody else has
        # written must still have everything when that shows.
        self.is_allowed = not bucket.config.write_back and bucket.config.conflict != "fail"
        self._is_journalled = bucket.config.write_back
        self._nursery = nursery

    def note_written(self, file: WrittenFile, start: int, stop: int, *, is_in_order: bool) -> None:
        """Note that ``[start, stop)`` was written; send what has become complete.

        *is_in_order*: by a write-only handle, at what was the end of the file.
        """
        stream = file.stream
        if not is_in_order:
            file.is_in_order = False
            if stream is not None:
                stream.hold()
                stream.note_changed(start, stop)
        elif stream is not None:
            stream.pump()
            if stream.error is not None and file.error is None:
                file.error = stream.error
        elif file.is_in_order and stop > self._bucket.store.part_size_bytes:
            self._begin_stream(file)
        if self._is_journalled:
            self._spill_ahead(file)

    def _spill_ahead(self, file: WrittenFile) -> None:
        """Begin to write to the disk what a close will want there, while more is being written."""
        draft = file.draft
        if draft is None or file.is_spilling or draft.held_bytes < SPILL_AHEAD_BYTES:
            return
        file.is_spilling = True
        self._nursery.start_soon(self._spill, file, draft)

    async def _spill(self, file: WrittenFile, draft: Draft) -> None:
        try:
            while draft.held_bytes >= SPILL_AHEAD_BYTES and await draft.spill(SPILL_BYTES):
                pass
        except OSError as error:  # the close will meet it, too, and report it
            log.info("%r: cannot write ahead: %s", file.node.key, error)
        except Exception:  # a bug must not end the mount
            log.exception("%r: cannot write ahead", file.node.key)
        finally:
            file.is_spilling = False

    def _begin_stream(self, file: WrittenFile) -> None:
        node, draft = file.node, file.draft
        assert draft is not None, "it was written to"
        if headers_of(node) is None or self._bucket.locks.is_held(node.key):
            return  # headers to keep are still being asked for; or the key may become another one
        headers = headers_for_content(node.name, saved_attributes(node))
        stream = file.stream = self._bucket.publisher.begin_stream(draft, node.key, headers)
        draft.sender = stream
        stream.pump()
