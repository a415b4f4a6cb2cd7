"""A page of the listing of unfinished uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mountfs.objects import PendingUpload
from mountfs.store.list_xml import parse_time, unquote_key

if TYPE_CHECKING:
    from xml.etree import ElementTree


class UploadPage(NamedTuple):
    """One answer to a LIST of uploads.

    Attributes:
        uploads: in the order of the store.
        key_marker: where the next page begins; empty on the last page.
        upload_id_marker: where the next page begins.
    """

    uploads: list[PendingUpload]
    key_marker: str
    upload_id_marker: str


def parse_upload_page(root: ElementTree.Element) -> UploadPage:
    """Return the page that the root of a ListMultipartUploads answer holds.

    Raises:
        ValueError: it is no such answer.
    """
    if root.tag.rpartition("}")[2] != "ListMultipartUploadsResult":
        raise ValueError(f"<{root.tag}> is no listing of uploads")
    said = _texts(root)
    is_quoted = said.get("EncodingType") == "url"
    uploads = []
    for element in root:
        if element.tag.rpartition("}")[2] == "Upload":
            of_upload = _texts(element)
            uploads.append(
                PendingUpload(
                    unquote_key(of_upload["Key"], is_quoted),
                    of_upload["UploadId"],
                    parse_time(of_upload.get("Initiated", ""), {}),
                )
            )
    if said.get("IsTruncated") != "true":
        return UploadPage(uploads, "", "")
    key_marker = unquote_key(said.get("NextKeyMarker", ""), is_quoted)
    if not key_marker:
        raise ValueError("a truncated page without a marker")
    return UploadPage(uploads, key_marker, said.get("NextUploadIdMarker", ""))


def _texts(parent: ElementTree.Element) -> dict[str, str]:
    return {child.tag.rpartition("}")[2]: child.text or "" for child in parent}
