"""How names are presented and for how long answers are believed."""

from __future__ import annotations

from dataclasses import dataclass, field

from mountfs.ttl import Ttl


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataConfig:
    """How the namespace is kept.

    Attributes:
        prefix: what the root of the mount shows; empty, or ends with ``/``.
        ttl: how long metadata is believed.
        list_concurrency: LISTs in flight at most, when listing ahead.
    """

    prefix: str = ""
    ttl: Ttl = field(default_factory=lambda: Ttl(60.0))
    list_concurrency: int = 8
