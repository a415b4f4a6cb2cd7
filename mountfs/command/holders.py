"""Who keeps a mount busy: open files, current directories, mapped files, mounts inside of it.

Reads only /proc and compares what the kernel says there (mount numbers, device numbers, link
texts). The mount itself is never touched, so this also works for a mount that hangs, and inside its
own server.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mountfs.mounts import Mount

MAX_USES = 3
"""Uses named for each process; a DataLoader worker may have hundreds of files open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process (or a mount) that keeps a mount busy.

    Attributes:
        pid: 0 for a mount.
        name: of the process.
        uses: what it holds, e.g. ``open /mnt/data/a``; the first few.
        use_count: how many things it holds in all.
    """

    pid: int
    name: str
    uses: tuple[str, ...]
    use_count: int

    def __str__(self) -> str:
        more = self.use_count - len(self.uses)
        uses = ", ".join(self.uses) + (f" and {more} more" if more else "")
        text = f"pid {self.pid} ({self.name}): {uses}" if self.pid else uses
        # Names are other people's: a newline in one must not begin a line of the log.
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def find_holders(mount: Mount, mounts: list[Mount], proc: str = "/proc") -> list[Holder]:
    """Return who holds *mount*, in the order of process numbers; mounts inside of it come first.

    Processes that we may not look into (other users', unless we are root) are left out.

    Args:
        mount: the busy one.
        mounts: the whole mount table.
        proc: where /proc is mounted.
    """
    holders = [
        Holder(pid=0, name="", uses=(f"mounted inside of it: {inner.mountpoint}",), use_count=1)
        for inner in mounts
        if inner.parent_id == mount.mount_id
    ]
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        folder = f"{proc}/{pid}"
        # A dict, since a file that is open twice needs to be named once.
        uses = list(dict.fromkeys(_uses(folder, mount)))
        if uses:
            holders.append(
                Holder(
                    pid=pid,
                    name=_read_text(f"{folder}/comm").strip(),
                    uses=tuple(uses[:MAX_USES]),
                    use_count=len(uses),
                )
            )
    return holders


def _uses(folder: str, mount: Mount) -> Iterator[str]:
    for link, meaning in (("cwd", "current directory"), ("root", "root"), ("exe", "runs")):
        path = _read_link(f"{folder}/{link}")
        if path == mount.mountpoint or path.startswith(mount.mountpoint.rstrip("/") + "/"):
            yield f"{meaning} {path}"
    try:
        descriptors = os.listdir(f"{folder}/fdinfo")
    except OSError:
        return
    for descriptor in descriptors:
        # The number of the mount cannot be mistaken, whatever the path looks like by now.
        facts = _read_text(f"{folder}/fdinfo/{descriptor}").split()
        if "mnt_id:" in facts and facts[facts.index("mnt_id:") + 1] == str(mount.mount_id):
            yield f"open {_read_link(f'{folder}/fd/{descriptor}')}"
    yield from _mapped_files(folder, mount)


def _mapped_files(folder: str, mount: Mount) -> Iterator[str]:
    major, minor = (int(number) for number in mount.device.split(":"))
    device = f"{major:02x}:{minor:02x}"
    for line in _read_text(f"{folder}/maps").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[3] == device:
            yield f"mapped {fields[5]}"


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # ended meanwhile, or not ours to see
        return ""


def _read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
