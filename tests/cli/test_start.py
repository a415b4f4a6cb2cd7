"""The first moments of the process, in which Python is still importing the command."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.command import environment

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == "mountfs.command.{module}":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
signal.signal(signal.SIGINT, {handler})
"""

CONSOLE_SCRIPT = "from {module} import {function}; sys.exit({function}())"
MODULE = "import runpy; runpy.run_module('mountfs', run_name='__main__', alter_sys=True)"


def run(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run *code* as ``mountfs --version``."""
    return subprocess.run(
        [sys.executable, "-c", code, "--version"],
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )


def console_script() -> str:
    """Return what the installed command does."""
    entry = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]["mountfs"]
    module, _, function = entry.partition(":")
    return CONSOLE_SCRIPT.format(module=module, function=function)


@pytest.mark.parametrize("start", [console_script(), MODULE])
@pytest.mark.parametrize("module", ["cli", "config", "status"])
def test_an_interrupt_while_the_command_is_imported_ends_it_without_a_word(
    tmp_path: Path, start: str, module: str
) -> None:
    """As it ends a command that is no Python: by the signal."""
    code = INTERRUPTED_IMPORT.format(module=module, handler="signal.default_int_handler")
    done = run(code + start, tmp_path)
    assert (-signal.SIGINT, "", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("start", [console_script(), MODULE])
def test_a_command_that_was_told_to_ignore_interrupts_does(tmp_path: Path, start: str) -> None:
    """A shell says so to what it starts in the background."""
    code = INTERRUPTED_IMPORT.format(module="cli", handler="signal.SIG_IGN")
    done = run(code + start, tmp_path)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("handler", ["signal.default_int_handler", "signal.SIG_IGN"])
def test_afterwards_interrupts_are_what_they_were(tmp_path: Path, handler: str) -> None:
    """The command itself tidies up and says so."""
    code = INTERRUPTED_IMPORT.format(module="nothing", handler=handler)
    checked = f"import atexit; atexit.register(lambda: print(signal.getsignal(2) is {handler}))\n"
    done = run(code + checked + console_script(), tmp_path)
    assert (0, "", "True") == (done.returncode, done.stderr, done.stdout.splitlines()[-1])
