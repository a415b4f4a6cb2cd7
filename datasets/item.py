"""One file to read: an object of the bucket, a local file or a member of an archive.

Knows nothing of where the bytes come from but a function that opens them, so that it can be made
by the million, pickled and sent to a worker before anything is opened.
"""

from __future__ import annotations

import errno
import functools
import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer


class Item(io.BufferedIOBase):
    """A binary file that is opened at the first read, seek, ``fileno`` or ``with``'s use of it.

    Behaves like what ``open(path, "rb")`` returns: positions past the end of the file are allowed
    and read as empty, every error is the ``OSError`` that the file itself gives, with the name of
    the file in it. A closed item raises ``ValueError``.

    Pickles (and copies) as an item that nobody has opened, at position 0. One thread at a time.

    Args:
        opener: Opens the content: a binary file that can seek. Must itself be picklable. Called at
            most once.
        path: The file that is opened; for a member of an archive the archive.
        name: What the archive calls the member; the path where not given.
        size_bytes: Length of the content where it is known; else the open file is asked.
        label: Whatever a manifest says about it.
    """

    _opened: BinaryIO | None = None  # in the class: a half-made item must survive its own __del__
    _is_fetched = False  # what is open is a copy in memory

    def __init__(
        self,
        opener: Callable[[], BinaryIO],
        *,
        path: str,
        name: str | None = None,
        size_bytes: int | None = None,
        label: Any = None,
    ) -> None:
        self.path = path
        self.name = path if name is None else name
        self.label = label
        self._opener = opener
        self._size_bytes = size_bytes

    @classmethod
    def of(cls, path: str, *, label: Any = None) -> Item:
        """Return the item of a file, without touching the file."""
        return cls(functools.partial(_open, path), path=path, label=label)

    @property
    def bucket(self) -> str | None:
        """The bucket of the mount that shows the path; None where no mount does."""
        return self._address()[0]

    @property
    def key(self) -> str:
        """The key of the object that the path shows; the path itself where no mount does."""
        return self._address()[1]

    @property
    def size(self) -> int:
        """Length in bytes.

        Asks the open file, or the file system once, where it was not given.

        Raises:
            OSError: As ``os.stat`` does.
        """
        if self._size_bytes is None:
            if self._opened is not None:
                self._size_bytes = os.fstat(self.fileno()).st_size
            else:
                self._size_bytes = os.stat(self.path).st_size
        return self._size_bytes

    def __repr__(self) -> str:
        """Say which file, and which member of it."""
        member = "" if self.name == self.path else f" member {self.name!r}"
        return f"<Item {self.path!r}{member}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_item, (
            type(self), self._opener, self.path, self.name, self._size_bytes, self.label,
        )  # fmt: skip

    # Reading.

    def readable(self) -> bool:
        """Say that it can be read."""
        self._refuse_if_closed()
        return True

    def seekable(self) -> bool:
        """Say that it can seek."""
        self._refuse_if_closed()
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes, everything to the end of the file where negative or None.

        Raises:
            OSError: As a file does; EIO where everything was asked for and the content ends before
                the length that the file has.
        """
        file = self._file()
        try:
            if size is not None and size >= 0:
                return file.read(size)
            position = file.tell()
            content = file.read()
        except OSError as error:
            raise self._named(error) from None
        missing_bytes = self.size - position - len(content)
        if missing_bytes > 0:
            reason = f"short read: the last {missing_bytes} of {self.size} bytes are missing"
            raise OSError(errno.EIO, reason, self._full_name())
        return content

    def read1(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes with at most one request to the file below."""
        file = self._file()
        try:
            read1 = getattr(file, "read1", file.read)
            content: bytes = read1(size)
        except OSError as error:
            raise self._named(error) from None
        return content

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer; return how many bytes there were, fewer only at the end of the file."""
        file = self._file()
        try:
            count: int = file.readinto(buffer)  # type: ignore[attr-defined]  # every binary file
        except OSError as error:
            raise self._named(error) from None
        return count

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to and including the next line feed."""
        file = self._file()
        try:
            return file.readline(-1 if size is None else size)
        except OSError as error:
            raise self._named(error) from None

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position, also past the end of the file; return it.

        Raises:
            OSError, ValueError: A position before the start, as the file says it.
        """
        try:
            return self._file().seek(offset, whence)
        except OSError as error:
            raise self._named(error) from None

    def tell(self) -> int:
        """Return the position, which is 0 as long as nothing was opened."""
        self._refuse_if_closed()
        return 0 if self._opened is None else self._opened.tell()

    def fileno(self) -> int:
        """Return the descriptor of the open file.

        Raises:
            io.UnsupportedOperation: A member of an archive has none of its own.
        """
        opened = self._file()
        if self._is_fetched:
            real = self._opener()
            real.seek(opened.tell())
            self._opened, self._is_fetched = real, False
            return real.fileno()
        return opened.fileno()

    def fetch(self, limit_bytes: int) -> None:
        """Read the whole content into memory if it is not larger than this; else only open it.

        For threads that fetch ahead of those who read. Whoever reads sees no difference, neither
        of an error, which comes again when somebody reads.
        """
        if self._opened is not None or self.closed:
            return
        try:
            self._opened = self._opener()
            if self.size > limit_bytes:
                return
            content = self.read()
            self._opened.close()
            self._opened, self._is_fetched = io.BytesIO(content), True
        except OSError:
            opened, self._opened = self._opened, None
            if opened is not None:
                opened.close()

    def close(self) -> None:
        """Close the file if it was opened. Idempotent."""
        opened, self._opened = self._opened, None
        try:
            if opened is not None:
                opened.close()
        finally:
            super().close()

    def _file(self) -> BinaryIO:
        self._refuse_if_closed()
        if self._opened is None:
            self._opened = self._opener()
        return self._opened

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise ValueError(f"I/O operation on closed file: {self._full_name()}")

    def _full_name(self) -> str:
        return self.path if self.name == self.path else f"{self.path}: {self.name}"

    def _named(self, error: OSError) -> OSError:
        """Add the name of the file, which the kernel's answer to a read lacks."""
        if error.filename is None and error.errno is not None:
            error.filename = self._full_name()
        return error

    def _address(self) -> tuple[str | None, str]:
        from mountfs.datasets.paths import s3_address

        return s3_address(self.path) or (None, self.path)


def _open(path: str) -> BinaryIO:
    return open(path, "rb")


def _make_item(
    cls: type[Item],
    opener: Callable[[], BinaryIO],
    path: str,
    name: str,
    size_bytes: int | None,
    label: Any,
) -> Item:
    return cls(opener, path=path, name=name, size_bytes=size_bytes, label=label)
