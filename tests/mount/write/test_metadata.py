"""What the store keeps beside the bytes: metadata of others, the type, and what the mount shows."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.mount.content import MIB, make_bytes
from tests.mount.write.pair import result_of

if TYPE_CHECKING:
    from tests.mount.write.conftest import Sharing

pytestmark = pytest.mark.mount


def test_metadata_of_others_is_kept(sharing: Sharing) -> None:
    """An object that is changed or renamed here keeps the metadata that it had."""
    metadata = {"owner": "somebody", "epoch": "7"}
    mount = sharing(objects={"known": b""})
    mount.s3.put_object(
        Bucket=mount.bucket,
        Key=f"{mount.prefix}f",
        Body=b"old",
        Metadata=metadata,
        ContentType="x/y",
    )
    with (mount.path / "f").open("r+b") as file:
        file.write(b"new")
    os.rename(mount.path / "f", mount.path / "g")
    mount.check_holds({"g": b"new", "known": b""})
    head = mount.s3.head_object(Bucket=mount.bucket, Key=f"{mount.prefix}g")
    assert metadata.items() <= head["Metadata"].items()
    assert "x/y" == head["ContentType"]


def test_the_content_type_follows_the_name(sharing: Sharing) -> None:
    """Browsers show what they are given."""
    types = {"a.json": "application/json", "b.html": "text/html", "c.png": "image/png"}
    mount = sharing()
    for name in types:
        (mount.path / name).write_bytes(b"content")
    mount.check_holds(dict.fromkeys(types, b"content"))
    assert types == {
        name: mount.s3.head_object(Bucket=mount.bucket, Key=f"{mount.prefix}{name}")["ContentType"]
        for name in types
    }


def test_virtual_attributes_say_what_the_object_is(sharing: Sharing) -> None:
    """ETag and key; they cannot be changed; copying a file does not copy them."""
    mount = sharing(objects={"d/f": b"content"})
    path, key = mount.path / "d/f", f"{mount.prefix}d/f"
    etag = mount.s3.head_object(Bucket=mount.bucket, Key=key)["ETag"].strip('"')
    assert etag == os.getxattr(path, "user.mountfs.etag").decode().strip('"')
    assert key.encode() == os.getxattr(path, "user.mountfs.key")
    assert result_of(lambda: os.setxattr(path, "user.mountfs.etag", b"x")) in {
        "EPERM", "EACCES", "EROFS", "ENOTSUP", "EOPNOTSUPP",
    }  # fmt: skip
    assert result_of(lambda: os.getxattr(path, "user.mountfs.none")) == "ENODATA"
    shutil.copy2(path, mount.path / "copy")
    mount.check_holds({"d": None, "d/f": b"content", "copy": b"content"})


def test_an_acl_is_given_to_what_is_written(sharing: Sharing) -> None:
    """By one request and by parts."""
    mount = sharing("--acl", "public-read", "--part-size", "5M")
    contents = {"small": b"content", "large": make_bytes(6 * MIB)}
    for name, content in contents.items():
        (mount.path / name).write_bytes(content)
    mount.check_holds(dict(contents))
    for name in contents:
        grants = mount.s3.get_object_acl(Bucket=mount.bucket, Key=f"{mount.prefix}{name}")["Grants"]
        assert "READ" in [grant["Permission"] for grant in grants if "URI" in grant["Grantee"]]
