"""Keeps a gatekeeper in step with the database: keys that are made or revoked count within about two seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from metier.errors import MetierError
from metier.gateway.access.gatekeeper import KeyGatekeeper
from metier.gateway.access.refusal_log import RefusalLog
from metier.store.keys import KeyStore
from metier.store.spend import month_of

_POLL_S = 1.0
_LEAVE_S = 5.0
_log = logging.getLogger(__name__)


class WatchedGatekeeper(KeyGatekeeper):
    """A gatekeeper with the store that it reads its keys from.

    While the database is away the keys read last stay valid, and those revoked meanwhile too; budgets go on counting what
    this process books. Where it was away from the start, every call gets 503 until it is there: without the list of keys
    nobody can be told from a stranger. Close it.
    """

    def __init__(self, location: str, *, n_workers: int = 1, wall: Callable[[], float] = time.time) -> None:
        super().__init__(n_workers=n_workers, wall=wall, refused=RefusalLog())
        self._location = location
        self._store: KeyStore | None = None
        self._may_create = True
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_current = True

    def refresh(self) -> bool:
        """Read keys and sums now; False where the database is away. Not for the event loop: it waits for the database."""
        booked = self.booked()
        try:
            if self._store is None:
                # Made where it never was; but a file that is gone is not replaced by an empty one, which has no keys.
                self._store = KeyStore(self._location, create=self._may_create)
                self._may_create = False
            book = self._store.read(month_of(self._wall()))
        except MetierError as problem:
            if self.is_current:
                # Its message may name the database's URL, and the URL a password: the kind of the problem has to do.
                meanwhile = "those read last stay valid" if self.is_known else "until they are, every call gets a 503"
                _log.warning("keys cannot be read from the database (%s); %s", type(problem).__name__, meanwhile)
            self.is_current = False
            self._give_back()
            return False
        if not self.is_current:
            _log.warning("keys can be read from the database again")
        self.is_current = True
        self.update(book, booked)
        return True

    def watch(self, every_s: float = _POLL_S) -> None:
        """Refresh in a thread until `close`."""

        def follow() -> None:
            while not self._stop.wait(every_s):
                try:
                    self.refresh()
                except Exception as problem:
                    # The thread must live as long as the gateway: without it a revoked key would stay valid.
                    self.is_current = False
                    _log.error("keys cannot be read from the database: %s", type(problem).__name__)

        self._thread = threading.Thread(target=follow, name="metier-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching and give the database's connections back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LEAVE_S)
        self._give_back()

    def _give_back(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None


def load_gatekeeper(location: str, *, n_workers: int = 1, watch: bool = True) -> WatchedGatekeeper:
    """The gatekeeper of one worker process, its keys read, and watched from now on.

    `location` is the traffic's database URL; `n_workers` how many processes of this gateway answer calls. Call it in the
    worker, after the fork: threads do not survive one.
    """
    gatekeeper = WatchedGatekeeper(location, n_workers=n_workers)
    gatekeeper.refresh()
    if watch:
        gatekeeper.watch()
    return gatekeeper
