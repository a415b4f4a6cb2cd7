"""The log: one format, several places, no secrets."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import pytest

from mountfs.errors import UsageError
from mountfs.log import NOISY_LOGGERS, LogConfig, open_log, place_of, redact, state_folder

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    "text",
    [
        f"https://b.s3.amazonaws.com/k?X-Amz-Signature={SECRET}&X-Amz-Date=20260101T000000Z",
        f"X-Amz-Security-Token: {SECRET}",
        f"Authorization: AWS4-HMAC-SHA256 Credential=AK/x, SignedHeaders=host, Signature={SECRET}",
        f"{{'Authorization': 'AWS AK:{SECRET}'}}",
        f"aws_secret_access_key = {SECRET}",
        f'{{"SecretAccessKey": "{SECRET}", "SessionToken": "{SECRET}"}}',
        "cannot reach http://user:" + "pass%2Fword" + "@host:9000/bucket",
        f"cannot reach 'https://user:p@ss{SECRET}@host'",
        f"cannot reach https://user:{SECRET}@host/",
    ],
)
def test_a_secret_is_replaced(text: str) -> None:
    """Whatever a library puts into an exception's text."""
    redacted = redact(text)
    assert SECRET not in redacted
    assert "pass%2Fword" not in redacted
    assert "***" in redacted


def test_an_ordinary_line_is_kept() -> None:
    """Nothing but secrets is replaced."""
    text = "GET 'a/b@c.jpg' failed: s3://bucket/user@host, signature mismatch (code X)"
    assert text == redact(text)


def test_a_line_has_time_level_module_and_text(tmp_path: Path) -> None:
    """One format, also for tracebacks, which are redacted too."""
    place = tmp_path / "folder" / "log"
    with open_log(str(place), "info"):
        log = logging.getLogger("mountfs.test")
        log.debug("not this")
        log.warning("mounted on %s", "/mnt")
        try:
            raise RuntimeError(f"aws_secret_access_key={SECRET}")
        except RuntimeError:
            log.exception("failed")
    lines = place.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \S+ WARNING mountfs.test: mounted on /mnt", lines[0])
    assert lines[-1] == "RuntimeError: aws_secret_access_key=***"
    assert not any("not this" in line for line in lines)


def test_the_log_survives_its_rotation(tmp_path: Path) -> None:
    """Logrotate moves the file away; the next line begins a new one."""
    place = tmp_path / "log"
    with open_log(str(place), "info") as close:
        logging.getLogger("mountfs.test").warning("first")
        close()
    with open_log(str(place), "info"):
        place.rename(tmp_path / "log.1")
        logging.getLogger("mountfs.test").warning("second")
    assert "first" in (tmp_path / "log.1").read_text()
    assert "second" in place.read_text()


def test_libraries_are_kept_quiet(tmp_path: Path) -> None:
    """Their debug lines hold whole requests, whatever our own level is."""
    with open_log(str(tmp_path / "log"), "debug"):
        assert {logging.WARNING} == {logging.getLogger(name).level for name in NOISY_LOGGERS}


def test_a_log_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A mount without a log would be one whose warnings nobody sees."""
    with (
        pytest.raises(UsageError, match=r"cannot write the log to .* --log-file"),
        open_log(str(tmp_path), "info"),
    ):
        pass


def test_the_place_is_the_file_else_stderr_else_syslog_else_the_state_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A background mount never loses its log."""
    monkeypatch.setattr("mountfs.log.SYSLOG_SOCKET", str(tmp_path / "no-syslog"))

    def place(file: str | None, *, is_foreground: bool) -> str:
        config = LogConfig(file=file)
        return place_of(config, is_foreground=is_foreground, mountpoint="/mnt/data")

    assert place("/x", is_foreground=True) == "/x"
    assert place(None, is_foreground=True) == "stderr"
    assert place(None, is_foreground=False).endswith("/mountfs/mnt-data.log")
    monkeypatch.setattr("mountfs.log.SYSLOG_SOCKET", str(tmp_path))
    assert place(None, is_foreground=False) == "syslog"


def test_the_state_folder_is_the_users_own() -> None:
    """Only root writes to /var/log."""
    assert Path("/var/log/mountfs") == state_folder({}, uid=0)
    assert Path("/s/mountfs") == state_folder({"XDG_STATE_HOME": "/s"}, uid=1000)


def test_the_log_imports_nothing_that_forbids_a_fork() -> None:
    """It is imported before the fork; its thread starts behind it."""
    assert "trio" not in vars(sys.modules["mountfs.log"])


def test_the_log_is_not_kept_inside_of_the_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever mounts on a home directory without a syslog has to say where it goes."""
    monkeypatch.setattr("mountfs.log.SYSLOG_SOCKET", "/nonexistent")
    monkeypatch.setattr("os.getuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/user/.local/state")
    with pytest.raises(UsageError, match="choose a --log-file"):
        place_of(LogConfig(), is_foreground=False, mountpoint="/home/user")
