"""The task behind a listing that somebody reads: it fetches what is not known of the directory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from mountfs.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from mountfs.meta.fetch import PageFetcher
    from mountfs.meta.listing import Listing
    from mountfs.meta.walk_ahead import WalkAhead
    from mountfs.ttl import Ttl

log = logging.getLogger(__name__)


async def drive_listing(
    listing: Listing, ttl: Ttl, fetcher: PageFetcher, walk_ahead: WalkAhead
) -> None:
    """Fetch pages for *listing* until it is complete or nobody reads it any more.

    Nothing is raised: its readers are told what it failed with.
    """
    directory = listing.directory
    is_alone = False
    try:
        while listing.reader_count:
            if listing.catch_up(ttl, trio.current_time()):
                await trio.lowlevel.checkpoint()
                continue
            if listing.is_complete:
                break
            scan = None if is_alone else walk_ahead.scan_for(directory)
            if scan is not None:
                is_alone = not await scan.wait_for_page()
                continue
            is_alone = True
            flight = fetcher.request(directory, listing.frontier)
            await flight.wait()
            if directory.is_detached:
                listing.finish()
            elif flight.covers(listing.frontier):
                listing.extend(flight.stop)
        if is_alone and listing.is_complete:
            walk_ahead.note_complete(directory)
    except StoreError as error:
        listing.fail(error)
    except Exception as error:  # a bug must not end the mount
        log.exception("cannot read the directory %r", directory.prefix)
        listing.fail(StoreUnavailableError(f"internal error: {error!r}"))
    finally:
        listing.is_driven = False
        if directory.listing is listing:
            directory.listing = None
