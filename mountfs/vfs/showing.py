"""What `stat` shows of a node: what the listing says, and over it what else is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mountfs.meta.node import File
from mountfs.vfs.node_attributes import NO_ATTRIBUTES, NodeAttributes
from mountfs.vfs.posix_rules import directory_link_count
from mountfs.vfs.written_file import written_of

if TYPE_CHECKING:
    from mountfs.attributes import Attributes, AttributesSource
    from mountfs.meta.node import Directory, Node
    from mountfs.objects import ObjectHeaders

_NEVER = float("-inf")


class Showing:
    """Makes `Attributes` of nodes.

    Args:
        source: what is shown where nothing else is known.
        file_mode: permission bits of files, likewise.
        is_posix: directories count their links.
    """

    __slots__ = ("_is_posix", "file_mode", "source")

    def __init__(self, source: AttributesSource, file_mode: int, *, is_posix: bool) -> None:
        self.file_mode = file_mode
        self.source = source
        self._is_posix = is_posix

    def attributes_of(self, node: Node) -> Attributes:
        """Return what *node* shows."""
        if type(node) is File:
            shown = self.source.of_file(node.number, node.size_bytes, node.mtime_ns)
            if node.extra is None:
                return shown
            file = written_of(node)
            if file is None:
                return _overlay(shown, extra_of(node), 0)
            if file.is_unlinked and self._is_posix:
                shown = shown._replace(nlink=0)
            return _overlay(shown, extra_of(node), file.changed_ns)
        assert not isinstance(node, File), "type() has told"
        shown = self.source.of_directory(node.number, node.mtime_ns)
        if self._is_posix:
            shown = shown._replace(nlink=directory_link_count(_count_subdirectories(node)))
        if node.extra is None:
            return shown
        return _overlay(shown, extra_of(node), node.mtime_ns)


def extra_of(node: Node) -> NodeAttributes:
    """Return what is known of *node* beyond the listing."""
    return node.extra if isinstance(node.extra, NodeAttributes) else NO_ATTRIBUTES


def saved_attributes(node: Node, changes: NodeAttributes | None = None) -> NodeAttributes:
    """Return the attributes of *node*, with *changes*, as they are to be saved with its object.

    `NodeAttributes.mtime_ns` is not used in `extra`: the node has one of its own.
    """
    extra = extra_of(node)
    file = written_of(node) if isinstance(node, File) else None
    is_set = changes is not None or (file is not None and file.is_attributed)
    if not is_set and not extra.is_special:
        # Nobody has said anything of it: the store's own time will do, and no metadata is needed.
        return NodeAttributes(headers=headers_of(node))
    changed_ns = node.mtime_ns
    if isinstance(node, File):
        changed_ns = 0 if file is None else file.changed_ns
    ctime_ns = max(extra.ctime_ns or 0, changed_ns) or None
    headers = headers_of(node)
    saved = replace(extra, mtime_ns=node.mtime_ns, ctime_ns=ctime_ns, headers=headers)
    return saved if changes is None else saved.overlaid(changes)


def headers_of(node: Node) -> ObjectHeaders | None:
    """Return the headers that the next object of *node* starts from; None if not known yet."""
    if isinstance(node, File):
        file = written_of(node)
        if file is not None and file.headers_to_keep is not None:
            return file.headers_to_keep
    return extra_of(node).headers


def note_changes(node: Node, changes: NodeAttributes) -> None:
    """Let *node* show *changes*; the time of its last modification is its own business."""
    if changes.mtime_ns is not None:
        node.mtime_ns = changes.mtime_ns
    node.extra = extra_of(node).overlaid(replace(changes, mtime_ns=None))


def _overlay(shown: Attributes, extra: NodeAttributes, changed_ns: int) -> Attributes:
    return shown._replace(
        mode=shown.mode if extra.mode is None else extra.mode,
        uid=shown.uid if extra.uid is None else extra.uid,
        gid=shown.gid if extra.gid is None else extra.gid,
        atime_ns=extra.atime_ns,
        ctime_ns=max(extra.ctime_ns or 0, changed_ns) or None,
        rdev=extra.rdev or 0,
    )


def _count_subdirectories(directory: Directory) -> int | None:
    if directory.coverage.complete_since() == _NEVER:
        return None
    return len(directory.subdirectories)
