"""The tree that a set of keys should look like, in the plainest way, and how to read ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mountfs.errors import ObjectNotFoundError
from mountfs.keys import encode_name, is_presentable
from mountfs.meta.node import Directory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mountfs.meta.namespace import Namespace
    from mountfs.meta.node import Node
    from mountfs.store.fake import FakeStore

Tree: TypeAlias = "dict[bytes, Tree | None]"
"""Names in a directory: None for a file, a tree for a directory."""


def expected_tree(keys: Iterable[str], prefix: str = "") -> Tree:
    """Return what the directory at *prefix* holds, in all depths."""
    root: Tree = {}
    for key in keys:
        if not key.startswith(prefix):
            continue
        *parts, last = (encode_name(part) for part in key[len(prefix) :].split("/"))
        here = root
        for part in parts:
            if not is_presentable(part):
                break
            below = here.get(part)
            if below is None:  # absent, or a file that is shadowed from now on
                below = here[part] = {}
            here = below
        else:
            if is_presentable(last):
                here.setdefault(last, None)
    return root


async def read_directory(namespace: Namespace, directory: Directory) -> list[Node]:
    """Return all entries of *directory*, as one `opendir`, `readdir`... and `closedir` do."""
    stream = namespace.open_directory(directory)
    entries: list[Node] = []
    index = 0
    try:
        while batch := await stream.entries_from(index):
            entries += [node for _, node in batch]
            index = batch[-1][0]
    finally:
        stream.close()
    return entries


async def read_names(namespace: Namespace, directory: Directory) -> list[bytes]:
    """Return the names in *directory*, sorted."""
    return sorted(node.name for node in await read_directory(namespace, directory))


async def read_tree(namespace: Namespace, directory: Directory | None = None) -> Tree:
    """Walk *directory* (the root by default) top down, in the order of `readdir`."""
    tree: Tree = {}
    for node in await read_directory(namespace, directory or namespace.root):
        assert node.name not in tree, f"{node.name!r} was listed twice"
        tree[node.name] = await read_tree(namespace, node) if isinstance(node, Directory) else None
    return tree


async def find(namespace: Namespace, *names: bytes) -> Node:
    """Look up a path from the root."""
    node: Node = namespace.root
    for name in names:
        assert isinstance(node, Directory)
        node = await namespace.lookup(node, name)
    return node


async def find_directory(namespace: Namespace, *names: bytes) -> Directory:
    """Look up a path from the root that shows a directory."""
    node = await find(namespace, *names)
    assert isinstance(node, Directory)
    return node


async def exists(namespace: Namespace, *names: bytes) -> bool:
    """Tell whether a path from the root shows anything."""
    try:
        await find(namespace, *names)
    except ObjectNotFoundError:
        return False
    return True


def put_empty(store: FakeStore, keys: Iterable[str]) -> None:
    """Store objects of no bytes at *keys*."""
    for key in keys:
        store.bucket.put_zeros(key, 0)


def lists(store: FakeStore) -> int:
    """Return how many LISTs were sent; nothing but LISTs may have been."""
    assert set(store.requests) <= {"LIST"}, f"not only LISTs: {store.requests}"
    return store.requests["LIST"]
