"""Who we are to the store, for as long as the mount lives.

The usual AWS chain (environment, profile, SSO, web identity, container, instance) is botocore's.
CRT gets a signing configuration with fixed credentials, which is replaced when they change. So its
threads never call Python to sign: a delegate provider would be asked for every request (20 us each)
and could block an event loop while it refreshes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import trio
from awscrt.auth import AwsCredentialsProvider, AwsSigningAlgorithm, AwsSigningConfig
from awscrt.s3 import create_default_s3_signing_config

from mountfs.errors import StoreError

if TYPE_CHECKING:
    from typing import NoReturn

log = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0
"""How often expiring credentials are looked at; botocore renews them 15 minutes before the end."""

RELOAD_PAUSE_SECONDS = 30.0
"""A store that refuses every request must not make us read the configuration for each of them."""


class FrozenCredentials(NamedTuple):
    """Credentials of one moment. Never log one."""

    access_key: str
    secret_key: str
    token: str | None


class CredentialChain(Protocol):
    """Where credentials come from. Blocks: files, subprocesses and the network may be involved."""

    def freeze(self, *, anew: bool) -> FrozenCredentials:
        """Return what is valid now.

        Args:
            anew: forget what was found before, e.g. because the store refused it.

        Raises:
            CredentialsError: there are none, or they cannot be renewed.
        """
        ...

    @property
    def is_expiring(self) -> bool:
        """Tell whether what was found last has to be renewed from time to time."""
        ...


class Credentials:
    """A signing configuration that is always current.

    Args:
        chain: where the credentials come from; None signs nothing.
        region: to sign for.
        is_express: sign with a session, as S3 Express wants it.
        limiter: for the threads in which *chain* works.

    Attributes:
        signing_config: for the next request; None to send it unsigned.
    """

    def __init__(
        self,
        chain: CredentialChain | None,
        *,
        region: str,
        is_express: bool,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self.signing_config: Any = None
        self._chain = chain
        self._region = region
        self._is_express = is_express
        self._limiter = limiter
        self._frozen: FrozenCredentials | None = None
        self._refused = trio.Event()

    async def refresh(self, *, anew: bool = False) -> None:
        """Bring `signing_config` up to date.

        Raises:
            CredentialsError: as `CredentialChain.freeze`; what was there stays.
        """
        chain = self._chain
        if chain is None:
            return
        frozen = await trio.to_thread.run_sync(
            lambda: chain.freeze(anew=anew), limiter=self._limiter, abandon_on_cancel=True
        )
        if frozen != self._frozen:
            self.signing_config = self._make_signing_config(frozen)
            self._frozen = frozen

    def note_refused(self) -> None:
        """Report that the store does not accept the credentials; they may have been replaced."""
        self._refused.set()

    async def keep_fresh(self) -> NoReturn:
        """Renew the credentials while the mount lives; never returns, never raises."""
        while True:
            try:
                await self._renew_when_due()
            except Exception:  # a bug must not end the mount
                log.exception("cannot renew the credentials, going on with the old ones")
                await trio.sleep(RELOAD_PAUSE_SECONDS)

    async def _renew_when_due(self) -> None:
        is_expiring = self._chain is not None and self._chain.is_expiring
        with trio.move_on_after(REFRESH_SECONDS if is_expiring else float("inf")):
            await self._refused.wait()
        was_refused = self._refused.is_set()
        before = self._frozen
        try:
            await self.refresh(anew=was_refused)
        except StoreError as error:
            log.warning("cannot renew the credentials, going on with the old ones: %s", error)
        if self._frozen != before:
            log.info("credentials renewed")
        if was_refused:
            await trio.sleep(RELOAD_PAUSE_SECONDS)
            self._refused = trio.Event()

    def _make_signing_config(self, frozen: FrozenCredentials) -> AwsSigningConfig:
        signing_config = create_default_s3_signing_config(
            region=self._region, credential_provider=AwsCredentialsProvider.new_static(*frozen)
        )
        if self._is_express:
            signing_config = signing_config.replace(algorithm=AwsSigningAlgorithm.V4_S3EXPRESS)
        return signing_config
