"""A file that is open to be written, or was written and is not in the store as it is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio

from mountfs.errors import raise_again
from mountfs.objects import ObjectId

if TYPE_CHECKING:
    from mountfs.data.draft import Draft
    from mountfs.data.pending import Pending
    from mountfs.data.stream import Stream
    from mountfs.meta.node import File
    from mountfs.objects import ObjectHeaders, ObjectInfo

NEVER_PUBLISHED = -1
"""Less than any dirty generation."""


class Commit:
    """A publish under way, shared by all who wait for it; it outlives each of them.

    Attributes:
        is_over: set when it has ended.
        error: why it failed.
    """

    __slots__ = ("error", "is_over")

    def __init__(self) -> None:
        self.is_over = trio.Event()
        self.error: Exception | None = None

    async def wait(self) -> None:
        """Return when it has ended; raise why it failed, if it did."""
        await self.is_over.wait()
        raise_again(self.error)


class WrittenFile:
    """What is known of such a file besides its node.

    Attributes:
        node: the file; the other way round it is `written_of`.
        draft: what was changed; None as long as nothing was.
        base: the version that the draft takes its untouched bytes from; None if from none.
        base_size_bytes: its length; the draft may show less of it.
        expected_etag: the version that a publish replaces if nobody else interferes; "" for none.
        is_attributed: chmod, chown, utimens or an extended attribute came after its upload began.
        is_exclusive: made with O_EXCL: a publish must not replace anything.
        generation: of the draft, when it was last published.
        stream: the upload under way of a file that is written in order.
        is_in_order: it may become a stream: new, and written by one write-only handle so far.
        headers_to_keep: of the version that somebody else has put there, and that is going to be
            overwritten from here; None if it is the node's own.
        handle_count: how many handles may write to it.
        changed_ns: when it was last written to; 0 if never.
        dirty_since: when it became dirty, on trio's clock.
        error: why a publish failed. It stays, and everything fails from then on, until the last
            handle is closed: some of the data may be gone.
        commit: the publish under way.
        ending: the end of the stream under way.
        is_spilling: it is being written to the disk ahead of its close.
        is_pinned: its name is, since the store does not know what is here.
        is_unlinked: no name shows it any more; there is nothing to publish.
        stored: what the journal holds of it while it waits for its upload (``--write-back``).
    """

    __slots__ = (
        "base",
        "base_size_bytes",
        "changed_ns",
        "commit",
        "dirty_since",
        "draft",
        "ending",
        "error",
        "expected_etag",
        "generation",
        "handle_count",
        "headers_to_keep",
        "is_attributed",
        "is_exclusive",
        "is_in_order",
        "is_pinned",
        "is_spilling",
        "is_unlinked",
        "node",
        "stored",
        "stream",
    )

    def __init__(self, node: File) -> None:
        self.node = node
        self.draft: Draft | None = None
        self.base: ObjectId | None = None
        self.base_size_bytes = 0
        self.expected_etag = node.etag
        self.is_attributed = False
        self.is_exclusive = False
        self.generation = NEVER_PUBLISHED
        self.stream: Stream | None = None
        self.is_in_order = False
        self.handle_count = 0
        self.headers_to_keep: ObjectHeaders | None = None
        self.changed_ns = 0
        self.dirty_since = 0.0
        self.error: Exception | None = None
        self.commit: Commit | None = None
        self.ending: Commit | None = None
        self.is_pinned = False
        self.is_spilling = False
        self.is_unlinked = False
        self.stored: Pending | None = None

    def __repr__(self) -> str:
        return f"<WrittenFile {self.node!r} dirty={self.is_dirty}>"

    @property
    def is_dirty(self) -> bool:
        """Tell whether there is something here that was neither published nor journalled."""
        return self.draft is not None and self.draft.generation != self.generation

    @property
    def is_waiting(self) -> bool:
        """Tell whether it will be published: what it shows then goes with it."""
        return self.is_dirty or self.stored is not None or not self.node.etag

    @property
    def has_content(self) -> bool:
        """Tell whether the content is to be read from here, and not from the store."""
        if self.draft is None:
            return self.stored is not None or self.is_failed
        if self.is_unlinked or self.error is not None:
            return True
        return self.stored is not None or self.is_dirty

    @property
    def is_failed(self) -> bool:
        """Tell whether it is neither here nor in the store: who has it open gets the error."""
        return self.error is not None and self.is_unlinked

    @property
    def dirty_bytes(self) -> int:
        """How much would be lost if nothing was published any more; 0 if nothing would."""
        return self.node.size_bytes if self.is_dirty and not self.is_unlinked else 0

    def note_published(self, info: ObjectInfo, generation: int) -> None:
        """Take *info* as what the draft of that *generation* has become."""
        self.stream = None
        self.is_in_order = False
        self.is_exclusive = False
        self.base = ObjectId(info.key, info.etag)
        self.base_size_bytes = info.size_bytes
        self.expected_etag = info.etag
        self.generation = generation


def note_stored(node: File, etag: str) -> None:
    """Note what the store has where *node* is shown; empty for nothing."""
    file = written_of(node)
    if file is not None:
        file.expected_etag = etag


def written_of(node: File) -> WrittenFile | None:
    """Return what is known of *node* as a written file."""
    return cast("WrittenFile | None", node.draft)
