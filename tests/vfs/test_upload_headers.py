from __future__ import annotations

import mimetypes
import stat

import pytest

from mountfs.objects import ObjectHeaders
from mountfs.vfs.content_type import DEFAULT, guess_content_type
from mountfs.vfs.node_attributes import NodeAttributes
from mountfs.vfs.upload_headers import (
    headers_for_content,
    headers_for_copy,
    headers_for_directory,
)


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        (b"model.safetensors", DEFAULT),
        (b"epoch=3.ckpt", DEFAULT),
        (b"x.npy", DEFAULT),
        (b"part-0001.parquet", "application/vnd.apache.parquet"),
        (b"train.h5", "application/x-hdf5"),
        (b"log.jsonl", "application/jsonl"),
        (b"shard-000.tar", "application/x-tar"),
        (b"shard-000.tar.gz", "application/gzip"),
        (b"config.json", "application/json"),
        (b"PHOTO.JPEG", "image/jpeg"),
        (b"index.html", "text/html"),
        (b"notes.txt", "text/plain"),
        (b"train.py", "text/x-python"),
        (b"data.csv", "text/csv"),
        (b"README", DEFAULT),
        (b".json", DEFAULT),
        (b"ends.", DEFAULT),
        (b"tmp.x8Jq", DEFAULT),
        (b"\xff\xfe.json", "application/json"),
        (b"", DEFAULT),
    ],
)
def test_the_content_type_is_guessed_from_the_name(name: bytes, content_type: str) -> None:
    """For the files of training, and for what browsers show."""
    assert content_type == guess_content_type(name)


def test_the_tables_of_the_operating_system_do_not_matter() -> None:
    """Two hosts send the same type for the same name."""
    before = guess_content_type(b"a.strange-suffix")
    mimetypes.add_type("application/x-strange", ".strange-suffix")
    assert before == DEFAULT == guess_content_type(b"a.strange-suffix")


OLD = ObjectHeaders(
    content_type="application/x-chosen",
    cache_control="max-age=60",
    content_encoding="gzip",
    content_disposition='attachment; filename="a"',
    content_language="de",
    metadata={"team": "vision", "md5chksum": "x"},
)


def test_new_content_keeps_what_was_chosen_for_the_name() -> None:
    """And drops what was true of the old bytes: their encoding, their digest."""
    assert ObjectHeaders(
        content_type="application/x-chosen",
        cache_control="max-age=60",
        content_disposition='attachment; filename="a"',
        content_language="de",
        metadata={"team": "vision"},
    ) == headers_for_content(b"a.json", NodeAttributes(headers=OLD))


@pytest.mark.parametrize("generic", ["", "binary/octet-stream", "application/octet-stream"])
def test_a_type_that_nobody_chose_is_guessed_again(generic: str) -> None:
    """The default of a store or a client is not a choice."""
    attributes = NodeAttributes(headers=ObjectHeaders(content_type=generic))
    assert "application/json" == headers_for_content(b"a.json", attributes).content_type


def test_a_new_file_has_a_type_and_nothing_else() -> None:
    """Nothing to say is nothing sent."""
    assert ObjectHeaders(content_type="application/json") == headers_for_content(b"a.json", None)


def test_a_link_is_not_of_the_type_that_its_name_suggests() -> None:
    """Its content is a path."""
    link = NodeAttributes(mode=stat.S_IFLNK | 0o777)
    assert ObjectHeaders(content_type=DEFAULT, metadata={"mode": "41471"}) == headers_for_content(
        b"a.json", link
    )


def test_a_copy_keeps_everything_but_the_attributes() -> None:
    """The bytes are the same, so what is said of them is, too."""
    attributes = NodeAttributes(headers=OLD, mode=stat.S_IFREG | 0o600)
    headers = headers_for_copy(attributes)
    assert {**OLD.metadata, "mode": "33152"} == headers.metadata
    assert "gzip" == headers.content_encoding
    assert "application/x-chosen" == headers.content_type


def test_a_directory_is_recognised_by_its_type() -> None:
    """s3fs looks at it."""
    attributes = NodeAttributes(mode=stat.S_IFDIR | 0o755)
    assert ObjectHeaders(
        content_type="application/x-directory", metadata={"mode": "16877"}
    ) == headers_for_directory(attributes)
    assert "application/x-directory" == headers_for_directory(None).content_type
