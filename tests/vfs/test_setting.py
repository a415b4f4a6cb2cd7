from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from mountfs.attributes import AttributeChanges, Caller
from mountfs.data.config import WriteConfig
from mountfs.errors import AccessDeniedError, StoreUnavailableError
from mountfs.objects import ObjectHeaders
from mountfs.store.fake import FakeStore
from mountfs.vfs.posix_metadata import decode_metadata
from tests.vfs.opened import ROOT, look_up, opening_vfs
from tests.vfs.program import arrive, refuse, relent, slow_down
from tests.virtual_time import settled

if TYPE_CHECKING:
    from pathlib import Path

    from mountfs.attributes import Attributes
    from mountfs.vfs.assembly import Vfs
    from mountfs.vfs.changes import VfsChanges
    from mountfs.vfs.node_attributes import NodeAttributes

CALLER = Caller(1000, 1000, 1)
SAVED = ObjectHeaders(content_type="text/css", metadata={"mode": str(0o100640), "team": "a"})
PART_BYTES = 64 * 1024
HOUR_NS = 3600 * 10**9


def changes_of(vfs: Vfs) -> VfsChanges:
    """Return what changes *vfs*."""
    assert vfs.changes is not None
    return vfs.changes


async def chmod(vfs: Vfs, inode: int, mode: int) -> None:
    """Do what the kernel asks for."""
    await changes_of(vfs).set_attributes(inode, AttributeChanges(mode=mode), None, CALLER)


async def overwrite(vfs: Vfs, inode: int, data: bytes) -> None:
    """Do what a shell does for ``>``."""
    changes = changes_of(vfs)
    handle = await changes.open_to_write(inode, os.O_WRONLY | os.O_TRUNC, CALLER)
    await changes.write(handle, 0, data)
    await changes.flush(handle)
    changes.release_writer(handle)


def shown(vfs: Vfs, inode: int) -> Attributes:
    """Return what `stat` shows."""
    return vfs.filesystem.getattr(inode).attributes


def stored(store: FakeStore, key: str) -> NodeAttributes:
    """Return what another mount would learn of *key*."""
    is_directory = key.endswith("/")
    return decode_metadata(store.bucket.find(key).headers, is_directory=is_directory)


@pytest.mark.parametrize("key", ["f", "d/"])
async def test_what_the_store_refuses_has_not_changed_anything(tmp_path: Path, key: str) -> None:
    """Neither the mode nor the times: what is shown is what the store has."""
    store = FakeStore()
    store.bucket.put(key, b"" if key == "d/" else b"x")
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        inode = await look_up(vfs, key.rstrip("/").encode())
        before = shown(vfs, inode)
        store.fault_for = lambda request: (
            AccessDeniedError("no") if request.kind in {"COPY", "PUT"} else None
        )
        asked = AttributeChanges(mode=0o600, mtime_ns=HOUR_NS, atime_ns=HOUR_NS)
        with pytest.raises(AccessDeniedError):
            await changes_of(vfs).set_attributes(inode, asked, None, CALLER)
        assert before == shown(vfs, inode)
        store.fault_for = None
        await changes_of(vfs).set_attributes(inode, asked, None, CALLER)
        assert (0o600, HOUR_NS) == (shown(vfs, inode).mode & 0o777, shown(vfs, inode).mtime_ns)
        assert HOUR_NS == stored(store, key).mtime_ns


@pytest.mark.parametrize("key", ["f", "d/"])
async def test_who_is_killed_meanwhile_leaves_what_the_store_has(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, key: str
) -> None:
    """The copy has another ETag in some stores: the tree must have that one, too."""
    store = FakeStore()
    store.bucket.put(key, b"" if key == "d/" else b"x")
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        inode = await look_up(vfs, key.rstrip("/").encode())
        store.latency_seconds = 1.0
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as killed:
                async with trio.open_nursery() as inner:
                    inner.start_soon(chmod, vfs, inode, 0o600)
                    await trio.sleep(0.5)
                    killed.cancel()
            nursery.cancel_scope.cancel()
        store.latency_seconds = 0.0
        in_store = (stored(store, key).mode or 0) & 0o777
        assert (0o600, 0o600) == (in_store, shown(vfs, inode).mode & 0o777)
        await chmod(vfs, inode, 0o640)  # on top of the version that is there now
        assert 0o640 == (stored(store, key).mode or 0) & 0o777


async def test_a_file_that_somebody_else_has_replaced_is_looked_up_again(tmp_path: Path) -> None:
    """Within the TTL: ESTALE, upon which the kernel asks for the name, and then it works."""
    store = FakeStore()
    store.bucket.put("f", b"old")
    store.bucket.put("g", b"old")
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        inodes = [await look_up(vfs, name) for name in (b"f", b"g")]
        store.bucket.put("f", b"newer")
        store.bucket.delete("g")
        for inode in inodes:
            with pytest.raises(OSError, match="replaced") as caught:
                await chmod(vfs, inode, 0o600)
            assert errno.ESTALE == caught.value.errno
        again = await look_up(vfs, b"f")
        assert inodes[0] != again
        await chmod(vfs, again, 0o600)
        assert 0o600 == (stored(store, "f").mode or 0) & 0o777
        assert vfs.filesystem.lookup_if_ready(ROOT, b"g") is None


async def test_a_truncation_by_name_waits_for_what_a_close_waits_for(tmp_path: Path) -> None:
    """With write-back that is the journal, even while the store is down."""
    store = FakeStore()
    store.bucket.put("f", b"content")
    write = WriteConfig(write_back=True)
    async with opening_vfs(store, tmp_path, write=write) as vfs:
        inode = await look_up(vfs, b"f")
        refuse(store, StoreUnavailableError("down"), "PUT")
        truncation = AttributeChanges(size_bytes=0)
        with trio.fail_after(60.0):
            await changes_of(vfs).set_attributes(inode, truncation, None, CALLER)
        assert 0 == shown(vfs, inode).size_bytes
        assert 7 == store.bucket.find("f").info.size_bytes
        relent(store)
    assert 0 == store.bucket.find("f").info.size_bytes


@pytest.mark.parametrize("is_posix", [False, True])
async def test_overwriting_asks_once_for_what_is_kept(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, is_posix: bool
) -> None:
    """However fast the application is done with it."""
    store = FakeStore()
    store.bucket.put("f", b"x", headers=SAVED)
    async with opening_vfs(store, tmp_path, is_posix=is_posix) as vfs:
        inode = await look_up(vfs, b"f")
        store.latency_seconds = 1.0
        await overwrite(vfs, inode, b"new")
        assert (1, 1) == (store.requests["HEAD"], store.requests["PUT"])
    headers = store.bucket.find("f").headers
    assert ("text/css", "a") == (headers.content_type, headers.metadata["team"])


async def test_what_is_overwritten_may_be_another_version_by_then(tmp_path: Path) -> None:
    """Its user metadata is kept; it is not what the node had."""
    store = FakeStore()
    store.bucket.put("f", b"x", headers=SAVED)
    async with opening_vfs(store, tmp_path) as vfs:
        inode = await look_up(vfs, b"f")
        store.bucket.put("f", b"newer", headers=replace(SAVED, metadata={"team": "b"}))
        await overwrite(vfs, inode, b"ours")
        found = store.bucket.find("f")
        assert ("b", 4) == (found.headers.metadata["team"], found.info.size_bytes)
        await overwrite(vfs, inode, b"ours again")
        assert "b" == store.bucket.find("f").headers.metadata["team"]
        assert 1 == store.requests["HEAD"]


@pytest.mark.parametrize("call", ["chmod", "chown", "utimens", "setxattr"])
@pytest.mark.parametrize("moment", ["before", "streaming", "publishing"])
async def test_what_is_set_on_an_open_file_is_in_the_store_after_its_close(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, call: str, moment: str
) -> None:
    """Also if the headers have gone ahead with the first part."""
    store = FakeStore(part_size_bytes=PART_BYTES, min_part_bytes=PART_BYTES)
    asked = {
        "chmod": AttributeChanges(mode=0o600),
        "chown": AttributeChanges(uid=7, gid=8),
        "utimens": AttributeChanges(atime_ns=HOUR_NS, mtime_ns=2 * HOUR_NS),
    }
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        changes = changes_of(vfs)
        entry, handle = await changes.create(ROOT, b"f", os.O_WRONLY, 0o644, 0, CALLER)
        inode = entry.attributes.inode

        async def change() -> None:
            if call == "setxattr":
                await changes.set_xattr(inode, b"user.a", b"1", 0)
            else:
                await changes.set_attributes(inode, asked[call], handle, CALLER)

        if moment == "before":
            await changes.write(handle, 0, b"x")
            await change()
        else:
            for number in range(4):
                await changes.write(handle, number * PART_BYTES, bytes(PART_BYTES))
            await settled()
            assert 1 == store.requests["CREATE_UPLOAD"]
        if moment == "publishing":
            store.latency_seconds = 1.0
            async with trio.open_nursery() as nursery:
                nursery.start_soon(changes.flush, handle)
                await settled()
                await change()
        else:
            await change()
            await changes.flush(handle)
        changes.release_writer(handle)
        now, then = shown(vfs, inode), stored(store, "f")
    assert (now.mode, now.uid, now.gid) == (then.mode, then.uid, then.gid)
    if call == "utimens":
        assert (HOUR_NS, 2 * HOUR_NS) == (then.atime_ns, then.mtime_ns)
        assert 2 * HOUR_NS == now.mtime_ns
    elif call == "setxattr":
        assert {b"user.a": b"1"} == then.xattrs
    elif call == "chmod":
        assert 0o600 == now.mode & 0o777
    else:
        assert (7, 8) == (now.uid, now.gid)
    assert (0 if moment == "before" else 1) == store.requests["COPY"]


@pytest.mark.parametrize("is_posix", [False, True])
async def test_a_write_after_utimens_is_the_last_modification(
    tmp_path: Path, is_posix: bool
) -> None:
    """And a utimens after the write is; what was set for the access stays."""
    store = FakeStore()
    asked = AttributeChanges(atime_ns=HOUR_NS, mtime_ns=HOUR_NS)
    async with opening_vfs(store, tmp_path, is_posix=is_posix) as vfs:
        changes = changes_of(vfs)
        entry, handle = await changes.create(ROOT, b"f", os.O_WRONLY, 0o644, 0, CALLER)
        inode = entry.attributes.inode
        await changes.set_attributes(inode, asked, handle, CALLER)
        assert HOUR_NS == shown(vfs, inode).mtime_ns
        await changes.write(handle, 0, b"x")
        await changes.flush(handle)
        written_ns = shown(vfs, inode).mtime_ns
        assert written_ns > HOUR_NS
        assert (HOUR_NS, written_ns) == (stored(store, "f").atime_ns, stored(store, "f").mtime_ns)
        await changes.write(handle, 1, b"y")
        await changes.set_attributes(inode, asked, handle, CALLER)
        await changes.flush(handle)
        changes.release_writer(handle)
        assert HOUR_NS == shown(vfs, inode).mtime_ns == stored(store, "f").mtime_ns
        assert shown(vfs, inode).ctime_ns == stored(store, "f").ctime_ns


async def test_what_is_set_during_an_upload_from_the_journal_is_in_the_store_after_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The upload has left with what was set at the close."""
    store = FakeStore()
    write = WriteConfig(write_back=True)
    async with opening_vfs(store, tmp_path, write=write, is_posix=True) as vfs:
        changes = changes_of(vfs)
        entry, handle = await changes.create(ROOT, b"f", os.O_WRONLY, 0o644, 0, CALLER)
        arrived = slow_down(store, lambda request: request.kind == "PUT", seconds=10.0)
        await changes.write(handle, 0, b"x")
        await changes.flush(handle)
        changes.release_writer(handle)
        await arrive(arrived)
        await chmod(vfs, entry.attributes.inode, 0o600)
        assert {"PUT": 1} == dict(store.requests)
    assert 0o600 == (stored(store, "f").mode or 0) & 0o777
    assert (1, 1) == (store.requests["PUT"], store.requests["COPY"])


async def test_the_marker_of_somebody_else_is_left_as_it_is(tmp_path: Path) -> None:
    """Where no listing has told that there is one: what was known is a name that was looked up."""
    store = FakeStore(page_size=1)
    store.bucket.put("d/", b"", headers=SAVED)
    store.bucket.put("d/f", b"x")
    async with opening_vfs(store, tmp_path) as vfs:
        directory = await look_up(vfs, b"d")
        await look_up(vfs, b"f", directory)
        await changes_of(vfs).unlink(directory, b"f")
        assert ["d/"] == list(store.bucket.keys)
        assert SAVED == store.bucket.find("d/").headers


async def test_a_directory_that_has_lost_its_last_file_is_still_there(tmp_path: Path) -> None:
    """By its marker, in the store too."""
    store = FakeStore()
    store.bucket.put("d/f", b"x")
    async with opening_vfs(store, tmp_path) as vfs:
        directory = await look_up(vfs, b"d")
        await look_up(vfs, b"f", directory)
        await changes_of(vfs).unlink(directory, b"f")
        assert ["d/"] == list(store.bucket.keys)


@pytest.mark.parametrize("key", ["f", "d/"])
async def test_a_chmod_leaves_the_last_modification_as_it_was(tmp_path: Path, key: str) -> None:
    """Also for who mounts later: the store's own time is that of the copy."""
    store = FakeStore()
    store.bucket.put(key, b"" if key == "d/" else b"x")
    async with opening_vfs(store, tmp_path, is_posix=True) as vfs:
        inode = await look_up(vfs, key.rstrip("/").encode())
        mtime_ns = shown(vfs, inode).mtime_ns
        await chmod(vfs, inode, 0o600)
        assert mtime_ns == shown(vfs, inode).mtime_ns == stored(store, key).mtime_ns


@pytest.mark.parametrize("is_posix", [False, True])
async def test_the_last_modification_alone_is_saved_with_what_was_written(
    tmp_path: Path, is_posix: bool
) -> None:
    """Of a file that others have put there, and that has no other attributes of its own."""
    store = FakeStore()
    store.bucket.put("f", b"x")
    async with opening_vfs(store, tmp_path, is_posix=is_posix) as vfs:
        inode, changes = await look_up(vfs, b"f"), changes_of(vfs)
        handle = await changes.open_to_write(inode, os.O_WRONLY, CALLER)
        await changes.write(handle, 0, b"new")
        asked = AttributeChanges(mtime_ns=HOUR_NS)
        await changes.set_attributes(inode, asked, handle, CALLER)
        await changes.flush(handle)
        changes.release_writer(handle)
        assert HOUR_NS == shown(vfs, inode).mtime_ns == stored(store, "f").mtime_ns
