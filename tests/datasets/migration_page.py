"""The examples of ``docs/migrating.md``: what its right-hand columns say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "migrating.md"

_EXAMPLE = re.compile(r"^### (.+?)\n(.*?)^</table>", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example.

    Attributes:
        title: its heading.
        language: ``python`` or ``shell``.
        before: with the connector.
        after: without it.
    """

    title: str
    language: str
    before: str
    after: str


def read_examples() -> dict[str, Example]:
    """Return the examples of the page by their titles."""
    examples = {}
    for title, body in _EXAMPLE.findall(PAGE.read_text()):
        (language, before), (_, after) = _CODE.findall(body)
        examples[title] = Example(title=title, language=language, before=before, after=after)
    return examples
