"""Where the process begins: Ctrl-C ends it without a traceback from the first moment on.

Importing the command takes a while, and where in it Python was is none of the user's business. So
nothing of ours is imported here before that is settled.
"""

from __future__ import annotations

import signal


def main() -> int:
    """Run the command and return its exit code; see `mountfs.command.cli.main`."""
    former = signal.getsignal(signal.SIGINT)
    if former is signal.default_int_handler:  # else a shell wants it to be ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mountfs.command import cli

    if former is signal.default_int_handler:
        signal.signal(signal.SIGINT, former)
    return cli.main()
