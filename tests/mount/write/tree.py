"""What a directory or a bucket holds, in a form in which the two can be compared."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    Tree = dict[str, bytes | None]
    """Contents of files by path; None for a directory. The root is not in it."""


def tree_of_directory(root: Path) -> Tree:
    """Read everything below *root*."""
    tree: Tree = {}
    for top, names, leaves in os.walk(str(root), onerror=_raise):
        below = "" if top == str(root) else os.path.relpath(top, root)
        tree |= {os.path.join(below, name): None for name in names}
        for leaf in leaves:
            with open(os.path.join(top, leaf), "rb") as file:
                tree[os.path.join(below, leaf)] = file.read()
    return tree


def _raise(error: OSError) -> None:
    raise error


def tree_of_bucket(s3: S3Client, bucket: str, prefix: str = "") -> Tree:
    """Read every object below *prefix*, as another client of the store sees it.

    A directory is there because of its marker or because of what is below it.
    """
    keys = list_keys(s3, bucket, prefix)
    tree: Tree = {}
    for key in keys:
        parts = key.removeprefix(prefix).split("/")[:-1]
        for depth in range(len(parts)):
            tree["/".join(parts[: depth + 1])] = None
    files = [key for key in keys if not key.endswith("/")]
    with ThreadPoolExecutor(8) as pool:
        bodies = pool.map(lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read(), files)
        for key, body in zip(files, bodies, strict=True):
            path = key.removeprefix(prefix)
            assert path not in tree, f"{key!r} is an object and a directory"
            tree[path] = body
    return tree


def list_keys(s3: S3Client, bucket: str, prefix: str = "") -> list[str]:
    """Return all keys that begin with *prefix*, markers of directories too."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def list_uploads(s3: S3Client, bucket: str, prefix: str = "") -> list[str]:
    """Return the keys of all multipart uploads that are neither completed nor aborted."""
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    return [upload["Key"] for page in pages for upload in page.get("Uploads", [])]


def describe_difference(expected: Tree, found: Tree) -> str:
    """Say in a few lines how two trees differ; empty when they are equal."""
    lines = [f"missing: {path}" for path in sorted(expected.keys() - found.keys())]
    lines += [f"unexpected: {path}" for path in sorted(found.keys() - expected.keys())]
    for path in sorted(expected.keys() & found.keys()):
        if expected[path] != found[path]:
            lines.append(f"{path}: {_describe_content(expected[path], found[path])}")
    return "\n".join(lines[:20])


def _describe_content(expected: bytes | None, found: bytes | None) -> str:
    if expected is None or found is None:
        return "a directory here and a file there"
    place = next(
        (n for n, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b),
        min(len(expected), len(found)),
    )
    return f"{len(found)} bytes instead of {len(expected)}, different from byte {place} on"
