"""The stores that the contract tests run on, each with a second client that changes the bucket."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Protocol

from mountfs.objects import ObjectHeaders, ObjectId
from mountfs.store.config import S3Config
from mountfs.store.fake import FakeStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_s3 import S3Client

    from mountfs.store.protocol import ObjectStore
    from tests.stores.client import Endpoint

PUT_THREADS = 16
"""To fill a bucket quickly; boto3 has more connections than that."""


class Backend(Protocol):
    """A store and somebody else who writes to its bucket.

    Attributes:
        name: of the kind of store.
    """

    name: str

    @property
    def store(self) -> ObjectStore:
        """What is tested."""
        ...

    def put(self, key: str, body: bytes) -> ObjectId:
        """Store an object; not through `store`."""
        ...

    def put_all(self, keys: Iterable[str]) -> None:
        """Store empty objects."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; not through `store`."""
        ...

    def read(self, key: str) -> bytes:
        """Return the bytes of an object; not through `store`."""
        ...

    def describe(self, key: str) -> ObjectHeaders:
        """Return what is kept with an object; not through `store`."""
        ...

    def uploads(self) -> list[str]:
        """Return the keys of the unfinished uploads; not through `store`."""
        ...


class FakeBackend:
    """The fake, which is its own second client."""

    name = "fake"

    def __init__(self) -> None:
        self.store = FakeStore()

    def put(self, key: str, body: bytes) -> ObjectId:
        """Store an object."""
        return ObjectId(key, self.store.bucket.put(key, body).etag)

    def put_all(self, keys: Iterable[str]) -> None:
        """Store empty objects."""
        for key in keys:
            self.store.bucket.put(key, b"")

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.store.bucket.delete(key)

    def read(self, key: str) -> bytes:
        """Return the bytes of an object."""
        return self.store.bucket.read(key)

    def describe(self, key: str) -> ObjectHeaders:
        """Return what is kept with an object."""
        return self.store.bucket.find(key).headers

    def uploads(self) -> list[str]:
        """Return the keys of the unfinished uploads."""
        return [upload.key for upload in self.store.bucket.uploads()]


class S3Backend:
    """A store that is a server, written to with boto3."""

    def __init__(self, name: str, store: ObjectStore, client: S3Client, bucket: str) -> None:
        self.name = name
        self.store = store
        self._client = client
        self._bucket = bucket
        self._keys: list[str] = []

    def put(self, key: str, body: bytes) -> ObjectId:
        """Store an object."""
        self._keys.append(key)
        answer = self._client.put_object(Bucket=self._bucket, Key=key, Body=body)
        return ObjectId(key, answer["ETag"])

    def put_all(self, keys: Iterable[str]) -> None:
        """Store empty objects."""
        with ThreadPoolExecutor(PUT_THREADS) as pool:
            list(pool.map(partial(self.put, body=b""), keys))

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._client.delete_object(Bucket=self._bucket, Key=key)

    def read(self, key: str) -> bytes:
        """Return the bytes of an object."""
        return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def describe(self, key: str) -> ObjectHeaders:
        """Return what is kept with an object."""
        answer = self._client.head_object(Bucket=self._bucket, Key=key)
        return ObjectHeaders(
            content_type=answer.get("ContentType", ""),
            cache_control=answer.get("CacheControl", ""),
            content_encoding=answer.get("ContentEncoding", ""),
            content_disposition=answer.get("ContentDisposition", ""),
            content_language=answer.get("ContentLanguage", ""),
            metadata=answer["Metadata"],
        )

    def uploads(self) -> list[str]:
        """Return the keys of the unfinished uploads."""
        answer = self._client.list_multipart_uploads(Bucket=self._bucket)
        return [upload["Key"] for upload in answer.get("Uploads", [])]

    def clear(self) -> None:
        """Remove everything that was put; moto's listings of versions do not find it all."""
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket):
            self._keys += [found["Key"] for found in page.get("Contents", [])]
        for first in range(0, len(self._keys), 1000):
            keys = self._keys[first : first + 1000]
            self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in keys]}
            )


def make_config(endpoint: Endpoint, bucket: str) -> S3Config:
    """Return how to reach a bucket of a test store."""
    return S3Config(bucket=bucket, endpoint_url=endpoint.endpoint_url)
