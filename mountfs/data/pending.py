"""One dirty generation on its way to the bucket."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import trio

from mountfs.errors import MountfsError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from mountfs.data.journal_state import JournalEntry
    from mountfs.data.stored_draft import StoredDraft
    from mountfs.objects import ObjectInfo


class PendingState(enum.Enum):
    """Where a generation is."""

    WAITING = "waiting"  # for its time, for a free place, or for an older one of its key
    HELD = "held"  # not to be started
    UPLOADING = "uploading"
    PUBLISHED = "published"
    REPLACED = "replaced"  # a younger one of the same key has taken its place
    DROPPED = "dropped"


class SupersededError(MountfsError):
    """A younger generation of the key is durable, or it was removed: nobody needs this one."""


ENDED = frozenset((PendingState.PUBLISHED, PendingState.REPLACED, PendingState.DROPPED))


class Pending:
    """A generation that is durable here; whoever publishes it is given this.

    Attributes:
        entry: what the journal has of it, the current key included.
        draft: its bytes.
        committed_at: when, on trio's clock.
        state: where it is.
        due_at: when it is tried (again), on trio's clock.
        attempts: how often it was tried.
        error: why the last attempt failed; None if there was none, or it has been published.
        may_have_landed: a request that makes the object, from this one or an older one of its key,
            has ended without an answer: the store may hold it, or may come to hold it.
        doubtful: older generations of the key that may have landed; the journal keeps them until
            this one has, or has ended otherwise.
        is_interruptible: a cancelled attempt cannot leave an object now; see `set_interruptible`.
        is_stopping: the attempt is to end as soon as it may.
        is_moving: it is about to get another key, or to be dropped: no younger one of its key may
            take its place meanwhile.
        info: what was published.
        successor: what has replaced it.
        warned_at: when its age was last logged, on trio's clock.
        scope: cancels the attempt.
        changed: set, and replaced by a new one, when `state` or `error` changes.
    """

    __slots__ = (
        "attempts",
        "changed",
        "committed_at",
        "doubtful",
        "draft",
        "due_at",
        "entry",
        "error",
        "info",
        "is_interruptible",
        "is_moving",
        "is_stopping",
        "may_have_landed",
        "scope",
        "state",
        "successor",
        "warned_at",
    )

    def __init__(self, entry: JournalEntry, draft: StoredDraft, now: float) -> None:
        self.entry = entry
        self.draft = draft
        self.committed_at = now
        self.state = PendingState.WAITING
        self.due_at = now
        self.attempts = 0
        self.error: Exception | None = None
        self.may_have_landed = False
        self.doubtful: list[Pending] = []
        self.is_interruptible = False
        self.is_stopping = False
        self.is_moving = False
        self.info: ObjectInfo | None = None
        self.successor: Pending | None = None
        self.warned_at: float | None = None
        self.scope = trio.CancelScope()
        self.changed = trio.Event()

    @property
    def number(self) -> int:
        """Return the number of the generation."""
        return self.entry.number

    @property
    def key(self) -> str:
        """Return what it is to be published as."""
        return self.entry.key

    @property
    def size_bytes(self) -> int:
        """Return the size of the file."""
        return self.entry.record.generation.size_bytes

    @property
    def is_doubtful(self) -> bool:
        """Tell whether the store may hold just this one, not only an older one of its key."""
        return self.may_have_landed and self.attempts > 0

    @property
    def is_refused(self) -> bool:
        """Tell whether the last attempt failed in a way that trying again does not mend."""
        return isinstance(self.error, StoreError) and not isinstance(
            self.error, StoreUnavailableError
        )

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing is left to do."""
        return self.state in ENDED

    def set_state(self, state: PendingState) -> None:
        """Change the state and wake whoever waits for that."""
        self.state = state
        self.changed.set()
        self.changed = trio.Event()

    def set_interruptible(self, is_interruptible: bool) -> None:
        """Say whether the attempt may be cancelled without leaving an object.

        For whoever publishes it: True while only parts are sent, False before the request that
        makes the object. What never says so is waited for instead of being interrupted.
        """
        self.is_interruptible = is_interruptible
        if self.is_stopping:
            self.interrupt()

    def request_stop(self) -> None:
        """Let the attempt end as soon as it may."""
        self.is_stopping = True
        self.interrupt()

    def interrupt(self) -> None:
        """Cancel the attempt, if it may be; it is made again after a while."""
        if self.is_interruptible:
            self.scope.cancel()
