"""What a file or a directory has beyond what a listing says of it.

The store keeps this in the headers of an object, so learning it costs a request. A node therefore
holds one `NodeAttributes` or none, and a field may be None: not known to differ from what the
mount shows by default. Which header says what is `mountfs.vfs.posix_metadata`'s business; which
call changes what is `mountfs.vfs.posix_rules`'.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mountfs.objects import ObjectHeaders


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAttributes:
    """Attributes of one node; also a set of changes to them, see `overlaid`.

    The target of a symbolic link is not here: it is the content of its object.

    Attributes:
        mode: permission bits and file type.
        uid: owner.
        gid: group.
        atime_ns: last access, nanoseconds since the epoch, like the others.
        mtime_ns: last modification of the content.
        ctime_ns: last change of anything.
        rdev: number of a device, as in ``st_rdev``.
        xattrs: extended attributes of all namespaces, by their full name. None means unknown,
            empty means that there are none.
        headers: what the store keeps with the object, as it was last seen there; user metadata
            that is not ours is found here again when the object is replaced.
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    ctime_ns: int | None = None
    rdev: int | None = None
    xattrs: Mapping[bytes, bytes] | None = None
    headers: ObjectHeaders | None = None

    def overlaid(self, changes: NodeAttributes) -> NodeAttributes:
        """Return these attributes with every field of *changes* that is not None."""

        def newer(old: int | None, new: int | None) -> int | None:
            return old if new is None else new

        return NodeAttributes(
            mode=newer(self.mode, changes.mode),
            uid=newer(self.uid, changes.uid),
            gid=newer(self.gid, changes.gid),
            atime_ns=newer(self.atime_ns, changes.atime_ns),
            mtime_ns=newer(self.mtime_ns, changes.mtime_ns),
            ctime_ns=newer(self.ctime_ns, changes.ctime_ns),
            rdev=newer(self.rdev, changes.rdev),
            xattrs=self.xattrs if changes.xattrs is None else changes.xattrs,
            headers=self.headers if changes.headers is None else changes.headers,
        )

    @property
    def is_special(self) -> bool:
        """Tell whether anything but the headers is known to differ from the defaults."""
        return not (
            self.mode is None
            and self.uid is None
            and self.gid is None
            and self.atime_ns is None
            and self.rdev is None
            and not self.xattrs
        )

    @property
    def file_type(self) -> int:
        """The ``S_IFMT`` part of the mode; 0 when the mode is not known."""
        return 0 if self.mode is None else stat.S_IFMT(self.mode)


NO_ATTRIBUTES = NodeAttributes()
"""Nothing differs from what the mount shows by default."""
