"""boto3, for what is rare: configuration files, credentials, the region of a bucket.

Everything here blocks and belongs in a thread. boto3 is imported on first use: it takes a while,
and a process that has not forked yet must not have it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from mountfs._version import __version__
from mountfs.errors import (
    BucketNotFoundError,
    CredentialsError,
    StoreUnavailableError,
    UsageError,
)
from mountfs.store.credentials import FrozenCredentials
from mountfs.store.endpoint import (
    Endpoint,
    express_endpoint,
    express_zone,
    region_of_zone,
    resolve_endpoint,
)
from mountfs.store.translate import translate_boto_error

if TYPE_CHECKING:
    from mountfs.store.config import S3Config

DEFAULT_REGION = "us-east-1"
"""For stores that know no regions, and to ask AWS where a bucket is."""


class Location(NamedTuple):
    """Where a bucket is.

    Attributes:
        endpoint: where to send requests.
        region: to sign them for.
    """

    endpoint: Endpoint
    region: str


class BotoAccess:
    """What boto3 knows of the user's configuration, and of the bucket.

    Args:
        config: where the bucket is.

    Raises:
        CredentialsError: the profile does not exist.
    """

    def __init__(self, config: S3Config) -> None:
        import boto3
        from botocore.exceptions import BotoCoreError

        self._config = config
        try:
            self._session = boto3.Session(profile_name=config.profile)
        except BotoCoreError as error:
            raise translate_boto_error(error, f"--profile {config.profile}") from error

    def ca_bundle(self) -> str | None:
        """Return the file of certificate authorities that the user's configuration names."""
        named = self._session._session.get_config_variable("ca_bundle")
        return self._config.ca_bundle or (str(named) if named else None)

    def credential_chain(self) -> BotoCredentialChain | None:
        """Return where credentials come from; None if requests are not to be signed."""
        if not self._config.sign_requests:
            return None
        return BotoCredentialChain(self._config.profile, self._session)

    def locate(self) -> Location:
        """Find out where the bucket is, with one request at most.

        Raises:
            UsageError: an option cannot work.
            BucketNotFoundError: AWS knows no such bucket.
            StoreUnavailableError: AWS does not say where the bucket is.
        """
        config = self._config
        region = config.region or self._configured_region()
        zone = express_zone(config.bucket)
        if zone is not None and config.endpoint_url is None:
            return self._locate_express(zone)
        service_url = self._service_url(region or DEFAULT_REGION)
        if config.region is None and self._is_aws(service_url, region or DEFAULT_REGION):
            region = self._ask_region(region or DEFAULT_REGION)
            service_url = self._service_url(region)
        endpoint = resolve_endpoint(service_url, bucket=config.bucket, addressing=config.addressing)
        return Location(endpoint, region or DEFAULT_REGION)

    def _configured_region(self) -> str | None:
        # The other SDKs know AWS_REGION, botocore only AWS_DEFAULT_REGION.
        named = os.environ.get("AWS_REGION") or self._session.region_name
        return str(named) if named else None

    def _locate_express(self, zone: str) -> Location:
        region = self._config.region or region_of_zone(zone, self._regions())
        if region is None:
            raise UsageError(f"the zone {zone} is in no region that is known here: give --region")
        suffix = self._dns_suffix(region)
        return Location(express_endpoint(self._config.bucket, zone, region, suffix), region)

    def _regions(self) -> list[str]:
        return [
            region
            for partition in self._session.get_available_partitions()
            for region in self._session.get_available_regions("s3", partition_name=partition)
        ]

    def _dns_suffix(self, region: str) -> str:
        """Return what the names of AWS hosts of that region end with; China has another one."""
        url = str(self._client(region, is_aws=True).meta.endpoint_url)
        return (urlsplit(url).hostname or "").removeprefix(f"s3.{region}.")

    def _is_aws(self, service_url: str, region: str) -> bool:
        return (urlsplit(service_url).hostname or "").endswith(f".{self._dns_suffix(region)}")

    def _service_url(self, region: str) -> str:
        """Return the service's address: what is configured, else that of AWS in *region*."""
        return str(self._client(region).meta.endpoint_url)

    def _client(self, region: str, *, is_aws: bool = False) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = self._config
        options: dict[str, Any] = {
            # The bucket's region is public, and must be found out before anything can be signed.
            "signature_version": UNSIGNED,
            "user_agent_extra": f"mountfs/{__version__}",
            "connect_timeout": config.connect_timeout_seconds,
            "read_timeout": config.connect_timeout_seconds,
            "retries": {"total_max_attempts": 3, "mode": "standard"},
            "s3": {"us_east_1_regional_endpoint": "regional"},
            "ignore_configured_endpoint_urls": is_aws,
        }
        try:
            return self._session.client(
                "s3",
                region_name=region,
                endpoint_url=None if is_aws else config.endpoint_url,
                verify=self.ca_bundle() if config.verify_ssl else False,
                config=Config(**options),
            )
        except (BotoCoreError, ValueError) as error:
            raise UsageError(f"--region {region}, --endpoint-url: {error}") from error

    def _ask_region(self, region: str) -> str:
        from botocore.exceptions import BotoCoreError, ClientError

        bucket = self._config.bucket
        what = f"region of bucket {bucket}"
        try:
            answer = self._client(region).head_bucket(Bucket=bucket)["ResponseMetadata"]
        except ClientError as error:
            # Whatever the answer is (403, 301), it names the region; a missing bucket has none.
            answer = error.response.get("ResponseMetadata", {})
            if answer.get("HTTPStatusCode") == 404:
                raise BucketNotFoundError(f"no bucket {bucket!r}", status=404) from error
        except BotoCoreError as error:
            raise translate_boto_error(error, what) from error
        found = answer.get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if not found:
            raise StoreUnavailableError(f"{what}: no answer names it; give --region")
        return str(found)


class BotoCredentialChain:
    """botocore's chain of credential providers, as `CredentialChain`."""

    def __init__(self, profile: str | None, session: Any) -> None:
        self._profile = profile
        self._session = session
        self._found: Any = None

    @property
    def is_expiring(self) -> bool:
        """Tell whether what was found last has to be renewed from time to time."""
        return hasattr(self._found, "refresh_needed")

    def freeze(self, *, anew: bool) -> FrozenCredentials:
        """Return what is valid now; see `CredentialChain.freeze`."""
        import boto3

        try:
            if anew:
                # A session remembers what it found; only a new one reads the files again.
                self._session = boto3.Session(profile_name=self._profile)
            if anew or self._found is None:
                self._found = self._session.get_credentials()
            frozen = self._found.get_frozen_credentials() if self._found is not None else None
        except Exception as error:
            # Providers are plug-ins; botocore's own raise RuntimeError and OSError, too.
            raise CredentialsError(f"cannot get credentials: {error}") from error
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise CredentialsError("there are no credentials")
        return FrozenCredentials(frozen.access_key, frozen.secret_key, frozen.token or None)
