"""What the store said of one stretch of a directory, and how it changes the tree.

Nothing here awaits: an answer is applied as a whole, between two events.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.keys import decode_name, encode_name, is_presentable
from mountfs.meta.coverage import END, Stretch
from mountfs.meta.node import NEVER, Directory, File
from mountfs.meta.position import after_directory, after_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.meta.hidden_keys import HiddenKeys
    from mountfs.objects import ListPage, ObjectInfo

_SLASH = ord("/")


@dataclass(slots=True, kw_only=True)
class Answer:
    """The entries of one directory in ``[start, stop)``.

    Attributes:
        start, stop: entry keys, half-open.
        sent_at: when the LIST was sent.
        sequence: its number.
        keys: entry keys, in order.
        infos: for each key what the store said of the object; None for a subdirectory.
    """

    start: bytes
    stop: bytes
    sent_at: float
    sequence: int
    keys: list[bytes]
    infos: list[ObjectInfo | None]


def read_page(
    prefix: str, page: ListPage, *, start: bytes, sent_at: float, sequence: int, hidden: HiddenKeys
) -> Answer:
    """Turn a page that was listed with the delimiter ``/`` from *start* on into an answer."""
    skip = len(prefix)
    entries: list[tuple[bytes, ObjectInfo | None]] = []
    last = b""
    for info in page.objects:
        last = encode_name(info.key[skip:])
        if not last or last < start:  # the directory's own marker, or listed from too early on
            continue
        if is_presentable(last):
            entries.append((last, info))
        else:
            hidden.add(info.key)
    stop = after_file(last)
    for common in page.prefixes:
        last = encode_name(common[skip:])
        if last < start:
            continue
        if is_presentable(last[:-1]):
            entries.append((last, None))
        else:
            hidden.add(common)
    if page.prefixes:
        stop = max(stop, after_directory(last[:-1]))
        entries.sort(key=_entry_key)  # two sorted runs: linear
    return Answer(
        start=start,
        stop=stop if page.next_token else END,
        sent_at=sent_at,
        sequence=sequence,
        keys=[key for key, _ in entries],
        infos=[info for _, info in entries],
    )


def _entry_key(entry: tuple[bytes, object]) -> bytes:
    return entry[0]


def apply_answer(directory: Directory, answer: Answer, numbers: Iterator[int]) -> bool:
    """Let *directory* show what *answer* says; tell whether it may be believed.

    What a LIST that was sent later has said stays as it is. An answer that was asked for before the
    latest local change, or for a directory that is gone, is refused as a whole.
    """
    if directory.generation > answer.sequence or directory.is_detached:
        return False
    start = answer.start
    for known in directory.coverage.overlapping(answer.start, answer.stop):
        if known.sequence > answer.sequence:
            if start < known.start:
                _apply_between(directory, answer, start, known.start, numbers)
            start = known.stop
    if start < answer.stop:
        _apply_between(directory, answer, start, answer.stop, numbers)
    listing = directory.listing
    if (
        listing is not None
        and answer.start <= listing.frontier < answer.stop
        and answer.sequence > listing.sequence  # with a TTL of 0 nothing older will do
    ):
        listing.extend(answer.stop)
    return True


def _apply_between(
    directory: Directory, answer: Answer, start: bytes, stop: bytes, numbers: Iterator[int]
) -> None:
    keys, infos = answer.keys, answer.infos
    if start != answer.start or stop != answer.stop:
        low, high = bisect_left(keys, start), bisect_left(keys, stop)
        keys, infos = keys[low:high], infos[low:high]
    kept = _store(directory, keys, infos, answer.sent_at, numbers)
    stretch = Stretch(start, stop, answer.sent_at, answer.sequence, kept)
    before = directory.coverage.put(stretch)
    if before and before != kept:
        for key in set(before).difference(kept):
            _remove(directory, key)
    if directory.stale_since:
        _keep_stale(directory, start, stop, answer.sequence)


def _keep_stale(directory: Directory, start: bytes, stop: bytes, sequence: int) -> None:
    """Let nothing in ``[start, stop)`` be fresh that the store denied after LIST *sequence*."""
    for key, since in list(directory.stale_since.items()):
        if not start <= key < stop:
            continue
        is_directory = key[-1] == _SLASH
        node = directory.subdirectories.get(key[:-1]) if is_directory else directory.files.get(key)
        if node is None or since < sequence:
            del directory.stale_since[key]
        else:
            node.fetched_at = NEVER


def _store(
    directory: Directory,
    keys: list[bytes],
    infos: list[ObjectInfo | None],
    sent_at: float,
    numbers: Iterator[int],
) -> list[bytes]:
    """Make or confirm the nodes of *keys*; return the same keys, as objects shared with the nodes.

    The hot path of every listing: about a microsecond an entry.
    """
    kept = []
    files = directory.files
    subdirectories = directory.subdirectories
    newest = directory.mtime_ns
    for key, info in zip(keys, infos, strict=True):
        if info is None:
            name = key[:-1]
            child = subdirectories.get(name)
            if child is None:
                add_subdirectory(directory, name, sent_at, next(numbers))
            else:
                child.fetched_at = sent_at
            kept.append(key)
            continue
        _, size_bytes, etag, mtime_ns = info
        node = files.get(key)
        if node is not None and node.etag == etag and node.size_bytes == size_bytes:
            node.fetched_at = sent_at
            node.mtime_ns = mtime_ns
            kept.append(node.name)
        else:
            files[key] = File(next(numbers), directory, key, size_bytes, mtime_ns, etag, sent_at)
            kept.append(key)
        if mtime_ns > newest:
            newest = mtime_ns
    directory.mtime_ns = newest
    return kept


def add_subdirectory(parent: Directory, name: bytes, sent_at: float, number: int) -> Directory:
    """Make the node of a subdirectory that was not known."""
    prefix = f"{parent.prefix}{decode_name(name)}/"
    child = parent.subdirectories[name] = Directory(number, parent, name, prefix, sent_at)
    return child


def _remove(directory: Directory, key: bytes) -> None:
    """Detach what is at *key*; a subdirectory with everything in it."""
    if key[-1] == _SLASH:
        directory.subdirectories.pop(key[:-1]).clear()
    else:
        del directory.files[key]
