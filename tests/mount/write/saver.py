"""A save loop that says what was acknowledged: the program of `test_crashes.py`.

    python -m tests.mount.write.saver DIRECTORY SEED

Saves for ever. One line of JSON before each step (what it is going to be) and one after it: a
crash of the mount ends the program, and the lines tell what must be there afterwards.
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import Any

from tests.mount.content import make_bytes

NAMES = [f"{directory}/f{n}" for directory in ("a", "b") for n in range(4)]
SIZES = [0, 10, 3000, 70_000, 400_000, 6_000_000]


def choose_step(draw: random.Random, existing: set[str], number: int) -> dict[str, Any]:
    """Return the next step: its kind, its names, and what is written."""
    step: dict[str, Any] = {"name": draw.choice(NAMES), "size": draw.choice(SIZES), "seed": number}
    kinds = ["write", "write", "replace", "stream", "append", "fsync"]
    if step["name"] in existing:
        kinds += ["unlink", "rename"]
    step["kind"] = draw.choice(kinds)
    if step["kind"] == "rename":
        step["to"] = draw.choice([name for name in NAMES if name != step["name"]])
    return step


def take_step(root: str, step: dict[str, Any]) -> None:
    """Do it; return when the last call has succeeded."""
    path, content = os.path.join(root, step["name"]), make_bytes(step["size"], step["seed"])
    match step["kind"]:
        case "write":
            with open(path, "w+b") as file:
                file.write(content)
        case "stream":
            with open(path, "wb", buffering=0) as file:
                for start in range(0, len(content), 100_000):
                    file.write(content[start : start + 100_000])
        case "append":
            with open(path, "ab") as file:
                file.write(content)
        case "fsync":
            with open(path, "r+b" if os.path.exists(path) else "w+b") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        case "replace":
            with open(f"{path}.tmp", "wb") as file:
                file.write(content)
            os.replace(f"{path}.tmp", path)
        case "unlink":
            os.unlink(path)
        case "rename":
            os.rename(path, os.path.join(root, step["to"]))


def outcome_of_step(before: dict[str, bytes], step: dict[str, Any]) -> dict[str, bytes]:
    """Return what the files hold after a step."""
    after, name = dict(before), step["name"]
    content = make_bytes(step["size"], step["seed"])
    match step["kind"]:
        case "append":
            after[name] = before.get(name, b"") + content
        case "fsync":
            after[name] = content + before.get(name, b"")[len(content) :]
        case "unlink":
            del after[name]
        case "rename":
            after[step["to"]] = after.pop(name)
        case _:
            after[name] = content
    return after


def main() -> None:
    """Save until the mount is gone."""
    root, draw = sys.argv[1], random.Random(sys.argv[2])
    existing: set[str] = set()
    number = 0
    while True:
        number += 1
        step = choose_step(draw, existing, number)
        print(json.dumps({"begin": step}), flush=True)  # noqa: T201
        try:
            take_step(root, step)
        except OSError as error:
            print(json.dumps({"error": error.errno}), flush=True)  # noqa: T201
            return
        print(json.dumps({"done": number}), flush=True)  # noqa: T201
        existing = set(outcome_of_step(dict.fromkeys(existing, b""), step))


if __name__ == "__main__":
    main()
