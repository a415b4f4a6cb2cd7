"""How far it is: as a value, over a socket, over a pipe, before people's eyes."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mountfs.command.feed import MAX_LISTENERS, Feed
from mountfs.command.presence import Server
from mountfs.command.progress import LINE_SECONDS, LineDisplay, make_display
from mountfs.command.remains import MAX_NAMES, Remains, parse_remains
from mountfs.command.wait_for_end import Ending
from mountfs.errors import MountError, NotPublishedError
from tests.cli.test_daemonize import run_program

COUNTS = st.integers(min_value=0, max_value=2**63)


class SeenRemains:
    """A display that keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[Remains] = []
        self.is_closed = False

    def show(self, remains: Remains) -> None:
        """Keep it."""
        self.seen.append(remains)

    def close(self) -> None:
        """Keep that, too."""
        self.is_closed = True


@given(dirty_count=COUNTS, pending_bytes=COUNTS, path=st.text(max_size=600), reason=st.text())
def test_what_remains_is_read_as_it_was_sent_and_moves_no_cursor(
    dirty_count: int, pending_bytes: int, path: str, reason: str
) -> None:
    """Whatever a name holds."""
    sent = {
        "dirty_count": dirty_count,
        "pending_bytes": pending_bytes,
        "dirty_paths": [path],
        "failing": [[path, reason]] * 20,
    }
    remains = parse_remains(sent)
    assert (dirty_count, pending_bytes) == (remains.dirty_count, remains.pending_bytes)
    assert len(remains.failing) == MAX_NAMES
    assert (remains.dirty_paths[0] + remains.failing[0][1]).isprintable()
    assert remains == parse_remains(json.loads(json.dumps(remains.as_dict())))


@given(st.recursive(st.none() | st.text() | COUNTS, lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["dirty_count", "dirty_paths", "failing"]), inner)))  # fmt: skip
def test_what_somebody_else_sends_is_a_value_or_refused(found: object) -> None:
    """Anybody may have taken the name of the socket."""
    try:
        remains = parse_remains(found)
    except ValueError:
        return
    assert isinstance(remains, Remains)


def test_lines_are_few() -> None:
    """One at first, one each half a minute, none when nothing is left."""
    lines: list[str] = []
    now = 0.0
    display = LineDisplay("publishing", lines.append, clock=lambda: now)
    display.show(Remains())
    assert lines == []
    for number in range(100):
        now = number * LINE_SECONDS / 50
        display.show(Remains(pending_count=2, pending_bytes=1024, failing=(("p", "r"),)))
    assert ["publishing: 2 files (1.0 KiB) left; p: r"] * 2 == lines


def test_what_is_no_terminal_gets_lines() -> None:
    """For instance a pipe, or the journal of systemd."""
    stream = io.StringIO()
    make_display("publishing", stream).show(Remains(pending_count=1))
    assert stream.getvalue() == "mountfs: publishing: 1 file left\n"


def connected_pair(feed: Feed, address: str) -> tuple[socket.socket, socket.socket]:
    """Return a server that does not block, and a socket that *feed* talks to."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    server.bind(address)
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect(address)
    client.setblocking(False)
    feed.accept_all(server)
    return server, client


def ending_of(client: socket.socket, display: SeenRemains, pid: int) -> Ending:
    """Watch *pid*, whose words come from *client*."""
    return Ending(Server(pid=pid, connection=client), display)


def test_who_waits_hears_how_far_it_is_and_the_verdict() -> None:
    """And the verdict is an error."""
    feed, display = Feed(), SeenRemains()
    server, client = connected_pair(feed, f"\0mountfs-test/verdict/{os.getpid()}")
    child = os.fork()
    if child == 0:
        os._exit(0)
    feed.tell("publishing", Remains(dirty_count=3))
    feed.tell("ended", Remains(dirty_count=1), "1 file lost")
    with (
        server,
        ending_of(client, display, child) as ending,
        pytest.raises(NotPublishedError, match="ended with 1 file lost"),
    ):
        ending.wait()
    os.waitpid(child, 0)
    assert [3, 1] == [remains.dirty_count for remains in display.seen]
    assert display.is_closed
    feed.close()


def test_a_process_that_says_nothing_is_not_waited_for_endlessly() -> None:
    """It hangs; one that says something is waited for as long as it takes."""
    feed, display = Feed(), SeenRemains()
    server, client = connected_pair(feed, f"\0mountfs-test/silence/{os.getpid()}")
    feed.tell("publishing", Remains(dirty_count=3))
    with (
        server,
        ending_of(client, display, os.getppid()) as ending,
        pytest.raises(MountError, match="has not ended and is silent"),
    ):
        ending.wait(silence_seconds=0.05)
    assert len(display.seen) == 1
    feed.close()


@pytest.mark.parametrize("words", [b"garbage\n", b"[]\n", b"{}\n", b"x" * 100_000])
def test_a_stranger_on_the_socket_changes_nothing(words: bytes) -> None:
    """What cannot be understood is left, and the end of the process counts."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.sendall(words)
    child = os.fork()
    if child == 0:
        os._exit(0)
    with ending_of(ours, SeenRemains(), child) as ending, theirs:
        ending.wait()
    os.waitpid(child, 0)


def test_who_does_not_listen_is_dropped_and_nobody_waits_for_him() -> None:
    """The mount process must not hang because a command does."""
    feed = Feed()
    address = f"\0mountfs-test/deaf/{os.getpid()}"
    server, client = connected_pair(feed, address)
    remains = Remains(dirty_paths=("x" * 200,) * MAX_NAMES)
    for _ in range(2000):
        feed.tell("publishing", remains)
    assert len(feed._listeners) == 0
    clients = []
    for _ in range(MAX_LISTENERS + 3):
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].connect(address)
        feed.accept_all(server)
    assert len(feed._listeners) == MAX_LISTENERS
    for each in (server, client, *clients):
        each.close()
    feed.tell("ended", Remains())
    assert len(feed._listeners) == 0


def test_progress_of_the_start_is_shown_and_never_holds_it_up() -> None:
    """Also if nobody reads: the pipe is full then, and lines are left out."""
    body = (
        "from mountfs.command.remains import Remains\n"
        "    for number in range(20_000, -1, -1): "
        "reporter.progress(Remains(pending_count=number, failing=(('p' * 250, 'r' * 250),) * 5))\n"
        "    reporter.ready(); return ExitCode.OK"
    )
    assert run_program(body).stdout == "0 \n"


def test_the_foreground_shows_the_progress_of_the_child() -> None:
    """As it comes over the pipe."""
    body = (
        "from mountfs.command.remains import Remains\n"
        "    reporter.progress(Remains(pending_count=7))\n"
        "    reporter.failed(ExitCode.USAGE, 'no'); return ExitCode.OK"
    )
    program = (
        "from mountfs.command.progress import LineDisplay\n"
        "from mountfs.command.daemonize import run_in_background\n"
        "from mountfs.command.exit_code import ExitCode\n"
        f"def run(reporter):\n    {body}\n"
        "code, message = run_in_background(run, None, LineDisplay('replay', print))\n"
        "print(int(code), message, flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "replay: 7 files left\n2 no\n"
