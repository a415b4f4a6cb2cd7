from __future__ import annotations

import json
import stat
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.vfs.attribute_text import (
    format_rdev,
    format_time_ns,
    format_xattrs,
    parse_id,
    parse_mode,
    parse_rdev,
    parse_time_ns,
    parse_xattrs,
)
from mountfs.vfs.posix_rules import TIME_LIMIT_SECONDS

SECOND_NS = 1_000_000_000
LIMIT_NS = TIME_LIMIT_SECONDS * SECOND_NS

USUAL_MODES = [
    *(stat.S_IFREG | bits for bits in range(0o10000)),
    stat.S_IFLNK | 0o777,
    *(
        kind | bits
        for kind in (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
        for bits in range(0o1000)
    ),
]
"""Every mode that a file other than a directory ever has, but for oddities like a set-uid FIFO."""


@given(st.integers(1 - LIMIT_NS, LIMIT_NS - 1))
def test_a_time_comes_back_as_it_was_written(time_ns: int) -> None:
    """To the nanosecond, also before 1970."""
    assert time_ns == parse_time_ns(format_time_ns(time_ns))


@given(st.integers())
def test_a_time_out_of_range_is_written_as_the_nearest_in_range(time_ns: int) -> None:
    """Whatever an application asks for can be written and read."""
    read_ns = parse_time_ns(format_time_ns(time_ns))
    assert max(1 - LIMIT_NS, min(time_ns, LIMIT_NS - 1)) == read_ns


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        # s3fs: nine digits; older ones whole seconds
        ("1700000000.012345678", 1_700_000_000_012_345_678),
        ("1700000000", 1_700_000_000 * SECOND_NS),
        # rclone: no trailing zeros
        ("1354040105.123456789", 1_354_040_105_123_456_789),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("-1.5", -1_500_000_000),
        # rclone --metadata
        ("2006-01-02T15:04:05.999999999+07:00", 1_136_189_045_999_999_999),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * SECOND_NS),
        ("1969-12-31T23:59:59.25Z", -750_000_000),
        (" 1700000000.0000000009 ", 1_700_000_000 * SECOND_NS),
    ],
)
def test_times_of_other_clients_are_read(text: str, time_ns: int) -> None:
    """The exact forms that s3fs and rclone write."""
    assert time_ns == parse_time_ns(text)


def test_a_time_is_written_with_nine_digits() -> None:
    """s3fs takes the digits after the dot for a number of nanoseconds, however many there are."""
    assert "1700000000.500000000" == format_time_ns(1_700_000_000_500_000_000)
    assert "-0.000000001" == format_time_ns(-1)


@pytest.mark.parametrize("mode", USUAL_MODES[:: 7 * 11])
def test_usual_modes_come_back_from_either_notation(mode: int) -> None:
    """No hint is needed to tell s3fs' decimal from rclone's octal."""
    assert mode == parse_mode(str(mode), is_directory=False, is_decimal=False)
    assert mode == parse_mode(f"{mode:o}", is_directory=False, is_decimal=False)
    assert mode == parse_mode(f"0{mode:o}", is_directory=False, is_decimal=False)


def test_no_usual_mode_is_ambiguous() -> None:
    """All of them at once: the property above for each."""
    wrong = [
        oct(mode)
        for mode in USUAL_MODES
        for text in (str(mode), f"{mode:o}")
        if mode != parse_mode(text, is_directory=False, is_decimal=False)
    ]
    assert [] == wrong


def test_no_mode_of_a_directory_is_ambiguous() -> None:
    """The key says that it is a directory, so only directories' modes are possible."""
    modes = [stat.S_IFDIR | bits for bits in range(0o10000)]
    wrong = [
        oct(mode)
        for mode in modes
        for text in (str(mode), f"{mode:o}")
        if mode != parse_mode(text, is_directory=True, is_decimal=False)
    ]
    assert [] == wrong


def test_every_mode_comes_back_as_it_was_written_here() -> None:
    """Also oddities, since our own metadata has a hint that it is decimal."""
    kinds = (stat.S_IFREG, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
    modes = [kind | bits for kind in kinds for bits in range(0o10000)]
    wrong = [m for m in modes if m != parse_mode(str(m), is_directory=False, is_decimal=True)]
    assert [] == wrong


@pytest.mark.parametrize(
    ("text", "is_directory", "mode"),
    [
        ("33188", False, stat.S_IFREG | 0o644),
        ("33261", False, stat.S_IFREG | 0o755),
        ("41471", False, stat.S_IFLNK | 0o777),
        ("16877", True, stat.S_IFDIR | 0o755),
        ("0100664", False, stat.S_IFREG | 0o664),
        ("100644", False, stat.S_IFREG | 0o644),
        ("40755", True, stat.S_IFDIR | 0o755),
        ("41777", True, stat.S_IFDIR | 0o1777),
        ("10644", False, stat.S_IFIFO | 0o644),
        # permissions only: with a zero octal, else decimal as s3fs reads them
        ("0640", False, stat.S_IFREG | 0o640),
        ("416", False, stat.S_IFREG | 0o640),
        ("0750", True, stat.S_IFDIR | 0o750),
    ],
)
def test_modes_of_other_clients_are_read(text: str, is_directory: bool, mode: int) -> None:
    """The exact forms that s3fs and rclone write."""
    assert mode == parse_mode(text, is_directory=is_directory, is_decimal=False)


def test_a_mode_that_contradicts_the_key_means_nothing() -> None:
    """A file does not become a directory, nor a directory a file, by what its metadata says."""
    assert parse_mode("16877", is_directory=False, is_decimal=True) is None
    assert parse_mode("33188", is_directory=True, is_decimal=True) is None


@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=40)))
def test_extended_attributes_come_back_as_they_were_written(xattrs: dict[bytes, bytes]) -> None:
    """Whatever bytes are in names and values, in ASCII on the way."""
    text = format_xattrs(xattrs)
    assert text.isascii()
    assert text.isprintable()
    assert xattrs == parse_xattrs(text)


def test_extended_attributes_are_written_as_s3fs_reads_them() -> None:
    """URL-encoded, no blanks, names in quotes, values in base64."""
    text = format_xattrs({b"user.b": b"\0\xff", b"user.a": b"one"})
    assert '{"user.a":"b25l","user.b":"AP8="}' == unquote(text)
    assert "%7B%22user.a%22%3A%22b25l%22%2C%22user.b%22%3A%22AP8%3D%22%7D" == text


def test_a_plus_in_extended_attributes_is_not_a_blank() -> None:
    """Base64 has plus signs, which some encoders leave as they are."""
    text = '%7B"user.a":"+/8="%7D'
    assert {b"user.a": b"\xfb\xff"} == parse_xattrs(text)


def test_ids_and_devices_are_read() -> None:
    """Decimal and hexadecimal; what the kernel cannot have means nothing."""
    assert 1000 == parse_id("1000")
    assert 0xFFFFFFFE == parse_id("4294967294")
    assert parse_id("4294967295") is None
    assert 0x1ABC == parse_rdev("1abc")
    assert 0xFFFFFFFF == parse_rdev(format_rdev(0xFFFFFFFF))
    assert parse_rdev("100000000") is None


GARBAGE = st.one_of(
    st.none(),
    st.text(),
    st.text('0123456789.-+:TZxe%{}[]" \n', max_size=40),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ).map(json.dumps),
)


@given(GARBAGE)
def test_nothing_that_somebody_wrote_makes_reading_fail(text: str | None) -> None:
    """What means nothing is None, and never out of range."""
    for is_directory in (False, True):
        mode = parse_mode(text, is_directory, is_decimal=False)
        assert mode is None or is_directory == stat.S_ISDIR(mode)
        assert mode is None or 0 <= mode <= 0o177777
    for value, top in ((parse_id(text), 0xFFFFFFFE), (parse_rdev(text), 0xFFFFFFFF)):
        assert value is None or 0 <= value <= top
    time_ns = parse_time_ns(text)
    assert time_ns is None or abs(time_ns) <= LIMIT_NS
    xattrs = parse_xattrs(text)
    assert xattrs is None or all(type(value) is bytes for value in xattrs.values())


@pytest.mark.parametrize(
    "text", ["", "abc", "1e9", "99999999999", "٣", "2023-02-30T00:00:00Z", "2023-01-01", "1.2.3"]
)
def test_what_is_no_time_means_nothing(text: str) -> None:
    """Rather no time than a wrong one."""
    assert parse_time_ns(text) is None


@pytest.mark.parametrize("text", ["[" * 2000, "{", "%7B%22a%22:1%7D", '{"a":"?"}', "null", '"x"'])
def test_what_is_no_list_of_extended_attributes_means_nothing(text: str) -> None:
    """None, not an empty one: then what is there is kept as it is."""
    assert parse_xattrs(text) is None
