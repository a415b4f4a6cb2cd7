from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from mountfs.data.staging_directory import StagingConfig, open_staging
from mountfs.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "https://s3.example bucket pre/fix"


def config_in(path: Path) -> StagingConfig:
    """Return a configuration whose directory does not exist yet, nor its parent."""
    return StagingConfig(directory=str(path / "parent" / "cache"))


async def test_everything_is_created_and_only_we_may_look_into_it(tmp_path: Path) -> None:
    """Directory and folder have mode 0700, whatever the umask; the name is recognisable."""
    config = config_in(tmp_path)
    async with open_staging(config, SOURCE) as staging:
        for path in (staging.path, staging.path.parent):
            assert 0o700 == stat.S_IMODE(path.stat().st_mode)
        assert staging.path.name.startswith("https_s3.example_bucket_pre_fix-")


async def test_nothing_is_left_of_a_mount_that_leaves_nothing(tmp_path: Path) -> None:
    """The folder goes with its mount."""
    config = config_in(tmp_path)
    async with open_staging(config, SOURCE):
        pass
    assert [] == os.listdir(config.directory)


async def test_two_mounts_of_one_source_have_folders_of_their_own(tmp_path: Path) -> None:
    """The second one takes neither the folder of the first nor what is in it."""
    config = config_in(tmp_path)
    async with open_staging(config, SOURCE) as first, open_staging(config, SOURCE) as second:
        assert first.path.name + ".1" == second.path.name
        assert [] == second.dead_folders


async def test_the_folder_of_a_dead_mount_is_taken_over_by_one_other(tmp_path: Path) -> None:
    """What it left is found, but not by a third mount, nor by one of another source."""
    config = config_in(tmp_path)
    async with open_staging(config, SOURCE) as dead:
        (dead.path / "uploads").write_text("left")
    async with (
        open_staging(config, SOURCE) as heir,
        open_staging(config, SOURCE) as third,
        open_staging(config, "another source") as stranger,
    ):
        assert [dead.path] == [folder.path for folder in heir.dead_folders]
        assert [] == third.dead_folders
        assert [] == stranger.dead_folders
        (dead.path / "uploads").unlink()
    assert [] == os.listdir(config.directory)


async def test_temporary_files_of_a_dead_mount_are_removed(tmp_path: Path) -> None:
    """They mean nothing to anybody."""
    config = config_in(tmp_path)
    async with open_staging(config, SOURCE) as dead:
        (dead.path / "keeps-the-folder").touch()
    (dead.path / "tmp-1").write_text("junk")
    async with open_staging(config, SOURCE):
        assert ["keeps-the-folder", "lock"] == sorted(os.listdir(dead.path))


async def test_a_staging_file_holds_what_was_written(tmp_path: Path) -> None:
    """Buffers follow each other, holes are zeros, and reading past the end is an error."""
    async with open_staging(config_in(tmp_path), SOURCE) as staging:
        file = await staging.create_file()
        await file.write(3, [b"ab", memoryview(b""), bytearray(b"cd")])
        assert b"\0\0\0abcd" == await file.read(0, 7)
        with pytest.raises(OSError, match="too early"):
            await file.read(0, 8)
        assert ["lock"] == os.listdir(staging.path)
        await file.close()
        await file.close()


async def test_a_kept_file_outlives_its_owner(tmp_path: Path) -> None:
    """`keep` gives it a name, `unkeep` takes it away so that it can be given again."""
    async with open_staging(config_in(tmp_path), SOURCE) as staging:
        file = await staging.create_file()
        await file.write(0, [b"content"])
        await file.keep("first")
        await file.unkeep()
        await file.keep("second")
        await file.sync()
        await file.close()
        assert b"content" == (staging.path / "second").read_bytes()
        assert ["lock", "second"] == sorted(os.listdir(staging.path))


async def test_a_disk_without_anonymous_files_does_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has a temporary name then, which goes with it."""
    real_open = os.open

    def refuse_anonymous(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no such thing here")
        return real_open(path, flags, mode)

    async with open_staging(config_in(tmp_path), SOURCE) as staging:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse_anonymous)
            lost, kept = await staging.create_file(), await staging.create_file()
        await kept.write(0, [b"content"])
        await kept.keep("kept")
        await lost.close()
        await kept.close()
        assert ["kept", "lock"] == sorted(os.listdir(staging.path))


async def test_a_directory_that_others_may_look_into_is_refused(tmp_path: Path) -> None:
    """The message says how to mend it."""
    os.chmod(tmp_path, 0o750)
    with pytest.raises(UsageError, match="chmod 700"):
        async with open_staging(StagingConfig(directory=str(tmp_path)), SOURCE):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
async def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Also by root."""
    os.chmod(tmp_path, 0o700)
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(UsageError, match="uid 12345"):
        async with open_staging(StagingConfig(directory=str(tmp_path)), SOURCE):
            pass


@pytest.mark.parametrize("directory", ["/proc/mountfs", "/dev/null", "/dev/null/below", "relative"])
async def test_a_place_where_nothing_can_be_is_refused(directory: str) -> None:
    """Whatever the reason, it is one line about the option."""
    with pytest.raises(UsageError, match="--cache-dir"):
        async with open_staging(StagingConfig(directory=directory), SOURCE):
            pass
