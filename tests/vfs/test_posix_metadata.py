from __future__ import annotations

import stat
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.objects import ObjectHeaders
from mountfs.vfs.node_attributes import NO_ATTRIBUTES, NodeAttributes
from mountfs.vfs.posix_metadata import (
    METADATA_MAX_BYTES,
    decode_metadata,
    encode_metadata,
    metadata_size_bytes,
    require_fit,
)

NOW_NS = 1_700_000_000_012_345_678

ids = st.integers(0, 0xFFFFFFFE)
times_ns = st.integers(-(10**19), 10**19 + 7)
kinds = st.sampled_from(
    (stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
)
complete_attributes = st.builds(
    NodeAttributes,
    mode=st.builds(int.__or__, kinds, st.integers(0, 0o7777)),
    uid=ids,
    gid=ids,
    atime_ns=times_ns,
    mtime_ns=times_ns,
    ctime_ns=times_ns,
    rdev=st.none() | st.integers(0, 0xFFFFFFFF),
    xattrs=st.dictionaries(st.binary(min_size=1, max_size=30), st.binary(max_size=30), max_size=5),
)


@given(complete_attributes)
def test_attributes_come_back_as_they_were_saved(attributes: NodeAttributes) -> None:
    """All of them, of every type of file."""
    metadata = encode_metadata(attributes, is_content_new=True)
    decoded = decode_metadata(ObjectHeaders(metadata=metadata), is_directory=False)
    assert attributes == replace(decoded, headers=None)


@given(complete_attributes, st.integers(0, 0o7777))
def test_attributes_of_a_directory_come_back(attributes: NodeAttributes, bits: int) -> None:
    """From its marker."""
    attributes = replace(attributes, mode=stat.S_IFDIR | bits)
    metadata = encode_metadata(attributes, is_content_new=False)
    decoded = decode_metadata(ObjectHeaders(metadata=metadata), is_directory=True)
    assert attributes == replace(decoded, headers=None)


def test_what_is_written_is_what_s3fs_writes() -> None:
    """The exact texts."""
    attributes = NodeAttributes(
        mode=stat.S_IFREG | 0o644,
        uid=1000,
        gid=100,
        atime_ns=NOW_NS,
        mtime_ns=NOW_NS - 12_345_678,
        ctime_ns=NOW_NS,
        xattrs={b"user.a": b"one"},
    )
    assert {
        "mode": "33188",
        "uid": "1000",
        "gid": "100",
        "atime": "1700000000.012345678",
        "mtime": "1700000000.000000000",
        "ctime": "1700000000.012345678",
        "xattr": "%7B%22user.a%22%3A%22b25l%22%7D",
    } == encode_metadata(attributes, is_content_new=True)


def test_what_rclone_writes_is_read() -> None:
    """With ``--metadata``: an octal mode, RFC 3339, a hexadecimal device."""
    headers = ObjectHeaders(
        content_type="text/plain",
        metadata={
            "mtime": "1700000000.5",
            "atime": "2023-11-14T23:13:20.25+01:00",
            "btime": "2023-11-14T23:13:20+01:00",
            "mode": "100640",
            "uid": "0",
            "gid": "65534",
            "rdev": "fd01",
        },
    )
    assert NodeAttributes(
        mode=stat.S_IFREG | 0o640,
        uid=0,
        gid=65534,
        atime_ns=1_700_000_000_250_000_000,
        mtime_ns=1_700_000_000_500_000_000,
        rdev=0xFD01,
        xattrs={},
        headers=headers,
    ) == decode_metadata(headers, is_directory=False)


def test_nothing_known_is_nothing_written() -> None:
    """A file that nobody touched beyond its content has no metadata."""
    assert {} == encode_metadata(NO_ATTRIBUTES, is_content_new=True)


def test_metadata_of_others_survives_new_content() -> None:
    """But for what told of the old content."""
    headers = ObjectHeaders(
        metadata={
            "owner-team": "vision",
            "mode": "33261",
            "mtime": "1",
            "atime": "2",
            "md5chksum": "1B2M2Y8AsgTpgAmY7PhCfg==",
            "btime": "2023-11-14T23:13:20+01:00",
        }
    )
    attributes = NodeAttributes(headers=headers, uid=7)
    assert {
        "owner-team": "vision",
        "mode": "33261",
        "btime": "2023-11-14T23:13:20+01:00",
        "uid": "7",
    } == encode_metadata(attributes, is_content_new=True)


def test_metadata_of_others_survives_a_copy_as_a_whole() -> None:
    """The content is the same, so what is told of it stays true."""
    headers = ObjectHeaders(metadata={"mtime": "1", "md5chksum": "x", "team": "vision"})
    attributes = NodeAttributes(headers=headers, mode=stat.S_IFREG | 0o600)
    metadata = encode_metadata(attributes, is_content_new=False)
    assert {**headers.metadata, "mode": "33152"} == metadata


@pytest.mark.parametrize("is_content_new", [False, True])
def test_what_cannot_be_read_is_kept(is_content_new: bool) -> None:
    """Rather than destroyed."""
    headers = ObjectHeaders(metadata={"mode": "rw-r--r--", "uid": "alice", "xattr": "nonsense"})
    decoded = decode_metadata(headers, is_directory=False)
    assert NodeAttributes(headers=headers) == decoded
    assert headers.metadata == encode_metadata(decoded, is_content_new=is_content_new)


def test_removing_all_extended_attributes_removes_their_header() -> None:
    """None would mean that they are not known."""
    headers = ObjectHeaders(metadata={"xattr": "%7B%22user.a%22%3A%22b25l%22%7D"})
    decoded = decode_metadata(headers, is_directory=False)
    assert {b"user.a": b"one"} == decoded.xattrs
    assert headers.metadata == encode_metadata(decoded, is_content_new=True)
    assert {} == encode_metadata(replace(decoded, xattrs={}), is_content_new=True)


@given(complete_attributes)
def test_everything_that_is_written_is_printable_ascii(attributes: NodeAttributes) -> None:
    """So it arrives everywhere as it was sent."""
    for value in encode_metadata(attributes, is_content_new=True).values():
        assert value.isascii()
        assert value.isprintable()


def test_foreign_text_beyond_ascii_counts_as_it_is_sent() -> None:
    """Encoded; and it is kept as it came."""
    metadata = {"title": "ü"}
    attributes = NodeAttributes(headers=ObjectHeaders(metadata=metadata))
    assert metadata == encode_metadata(attributes, is_content_new=True)
    assert len("x-amz-meta-title=?UTF-8?B?w7w=?=") == metadata_size_bytes(metadata)


@given(complete_attributes, st.integers(0, 2000))
def test_what_was_found_to_fit_always_fits(attributes: NodeAttributes, foreign_bytes: int) -> None:
    """Later times and other owners do not make it larger than it may be."""
    headers = ObjectHeaders(metadata={"notes": "x" * foreign_bytes})
    attributes = replace(attributes, headers=headers)
    try:
        require_fit(replace(attributes, uid=None, gid=None, atime_ns=None, mtime_ns=None))
    except OSError:
        return
    metadata = encode_metadata(attributes, is_content_new=True)
    decoded = decode_metadata(ObjectHeaders(metadata=metadata), is_directory=False)
    assert attributes == replace(decoded, headers=headers)
    assert metadata_size_bytes(metadata) <= METADATA_MAX_BYTES


@given(complete_attributes, st.integers(0, METADATA_MAX_BYTES - len("x-amz-meta-notes")))
def test_metadata_never_grows_over_the_limit(
    attributes: NodeAttributes, foreign_bytes: int
) -> None:
    """The upload of content must not fail for it: ours gives way, what others wrote does not."""
    headers = ObjectHeaders(metadata={"notes": "x" * foreign_bytes})
    metadata = encode_metadata(replace(attributes, headers=headers), is_content_new=True)
    assert "x" * foreign_bytes == metadata["notes"]
    assert metadata_size_bytes(metadata) <= METADATA_MAX_BYTES


def test_metadata_that_was_full_already_is_sent_as_it_came() -> None:
    """The store took it once."""
    headers = ObjectHeaders(metadata={"notes": "x" * METADATA_MAX_BYTES})
    attributes = NodeAttributes(headers=headers, mode=stat.S_IFREG | 0o600, ctime_ns=NOW_NS)
    assert headers.metadata == encode_metadata(attributes, is_content_new=True)
