"""The architecture, enforced: imports point down, libraries have one home, modules say why.

What counts is every import statement, also inside of functions and for type checking only: a layer
that names a type of a higher one knows too much.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

BASICS = {"_version", "errors", "keys", "log", "metrics", "mounts", "objects", "ttl"}
"""Top-level modules that know nothing of the others."""

SEMANTICS = {"attributes", "control_directory", "filesystem", "vfs"}
"""Top-level modules that say what a file system does: no FUSE, no S3."""

# The rest is folders. A layer may import itself and what is listed.
ALLOWED = {
    "basics": set[str](),
    "store": {"basics"},
    "meta": {"basics", "store"},
    "data": {"basics", "store"},
    "semantics": {"basics", "store", "meta", "data"},
    "fuse": {"basics", "store", "meta", "data", "semantics"},
    "command": {"basics", "store", "meta", "data", "semantics", "fuse"},
    "datasets": set[str](),
}

HOMES = {
    "awscrt": {"store"},
    "boto3": {"store"},
    "botocore": {"store"},
    "prometheus_client": {"basics"},
    "_typeshed": {"datasets"},  # exists for mypy only
    "torch": {"datasets"},
    "tqdm": {"command"},
    "trio": {"store", "meta", "data", "semantics", "fuse", "command"},
    "zstandard": {"datasets"},
    # of the standard library, but as telling
    "argparse": {"command", "datasets"},
    "tomllib": {"command"},
    "xml": {"store"},
}

NOT_BEFORE_FORK = ("awscrt", "boto3", "botocore", "trio")
"""After CRT was used a forked child's requests hang; trio must not have a loop, boto3 is slow."""


def find_sources() -> list[Path]:
    """Return all modules that are installed."""
    return sorted([*ROOT.glob("mountfs/**/*.py"), *ROOT.glob("datasets/**/*.py")])


def layer_of_module(name: str) -> str:
    """Return the layer of an absolute module name below ``mountfs``."""
    parts = name.split(".")
    if len(parts) == 1:
        return "basics"  # the package itself, which only knows its version
    if parts[1] in ("store", "meta", "data", "fuse", "command", "datasets"):
        return parts[1]
    if parts[1] in BASICS:
        return "basics"
    return "semantics" if parts[1] in SEMANTICS else "command"


def module_name_of(path: Path) -> str:
    """Return the name under which a source file is imported."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "datasets":
        parts.insert(0, "mountfs")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and absolute name of everything that a source file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            if node.module == "mountfs":  # `from mountfs import keys` imports a module
                yield from ((node.lineno, f"mountfs.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def test_imports_point_down() -> None:
    """A layer imports itself and lower ones; meta and data never meet."""
    wrong = []
    for path in find_sources():
        layer = layer_of_module(module_name_of(path))
        for line, name in find_imports(path):
            if name.split(".")[0] != "mountfs" or name == "mountfs.__version__":
                continue
            imported = layer_of_module(name)
            if imported != layer and imported not in ALLOWED[layer]:
                where = f"{path.relative_to(ROOT)}:{line}"
                wrong.append(f"{where}: {layer} may not import {imported} ({name})")
    assert wrong == []


def test_each_library_has_one_home() -> None:
    """Nobody outside of its home imports a third-party library; an unknown one has no home."""
    wrong = []
    for path in find_sources():
        layer = layer_of_module(module_name_of(path))
        for line, name in find_imports(path):
            library = name.split(".")[0]
            is_free = library in sys.stdlib_module_names and library not in HOMES
            if library != "mountfs" and not is_free and layer not in HOMES.get(library, ()):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {layer} may not import {library}")
    assert wrong == []


def test_every_module_says_why_it_exists() -> None:
    """Each has a docstring, but for what is empty; a test module may speak through its tests."""
    paths = [*find_sources(), *ROOT.glob("scripts/**/*.py")]
    trees = {str(path): ast.parse(path.read_text()) for path in paths}
    silent = [path for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)]
    assert silent == []


@pytest.mark.parametrize("module", ["mountfs", "mountfs.command.cli", "mountfs.datasets"])
def test_importing_the_command_loads_nothing_that_a_fork_breaks(module: str) -> None:
    """What must be imported after the fork is not there before it."""
    program = f"import sys, {module}; print(*sorted(n.split('.')[0] for n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert {*NOT_BEFORE_FORK} & {*done.stdout.split()} == set()
