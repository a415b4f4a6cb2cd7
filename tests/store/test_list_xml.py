"""Listings, as S3 and its relatives write them."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.objects import ListPage, ObjectInfo
from mountfs.store.list_xml import parse_list_page

SPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
TIME = "2026-11-21T03:04:05.678Z"
TIME_NS = 1795230245_678_000_000


def entry(key: str, size: int = 1, etag: str = '"e"', modified: str = TIME) -> str:
    """Return one object of a listing."""
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{modified}</LastModified>"
        f"<ETag>{escape(etag, {chr(34): '&quot;'})}</ETag><Size>{size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def listing(*entries: str, space: str = SPACE, more: str = "", encoding: str = "url") -> bytes:
    """Return a page."""
    kind = f"<EncodingType>{encoding}</EncodingType>" if encoding else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{space}><Name>b</Name>'
        f"<Prefix/><KeyCount>1</KeyCount>{kind}{more}{''.join(entries)}</ListBucketResult>"
    ).encode()


def test_an_entry_becomes_an_object() -> None:
    """Key, size, ETag with its quotes, time in nanoseconds."""
    page = parse_list_page(listing(entry("a%2Bb+c", 5 * 1024**4)))
    assert ListPage([ObjectInfo("a+b c", 5 * 1024**4, '"e"', TIME_NS)], [], "") == page


@pytest.mark.parametrize("space", [SPACE, ' xmlns="http://obs.example.com/doc/"', ""])
def test_any_namespace_will_do(space: str) -> None:
    """Some stores name another one, or none."""
    assert 1 == len(parse_list_page(listing(entry("a"), space=space)).objects)


def test_prefixes_are_unquoted_and_the_token_is_not() -> None:
    """A token is opaque."""
    more = (
        "<CommonPrefixes><Prefix>x+y/</Prefix></CommonPrefixes>"
        "<CommonPrefixes><Prefix>%C3%A9/</Prefix></CommonPrefixes>"
        "<IsTruncated>true</IsTruncated><NextContinuationToken>a+b%20=</NextContinuationToken>"
    )
    assert ListPage([], ["x y/", "é/"], "a+b%20=") == parse_list_page(listing(more=more))


def test_a_token_on_the_last_page_is_ignored() -> None:
    """Only a truncated listing goes on."""
    more = "<IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken>"
    assert "" == parse_list_page(listing(more=more)).next_token


def test_a_store_that_does_not_quote_is_taken_at_its_word() -> None:
    """Without EncodingType in the answer, a percent sign is a percent sign."""
    page = parse_list_page(listing(entry("100%25+1"), encoding=""))
    assert ["100%25+1"] == [info.key for info in page.objects]


@pytest.mark.parametrize(
    "echo",
    [
        "&#x1;", "&#31;", "\x01",
        "\ufffe", "\uffff", "&#xFFFE;", "&#65535;", "&#xd800;",
    ],
)  # fmt: skip
def test_regression_an_echo_that_xml_cannot_hold_does_no_harm(echo: str) -> None:
    """Ceph sends back prefix and start-after unquoted, whatever is in them."""
    body = listing(entry("a%01b%09/x"), more=f"<Prefix>a{echo}b&#9;/</Prefix>")
    assert ["a\x01b\t/x"] == [info.key for info in parse_list_page(body).objects]


def test_a_bare_etag_gets_its_quotes() -> None:
    """GET answers with quotes, so ours must have them to be compared."""
    page = parse_list_page(listing(entry("a", etag="abc")))
    assert ['"abc"'] == [info.etag for info in page.objects]


@given(st.binary(min_size=1, max_size=40))
def test_every_key_survives(key: bytes) -> None:
    """Also one that is not UTF-8, and characters that XML cannot hold."""
    (info,) = parse_list_page(listing(entry(quote_plus(key)))).objects
    assert key == info.key.encode("utf-8", "surrogateescape")


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))
def test_times_are_exact(time: datetime) -> None:
    """To the microsecond, on any day."""
    time = time.replace(tzinfo=UTC)
    text = time.isoformat(timespec="microseconds").replace("+00:00", "Z")
    (info,) = parse_list_page(listing(entry("a", modified=text))).objects
    elapsed = time - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (elapsed.days * 86400 + elapsed.seconds) * 10**6 + elapsed.microseconds
    assert microseconds * 1000 == info.mtime_ns


def test_a_time_without_a_fraction_will_do() -> None:
    """Some stores write whole seconds."""
    (info,) = parse_list_page(listing(entry("a", modified="1970-01-02T00:00:01Z"))).objects
    assert 86401 * 10**9 == info.mtime_ns


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"<html><body>welcome</body></html>",
        b"not xml at all",
        listing(entry("a"))[:-30],
        listing("<Contents><Key>a</Key></Contents>"),
        listing(entry("a").replace("<Size>1<", "<Size>many<")),
        listing(more="<IsTruncated>true</IsTruncated>"),
    ],
)
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    """As ValueError, whatever it is."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is for a log, its words do not matter
        parse_list_page(body)


@pytest.mark.parametrize(
    ("modified", "expected"),
    [
        (TIME.replace("Z", "+00:00"), TIME_NS),
        (TIME.replace("Z", ""), TIME_NS),
        (TIME.replace(".678Z", ""), TIME_NS - 678_000_000),
        ("1969-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00Z", 0),
        ("0000-00-00T00:00:00Z", 0),
        ("yesterday", 0),
        ("", 0),
        ("2026-11-21T", 0),
        ("2026-11-21 03:04:05.678Z", 0),
    ],
)
def test_a_strange_time_does_not_fail_the_page(modified: str, expected: int) -> None:
    """One wrong clock must not make a directory unreadable."""
    (info,) = parse_list_page(listing(entry("a", modified=modified))).objects
    assert expected == info.mtime_ns
