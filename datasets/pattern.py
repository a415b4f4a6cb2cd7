"""Names with wildcards and ranges: ``*``, ``?``, ``[...]``, ``**``, ``{000..127}``, ``{a,b}``."""

from __future__ import annotations

import fnmatch
import os
import re
from typing import TYPE_CHECKING

from mountfs.datasets.walk import sorted_names, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_WILDCARD = re.compile(r"[*?[]")


def has_braces(text: str) -> bool:
    """Say whether there is a range or a choice to expand."""
    return any(_is_choice(found[1]) for found in _BRACES.finditer(text))


def has_wildcard(text: str) -> bool:
    """Say whether there is anything for ``match_files`` to match."""
    return _WILDCARD.search(text) is not None


def expand_braces(text: str) -> Iterator[str]:
    """Yield the texts that ranges and choices stand for, lazily, the last one varying fastest.

    A range is inclusive, may go down, and pads with zeros to the width of its longer end where one
    of them starts with a zero. Braces around anything else stay as they are.
    """
    for found in _BRACES.finditer(text):
        if _is_choice(found[1]):
            before, after = text[: found.start()], text[found.end() :]
            for choice in _choices(found[1]):
                for rest in expand_braces(after):
                    yield before + choice + rest
            return
    yield text


def match_files(pattern: str) -> Iterator[str]:
    """Yield the files that a pattern matches, in key order; a directory stands for all below it.

    ``**`` as a whole component matches any number of directories, and only files after it. As in a
    shell, a leading dot has to be matched by a dot, but everything below a directory that is
    matched counts.

    Raises:
        OSError: A directory that has to be read cannot be.
    """
    components = pattern.split("/")
    # What comes before the first wildcard is where to begin; an absolute path starts with "".
    first = next(i for i, component in enumerate(components) if has_wildcard(component))
    base = os.fsencode("/".join(components[:first]))
    if first and not base:
        base = b"/"
    wanted = [component for component in components[first:] if component]
    only_directories = pattern.endswith("/")
    for path in _match(base, wanted, only_directories):
        yield os.fsdecode(path)


def _match(directory: bytes, wanted: list[str], only_directories: bool) -> Iterator[bytes]:
    base = directory if not directory or directory.endswith(b"/") else directory + b"/"
    component, rest = wanted[0], wanted[1:]
    if component == "**":
        yield from _match_below(directory, len(base), rest)
        return
    matches = re.compile(fnmatch.translate(component)).match
    for name in sorted_names(directory):
        plain = name.rstrip(b"/")
        text = os.fsdecode(plain)  # a wildcard means a character, not a byte
        if not matches(text) or (text.startswith(".") and not component.startswith(".")):
            continue
        is_directory = name != plain
        if rest:
            if is_directory:
                yield from _match(base + plain, rest, only_directories)
        elif is_directory:
            yield from map(os.fsencode, walk(os.fsdecode(base + plain)))
        elif not only_directories:
            yield base + plain


def _match_below(directory: bytes, base_length: int, wanted: list[str]) -> Iterator[bytes]:
    """Yield the files at any depth whose path below the directory matches the rest."""
    expression = "".join(
        r"(?:(?!\.)[^/]*/)*" if component == "**" else _component_expression(component) + "/"
        for component in wanted
    ).removesuffix("/")
    below = r"(?:(?!\.)[^/]*/)*" + (expression if wanted else r"(?!\.)[^/]*")
    if wanted and wanted[-1] == "**":
        below += r"(?!\.)[^/]*"
    matches = re.compile(below, re.DOTALL).fullmatch
    for path in map(os.fsencode, walk(os.fsdecode(directory))):
        if matches(os.fsdecode(path[base_length:])):
            yield path


def _component_expression(component: str) -> str:
    """Translate one component, whose wildcards must not match a slash or a leading dot."""
    parts = []
    for piece in re.findall(r"\[!?\]?[^\]]*\]|\*+|\?|[^*?[]+|\[", component):
        if piece.startswith("*"):
            parts.append("[^/]*")
        elif piece == "?":
            parts.append("[^/]")
        elif piece.startswith("[") and len(piece) > 2:
            body = piece[1:-1].replace("\\", r"\\")
            parts.append(f"(?!/)[{'^' + body[1:] if body.startswith('!') else body}]")
        else:
            parts.append(re.escape(piece))
    hidden = "" if component.startswith(".") else r"(?!\.)"
    return hidden + "".join(parts)


def _is_choice(inside: str) -> bool:
    return "," in inside or _RANGE.fullmatch(inside) is not None


def _choices(inside: str) -> Iterator[str]:
    found = _RANGE.fullmatch(inside)
    if found is None:
        yield from inside.split(",")
        return
    first, last = found[1], found[2]
    is_padded = any(len(end) > 1 and end.startswith("0") for end in (first, last))
    width = max(len(first), len(last)) if is_padded else 0
    step = 1 if int(first) <= int(last) else -1
    for number in range(int(first), int(last) + step, step):
        yield str(number).zfill(width)
