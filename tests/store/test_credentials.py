"""Credentials for as long as a mount lives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import trio

from mountfs.errors import CredentialsError
from mountfs.store.boto import BotoAccess
from mountfs.store.config import S3Config
from mountfs.store.credentials import REFRESH_SECONDS, Credentials, FrozenCredentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trio.testing import MockClock

OLD = FrozenCredentials("OLD", "secret", "token")
NEW = FrozenCredentials("NEW", "secret", None)


class Chain:
    """A chain that hands out what it is told."""

    def __init__(self, *, is_expiring: bool) -> None:
        self.is_expiring = is_expiring
        self.current: FrozenCredentials | Exception = OLD
        self.calls: list[bool] = []

    def freeze(self, *, anew: bool) -> FrozenCredentials:
        """Return or raise what is current."""
        self.calls.append(anew)
        if isinstance(self.current, Exception):
            raise self.current
        return self.current


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a thread, for which the clock of the tests does not wait."""
    deadline = time.monotonic() + 10.0
    while not is_so():
        assert time.monotonic() < deadline
        await trio.lowlevel.checkpoint()


def make_credentials(chain: Chain | None) -> Credentials:
    """Return credentials that come from *chain*."""
    return Credentials(chain, region="us-east-1", is_express=False, limiter=trio.CapacityLimiter(1))


async def test_nothing_is_signed_without_a_chain() -> None:
    """For a public bucket."""
    credentials = make_credentials(None)
    await credentials.refresh()
    assert credentials.signing_config is None


async def test_the_signing_configuration_changes_with_the_credentials_only() -> None:
    """CRT keeps what belongs to one; making a new one for each look would be a waste."""
    chain = Chain(is_expiring=True)
    credentials = make_credentials(chain)
    await credentials.refresh()
    first = credentials.signing_config
    await credentials.refresh()
    assert first is credentials.signing_config
    chain.current = NEW
    await credentials.refresh()
    assert first is not credentials.signing_config


async def test_missing_credentials_are_an_error() -> None:
    """At the start, where the command can still say so."""
    chain = Chain(is_expiring=False)
    chain.current = CredentialsError("none")
    with pytest.raises(CredentialsError):
        await make_credentials(chain).refresh()


async def test_expiring_credentials_are_renewed_in_time(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Without any request failing first."""
    chain = Chain(is_expiring=True)
    credentials = make_credentials(chain)
    await credentials.refresh()
    first = credentials.signing_config
    nursery.start_soon(credentials.keep_fresh)
    chain.current = NEW
    await trio.sleep(1.5 * REFRESH_SECONDS)
    await until(lambda: first is not credentials.signing_config)
    assert [False, False] == chain.calls
    nursery.cancel_scope.cancel()


async def test_fixed_credentials_are_read_again_when_they_are_refused(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Somebody may have written new ones into the file; but not for each refusal."""
    chain = Chain(is_expiring=False)
    credentials = make_credentials(chain)
    await credentials.refresh()
    nursery.start_soon(credentials.keep_fresh)
    await trio.sleep(10 * REFRESH_SECONDS)
    assert [False] == chain.calls
    for _ in range(10):
        credentials.note_refused()
        await until(lambda: len(chain.calls) == 2)
        await trio.sleep(1.0)
    assert [False, True] == chain.calls
    nursery.cancel_scope.cancel()


async def test_a_failed_renewal_keeps_the_old_credentials(
    autojump_clock: MockClock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """They may still be good; the operator is told; it is tried again."""
    chain = Chain(is_expiring=True)
    credentials = make_credentials(chain)
    await credentials.refresh()
    first = credentials.signing_config
    nursery.start_soon(credentials.keep_fresh)
    chain.current = CredentialsError("the token service is down")
    await trio.sleep(1.5 * REFRESH_SECONDS)
    await until(lambda: "the token service is down" in caplog.text)
    assert first is credentials.signing_config
    chain.current = NEW
    await trio.sleep(1.5 * REFRESH_SECONDS)
    await until(lambda: first is not credentials.signing_config)
    nursery.cancel_scope.cancel()


def write_profile(path: Path, key: str, secret: str) -> None:
    """Write a credentials file with one profile."""
    path.write_text(f"[training]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")


def test_a_profile_is_read_and_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found is kept until it is asked for anew."""
    path = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    write_profile(path, "FIRST", "one")
    chain = BotoAccess(S3Config(bucket="bucket", profile="training")).credential_chain()
    assert chain is not None
    assert FrozenCredentials("FIRST", "one", None) == chain.freeze(anew=False)
    assert not chain.is_expiring
    write_profile(path, "SECOND", "two")
    assert FrozenCredentials("FIRST", "one", None) == chain.freeze(anew=False)
    assert FrozenCredentials("SECOND", "two", None) == chain.freeze(anew=True)


def test_a_command_that_makes_credentials_is_asked_again_when_they_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SSO and roles do; botocore renews whatever is about to expire."""
    answer = (
        '{"Version": 1, "AccessKeyId": "KEY", "SecretAccessKey": "secret", '
        '"SessionToken": "token", "Expiration": "2000-01-01T00:00:00Z"}'
    )
    script = tmp_path / "credentials-command"
    script.write_text(f"#!/bin/sh\necho called >> {tmp_path}/calls\necho '{answer}'\n")
    script.chmod(0o700)
    config = tmp_path / "config"
    config.write_text(f"[profile training]\ncredential_process = {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    chain = BotoAccess(S3Config(bucket="bucket", profile="training")).credential_chain()
    assert chain is not None
    with pytest.raises(CredentialsError):
        chain.freeze(anew=False)
    script.write_text(script.read_text().replace("2000-", "2100-"))
    assert FrozenCredentials("KEY", "secret", "token") == chain.freeze(anew=False)
    assert chain.is_expiring


async def test_a_bug_in_a_provider_does_not_end_the_mount(
    autojump_clock: MockClock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and tried again."""
    chain = Chain(is_expiring=True)
    credentials = make_credentials(chain)
    await credentials.refresh()
    first = credentials.signing_config
    nursery.start_soon(credentials.keep_fresh)
    chain.current = ValueError("a bug")
    await trio.sleep(1.5 * REFRESH_SECONDS)
    await until(lambda: "a bug" in caplog.text)
    chain.current = NEW
    await trio.sleep(3 * REFRESH_SECONDS)
    await until(lambda: first is not credentials.signing_config)
    nursery.cancel_scope.cancel()
