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
        list_concurrency: LISTs in flight at most, when listing ahead; 0 never lists ahead.
        lists_in_order: False for a store that can only list a directory as a whole, in one long
            page (S3 Express One Zone): nothing is listed ahead then.
    """

    prefix: str = ""
    ttl: Ttl = field(default_factory=lambda: Ttl(60.0))
    list_concurrency: int = 8
    lists_in_order: bool = True
