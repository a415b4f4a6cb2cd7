"""Which figures a mount has: the one place that knows where each component counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.metrics import Figure, FigureKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from mountfs.command.dirty import DirtySource
    from mountfs.data.block_cache import BlockCache
    from mountfs.fuse.session import Session
    from mountfs.meta.namespace import Namespace
    from mountfs.store.s3 import S3Store
    from mountfs.vfs.reading import Reading

REQUEST_KINDS = (
    "GET", "LIST", "HEAD", "PUT", "CREATE_UPLOAD", "UPLOAD_PART", "COPY_PART", "COMPLETE_UPLOAD",
    "ABORT_UPLOAD", "LIST_UPLOADS", "COPY", "DELETE", "DELETE_MANY", "RENAME",
)  # fmt: skip

_COUNTER, _GAUGE = FigureKind.COUNTER, FigureKind.GAUGE


def store_figures(store: S3Store) -> list[Figure]:
    """Return what was asked of the store, and how it answered."""

    def reader(kind: str) -> Callable[[], float]:
        return lambda: store.requests[kind]

    requests = [
        Figure(
            path=("requests", kind.lower()),
            metric="store_requests",
            labels={"kind": kind.lower()},
            kind=_COUNTER,
            help="Requests sent to the store, retries included.",
            read=reader(kind),
        )
        for kind in REQUEST_KINDS
    ]
    concurrency = store.concurrency
    return [
        *requests,
        _figure(
            "store.retries", _COUNTER, "Requests that were sent again.", lambda: store.retry_count
        ),
        _figure(
            "store.throttled", _COUNTER, "Refusals by a store that is overloaded.",
            lambda: concurrency.throttled_count,
        ),
        _figure(
            "store.in_flight", _GAUGE, "Requests for data that are not answered yet.",
            lambda: concurrency.in_flight,
        ),
        _figure(
            "store.concurrency_limit", _GAUGE, "Requests for data that may be in flight.",
            lambda: round(concurrency.limit, 2),
        ),
    ]  # fmt: skip


def data_figures(blocks: BlockCache) -> list[Figure]:
    """Return what was read, and the memory that it takes."""
    budget = blocks.budget
    return [
        _figure(
            "data.downloaded_bytes", _COUNTER, "Bytes that the store delivered.",
            lambda: blocks.fetched_bytes,
        ),
        _figure(
            "data.read_bytes", _COUNTER, "Bytes handed to the kernel for applications.",
            lambda: blocks.served_bytes,
        ),
        _figure("data.fills", _COUNTER, "Ranges that were asked for.", lambda: blocks.fill_count),
        _figure(
            "data.abandoned", _COUNTER, "Ranges that were given up before they came.",
            lambda: blocks.abandoned_count,
        ),
        _figure("data.readers", _GAUGE, "Files that are being read.", lambda: len(blocks)),
        _figure("data.streams", _GAUGE, "Readers with read-ahead.", lambda: len(blocks.streams)),
        _figure("memory.used_bytes", _GAUGE, "Memory that data takes.", lambda: budget.used_bytes),
        _figure("memory.peak_bytes", _GAUGE, "The most it ever took.", lambda: budget.peak_bytes),
        _figure("memory.limit_bytes", _GAUGE, "The most it may take.", lambda: budget.limit_bytes),
    ]  # fmt: skip


def write_figures(source: DirtySource) -> list[Figure]:
    """Return what was changed here: what is published, and what is not yet."""
    return [
        _figure(
            "write.uploaded_bytes", _COUNTER, "Bytes that the store has taken.",
            lambda: source.uploaded_bytes,
        ),
        _figure(
            "write.publishes", _COUNTER, "Files that were published.",
            lambda: source.publish_count,
        ),
        _figure(
            "write.publish_failures", _COUNTER, "Publishes that have failed.",
            lambda: source.publish_failure_count,
        ),
        _figure(
            "write.lost_files", _COUNTER, "Files that could not be stored after their last close.",
            lambda: source.lost_count,
        ),
        _figure(
            "write.failing", _GAUGE, "Files whose last publish has failed.",
            lambda: len(source.failing),
        ),
        _figure(
            "write.dirty_files", _GAUGE, "Files with changes that no close has promised yet.",
            lambda: source.dirty_count,
        ),
        _figure(
            "write.dirty_bytes", _GAUGE, "Bytes of theirs to be uploaded.",
            lambda: source.dirty_bytes,
        ),
        _figure(
            "write.pending_files", _GAUGE, "Files in the staging directory to be uploaded.",
            lambda: source.pending_count,
        ),
        _figure(
            "write.pending_bytes", _GAUGE, "Bytes of theirs to be uploaded.",
            lambda: source.pending_bytes,
        ),
        _figure(
            "write.oldest_seconds", _GAUGE, "Age of the oldest change that is not in the bucket.",
            lambda: round(source.oldest_seconds, 3),
        ),
    ]  # fmt: skip


def kernel_figures(session: Session, reading: Reading) -> list[Figure]:
    """Return what the kernel asked."""
    return [
        _figure(
            "kernel.requests", _COUNTER, "Requests of the kernel.", lambda: session.request_count
        ),
        _figure(
            "kernel.stale", _COUNTER, "Reads refused since the version was gone.",
            lambda: reading.stale_count,
        ),
    ]  # fmt: skip


def metadata_figures(namespace: Namespace) -> list[Figure]:
    """Return what is remembered of names."""
    return [
        _figure(
            "metadata.inodes", _GAUGE, "Inodes that the kernel knows.", lambda: len(namespace.table)
        ),
        _figure(
            "metadata.hidden_keys", _COUNTER, "Entries of listings that no path can show.",
            lambda: namespace.hidden.count,
        ),
    ]  # fmt: skip


def _figure(path: str, kind: FigureKind, help_: str, read: Callable[[], float]) -> Figure:
    group, _, name = path.partition(".")
    return Figure(path=(group, name), metric=f"{group}_{name}", kind=kind, help=help_, read=read)
