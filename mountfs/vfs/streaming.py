"""Which written files become streams, and when their parts go up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.vfs.showing import extra_of, saved_attributes
from mountfs.vfs.upload_headers import headers_for_content

if TYPE_CHECKING:
    from mountfs.vfs.bucket import Bucket
    from mountfs.vfs.written_file import WrittenFile


class Streaming:
    """Lets files that are written in order go up while they are written.

    Args:
        bucket: where to.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        # Write-back wants all of it on disk; and who must not replace what somebody else has
        # written must still have everything when that shows.
        self.is_allowed = not bucket.config.write_back and bucket.config.conflict != "fail"

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

    def _begin_stream(self, file: WrittenFile) -> None:
        node, draft = file.node, file.draft
        assert draft is not None, "it was written to"
        if extra_of(node).headers is None or self._bucket.locks.is_held(node.key):
            return  # headers to keep are still being asked for; or the key may become another one
        headers = headers_for_content(node.name, saved_attributes(node))
        stream = file.stream = self._bucket.publisher.begin_stream(draft, node.key, headers)
        draft.expects_room = lambda: stream.is_sending
        stream.pump()
