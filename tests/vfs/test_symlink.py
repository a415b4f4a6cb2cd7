from __future__ import annotations

import errno
import os

import pytest

from mountfs.vfs.symlink import TARGET_MAX_BYTES, decode_target, encode_target


@pytest.mark.parametrize("target", [b"a", b"../b c ", b"\xff\n", b"x" * TARGET_MAX_BYTES])
def test_a_target_comes_back_as_it_was_written(target: bytes) -> None:
    """Blanks, line ends and bytes that are not UTF-8 included."""
    assert target == decode_target(encode_target(target))


@pytest.mark.parametrize("content", [b"", b"a\0b", b"x" * (TARGET_MAX_BYTES + 1)])
def test_an_object_that_holds_no_target_is_an_error(content: bytes) -> None:
    """Rather than half a path."""
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        decode_target(content)


@pytest.mark.parametrize(
    ("target", "number"), [(b"", errno.ENOENT), (b"x" * 5000, errno.ENAMETOOLONG)]
)
def test_a_target_that_no_link_can_have_is_refused(target: bytes, number: int) -> None:
    """With the errno of symlink(2)."""
    with pytest.raises(OSError, match=os.strerror(number)):
        encode_target(target)
