"""What the store is asked because of one place, counted in the proxy's log."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.mount.mounted import wait_until
from tests.mount.write.place import publish_below

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.mount.write.place import Bucketed
    from tests.stores.proxy import Proxy
    from tests.stores.request_log import Request


class Counting:
    """The requests that concern a place; those that come in the background too.

    Mounts that other tests use may have something to do at the same time: what counts is what
    names the place, and bulk deletes, which name it out of sight.
    """

    def __init__(self, proxy: Proxy, place: Bucketed) -> None:
        self._log = proxy.log
        self._place = place
        self._name = place.prefix.rstrip("/") or place.bucket

    def mark(self) -> int:
        """Return the place where the log ends now, to count from; wait until all is published."""
        wait_until(self._is_clean)
        return self._log.mark()

    def read(self, *, since: int) -> list[Request]:
        """Return the requests that ended after *since*, a `mark`."""
        return [
            request
            for request in self._log.read(since=since)
            if self._name in request.uri or request.kind == "DELETE_MANY"
        ]

    def count(self, *, since: int) -> Counter[str]:
        """Count them by kind."""
        return Counter(request.kind for request in self.read(since=since))

    def of(self, action: Callable[[], object], *, until: str, count: int = 1) -> Counter[str]:
        """Return how many requests of each kind *action* needs.

        Args:
            action: what is done.
            until: the kind of request that is the last one.
            count: how many of them there will be; fewer never end the wait, more are an error of
                the caller's comparison.
        """
        mark = self.mark()
        action()
        # By way of the root: to open the place would list it, and count.
        publish_below(self._place.mount.path, self._place.mode)
        wait_until(lambda: self.count(since=mark)[until] >= count)
        wait_until(self._is_clean)
        return self.count(since=mark)

    def _is_clean(self) -> bool:
        write = self._place.mount.stats()["write"]
        return bool(write["dirty_files"] == write["pending_files"] == 0)
