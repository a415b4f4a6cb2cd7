"""What is this process doing? All trio tasks, nested as they wait for each other, all threads."""

from __future__ import annotations

import sys
import threading
import traceback
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator


def describe_stacks() -> str:
    """Return the stacks of all tasks and threads; call it from within trio."""
    return "\n".join(["tasks:", *_task_lines(), "threads:", *_thread_lines()])


def _task_lines() -> Iterator[str]:
    root = trio.lowlevel.current_root_task()
    # A stack of our own, since tasks nest deeper than Python's.
    waiting = [(root, 0)] if root is not None else []
    while waiting:
        task, depth = waiting.pop()
        indent = "  " * (depth + 1)
        yield f"{indent}{task.name}"
        for frame, line in task.iter_await_frames():
            code = frame.f_code
            yield f"{indent}  {code.co_filename}:{line} {code.co_name}"
        for nursery in reversed(task.child_nurseries):
            waiting.extend((child, depth + 1) for child in nursery.child_tasks)


def _thread_lines() -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        yield f"  {names.get(ident, 'a foreign thread')}"
        for entry in traceback.extract_stack(frame):
            yield f"    {entry.filename}:{entry.lineno} {entry.name}"
