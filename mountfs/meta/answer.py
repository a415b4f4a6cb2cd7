"""What the store said of one stretch of a directory, and how it changes the tree.

Nothing here awaits: an answer is applied as a whole, between two events.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mountfs.keys import decode_name, encode_name, is_presentable
from mountfs.meta.coverage import END, Stretch
from mountfs.meta.node import Directory, File
from mountfs.meta.position import after_directory, after_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.meta.hidden_keys import HiddenKeys
    from mountfs.objects import ListPage, ObjectInfo

MARKER = b""
"""The entry key of a directory's own marker, in that directory: before all others."""

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
        has_marker: whether there is a key that equals the directory's prefix; None when the answer
            does not tell.
        hides: whether there are keys that are left out since they cannot be shown.
    """

    start: bytes
    stop: bytes
    sent_at: float
    sequence: int
    keys: list[bytes]
    infos: list[ObjectInfo | None]
    has_marker: bool | None = None
    hides: bool = False


def read_page(
    prefix: str,
    page: ListPage,
    *,
    start: bytes,
    sent_at: float,
    sequence: int,
    hidden: HiddenKeys,
    is_root: bool,
) -> Answer:
    """Turn a page that was listed with the delimiter ``/`` from *start* on into an answer."""
    skip = len(prefix)
    hides = False
    entries: list[tuple[bytes, ObjectInfo | None]] = []
    last = b""
    for info in page.objects:
        last = encode_name(info.key[skip:])
        if not last or last < start:  # the directory's own marker, or listed from too early on
            continue
        if is_presentable(last, is_in_root=is_root):
            entries.append((last, info))
        else:
            hides = True
            hidden.add(info.key)
    stop = after_file(last)
    for common in page.prefixes:
        last = encode_name(common[skip:])
        if last < start:
            continue
        if is_presentable(last[:-1], is_in_root=is_root):
            entries.append((last, None))
        else:
            hides = True
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
        has_marker=_find_marker(prefix, page) if not start else None,
        hides=hides,
    )


def _find_marker(prefix: str, page: ListPage) -> bool | None:
    """Tell whether *page*, the first one below *prefix*, holds the prefix itself as a key.

    It would be the first. A page may be empty and not the last: then nothing is known.
    """
    if page.objects and page.objects[0].key == prefix:
        return True
    return None if page.next_token and not page.objects and not page.prefixes else False


def _entry_key(entry: tuple[bytes, object]) -> bytes:
    return entry[0]


def apply_answer(directory: Directory, answer: Answer, numbers: Iterator[int]) -> bool:
    """Let *directory* show what *answer* says; tell whether it may be believed.

    What a LIST that was sent later has said stays as it is, and so do the entry keys that an
    override holds against this one. An answer that was asked for before the directory was moved, or
    for one that is gone, is refused as a whole.
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
    if answer.has_marker is not None:
        _learn_marker(directory, answer)
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
    if directory.overrides is None:
        kept = _store(directory, keys, infos, answer.sent_at, numbers)
    else:
        kept = _store_beside_overrides(directory, answer, start, stop, (keys, infos), numbers)
    stretch = Stretch(start, stop, answer.sent_at, answer.sequence, kept, may_hide=answer.hides)
    before = directory.coverage.put(stretch)
    if before and before != kept:
        for key in set(before).difference(kept):
            _remove(directory, key, answer, kept)


def _store_beside_overrides(
    directory: Directory,
    answer: Answer,
    start: bytes,
    stop: bytes,
    entries: tuple[list[bytes], list[ObjectInfo | None]],
    numbers: Iterator[int],
) -> list[bytes]:
    """As `_store`, but leave the keys as they are of which more is known here than *answer* says.

    The overrides of which *answer* may speak have served their purpose and are dropped.
    """
    keys, infos = entries
    before = directory.coverage.keys_between(start, stop)
    overrides = directory.overrides
    assert overrides is not None
    held: set[bytes] = set()
    # There may be a hundred thousand files to publish, and as many pages of this directory.
    candidates = [*keys, *before] if len(keys) + len(before) < len(overrides) else list(overrides)
    for key in candidates:
        override = overrides.get(key)
        if override is None or not start <= key < stop:
            continue
        if override.holds_against(answer.sequence):
            held.add(key)
        elif key:  # the marker's is not an entry
            directory.drop_override(key)
    if not held:
        return _store(directory, keys, infos, answer.sent_at, numbers)
    spoken = [(key, info) for key, info in zip(keys, infos, strict=True) if key not in held]
    kept = _store(
        directory,
        [key for key, _ in spoken],
        [info for _, info in spoken],
        answer.sent_at,
        numbers,
    )
    kept += [key for key in before if key in held]
    kept.sort()  # two sorted runs: linear
    return kept


def _learn_marker(directory: Directory, answer: Answer) -> None:
    """Note whether the directory has a marker, unless more is known than *answer* says."""
    stretch = directory.coverage.find(MARKER)
    if stretch is None or stretch.sequence > answer.sequence:
        return
    if directory.is_held(MARKER, answer.sequence):
        return
    directory.has_marker = answer.has_marker
    if directory.overrides is not None and MARKER in directory.overrides:
        directory.drop_override(MARKER)


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
            if node.extra is None:
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


def _remove(directory: Directory, key: bytes, answer: Answer, kept: list[bytes]) -> None:
    """Detach what is at *key*; a subdirectory with everything in it.

    A subdirectory in which something is under way stays, and goes back to *kept*: the answer knows
    nothing of what will be in it, so it cannot tell that there will be nothing.
    """
    if key[-1] != _SLASH:
        del directory.files[key]
        return
    child = directory.subdirectories[key[:-1]]
    if child.is_held_below(answer.sequence):
        child.fetched_at = answer.sent_at
        insort(kept, key)
    else:
        del directory.subdirectories[key[:-1]]
        child.clear()
