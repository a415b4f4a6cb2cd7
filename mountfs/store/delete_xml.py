"""The answer to a request that deletes many keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mountfs.store.translate import error_of_code

if TYPE_CHECKING:
    from xml.etree import ElementTree

    from mountfs.errors import StoreError


def parse_failures(root: ElementTree.Element) -> dict[str, StoreError]:
    """Return what could not be deleted, and why; what was not there is no failure."""
    failures: dict[str, StoreError] = {}
    for element in root:
        if element.tag.rpartition("}")[2] != "Error":
            continue
        said = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
        key, code = said.get("Key", ""), said.get("Code", "")
        if code != "NoSuchKey":
            failures[key] = error_of_code(code, f"DELETE {key!r}: {said.get('Message') or code}")
    return failures
