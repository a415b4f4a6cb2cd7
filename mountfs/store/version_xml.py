"""A page of the listing of all versions of all objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mountfs.objects import ObjectInfo
from mountfs.store.list_xml import parse_time, parse_xml, quote_etag, unquote_key


class Version(NamedTuple):
    """One version of one object, or the mark that it was deleted.

    Attributes:
        info: what a LIST said of it when it was new.
        version_id: the store's name for it.
        is_deletion: it is such a mark; *info* has no size and no ETag.
    """

    info: ObjectInfo
    version_id: str
    is_deletion: bool


class VersionPage(NamedTuple):
    """One answer to a LIST of versions.

    Attributes:
        versions: in the order of their keys, and the newest of a key first.
        key_marker: where the next page begins; empty on the last page.
        version_id_marker: where the next page begins.
    """

    versions: list[Version]
    key_marker: str
    version_id_marker: str


if TYPE_CHECKING:
    from xml.etree import ElementTree


def parse_version_page(body: bytes) -> VersionPage:
    """Return the page that the body of a ListObjectVersions answer holds.

    Raises:
        ValueError: it is no such answer.
    """
    root = parse_xml(body)
    if not root.tag.endswith("ListVersionsResult"):
        raise ValueError(f"<{root.tag}> is no listing of versions")
    said = _texts(root)
    is_quoted = said.get("EncodingType") == "url"
    days: dict[str, int] = {}
    versions: list[Version] = []
    for element in root:
        kind = element.tag.rpartition("}")[2]
        if kind in ("Version", "DeleteMarker"):
            versions.append(_parse_version(_texts(element), is_quoted, kind, days))
    if said.get("IsTruncated") != "true":
        return VersionPage(versions, "", "")
    key_marker = unquote_key(said.get("NextKeyMarker", ""), is_quoted)
    if not key_marker:
        raise ValueError("a truncated page without a marker")
    return VersionPage(versions, key_marker, said.get("NextVersionIdMarker", ""))


def _parse_version(
    said: dict[str, str], is_quoted: bool, kind: str, days: dict[str, int]
) -> Version:
    if "Key" not in said or "VersionId" not in said:
        raise ValueError(f"a {kind} without Key or VersionId")
    info = ObjectInfo(
        unquote_key(said["Key"], is_quoted),
        int(said.get("Size", "0")),
        quote_etag(said.get("ETag", "")),
        parse_time(said.get("LastModified", ""), days),
    )
    return Version(info, said["VersionId"], kind == "DeleteMarker")


def _texts(parent: ElementTree.Element) -> dict[str, str]:
    return {child.tag.rpartition("}")[2]: child.text or "" for child in parent}
