"""Who may call: keys, rates and budgets, held in memory and brought up to date from the database by a watcher.

Admitting a call is a dictionary look-up, one SHA-256 and one comparison: about 2 µs, so verified keys need no cache.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metier.artefacts.keys import KEY_CHARS, Key, is_key, key_hash, key_id
from metier.gateway.access import refusals
from metier.gateway.access.hosts import is_loopback
from metier.gateway.access.limits import Bucket, Purse, month_bounds
from metier.gateway.calls import ANONYMOUS, Caller
from metier.gateway.errors import ApiError
from metier.store.keys import KeyBook
from metier.store.spend import month_of

_SCHEME = "bearer "
# "Bearer", some spaces, a key: whatever is longer is not looked at.
_MAX_HEADER_CHARS = KEY_CHARS + 32
# Compared with where an id is unknown, so that it takes as long as a wrong secret. No key has this hash.
_NOBODY = key_hash("")

Refused = Callable[[str, str | None], None]


@dataclass(slots=True)
class _Account:
    """A live key with what it has left. `caller` is made once: every call of the key shares it."""

    key: Key
    caller: Caller
    bucket: Bucket | None
    purse: Purse


@dataclass(frozen=True, slots=True)
class _Books:
    """What is known now; replaced as a whole. `has_keys` counts revoked keys too: a gateway that once had keys never
    opens up because the last one was revoked."""

    accounts: Mapping[str, _Account]
    revoked: frozenset[str]
    has_keys: bool


class KeyGatekeeper:
    """Fulfils gateway.protocols.Gatekeeper. Safe in threads; `update` brings in what the database says.

    `n_workers` processes share a key's rate evenly: each allows its part. `refused` is told of every refusal: a reason
    (missing, malformed, unknown, wrong, revoked, not_loopback, rate, budget, keys_unknown) and the id of the key where it
    is one of ours.
    """

    def __init__(
        self,
        *,
        n_workers: int = 1,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        refused: Refused = lambda _reason, _key_id: None,
    ) -> None:
        self._n_workers = max(1, n_workers)
        self._wall, self._monotonic = wall, monotonic
        self._refused = refused
        self._books: _Books | None = None
        self._lock = threading.Lock()
        self._month_bounds = (math.inf, -math.inf)
        self.refusals: Counter[str] = Counter()

    @property
    def has_keys(self) -> bool:
        """Whether a key is needed. True as long as the keys are not known."""
        return self._books is None or self._books.has_keys

    @property
    def is_known(self) -> bool:
        """Whether the keys have been read; until then nobody is let in."""
        return self._books is not None

    def admit(self, authorization: str | None, client_host: str | None) -> Caller:
        books = self._books
        if books is None:
            raise self._refuse("keys_unknown", None, refusals.keys_unknown())
        if not books.has_keys:
            if client_host is not None and is_loopback(client_host):
                return ANONYMOUS
            raise self._refuse("not_loopback", None, refusals.not_loopback())
        account = self._account(books, authorization)
        if account.bucket is not None or account.key.budget_usd_month is not None:
            self._check_limits(account)
        return account.caller

    def charge(self, caller: Caller, cost_usd: float) -> None:
        # Not a number, infinite or negative: a price that is wrong must neither lock a key nor give it money.
        if caller.key_id is None or not 0 < cost_usd < math.inf:
            return
        self._turn_month()
        with self._lock:
            account = None if self._books is None else self._books.accounts.get(caller.key_id)
            if account is not None:
                account.purse.book(cost_usd)

    def booked(self) -> dict[str, float]:
        """What was booked here for each key this month; take it before a reading that `update` gets."""
        with self._lock:
            books = self._books
            return {} if books is None else {id_: account.purse.booked for id_, account in books.accounts.items()}

    def update(self, book: KeyBook, booked_before: Mapping[str, float]) -> None:
        """Take over the keys and sums of the database. Buckets and bookings of keys that stay go on. A reading of another
        month than the present one is passed over: the month turned while it was made."""
        self._turn_month()
        with self._lock:
            if book.month != month_of(self._month_bounds[0]):
                return
            old = {} if self._books is None else self._books.accounts
            accounts = {}
            for key in book.keys.values():
                if key.revoked_at is None:
                    spent = book.spent[key.id].cost_usd if key.id in book.spent else 0.0
                    accounts[key.id] = self._opened(key, old.get(key.id), spent, booked_before.get(key.id, 0.0))
            revoked = frozenset(key.id for key in book.keys.values() if key.revoked_at is not None)
            # A database that was emptied, or restored from a day without keys, must not open a running gateway.
            has_keys = bool(book.keys) or (self._books is not None and self._books.has_keys)
            self._books = _Books(accounts, revoked, has_keys)

    def _opened(self, key: Key, old: _Account | None, spent: float, booked_before: float) -> _Account:
        if old is None:
            purse = Purse(read=spent, first_read=spent)
        else:
            purse = old.purse
            purse.learn(spent, booked_before)
            if old.key == key:
                return old
        limit = key.requests_per_minute
        bucket = None if limit is None else Bucket.full(limit, self._n_workers, self._monotonic())
        return _Account(key, Caller(key.id, key.name), bucket, purse)

    def _account(self, books: _Books, authorization: str | None) -> _Account:
        if authorization is None:
            raise self._refuse("missing", None, refusals.no_key())
        text = _bearer(authorization)
        id_ = None if text is None else key_id(text)
        if text is None or id_ is None:
            raise self._refuse("malformed", None, refusals.malformed_key())
        account = books.accounts.get(id_)
        if is_key(text, _NOBODY if account is None else account.key.hash) and account is not None:
            return account
        reason = "wrong" if account is not None else "revoked" if id_ in books.revoked else "unknown"
        raise self._refuse(reason, None if reason == "unknown" else id_, refusals.wrong_key())

    def _check_limits(self, account: _Account) -> None:
        key = account.key
        self._turn_month()
        with self._lock:
            is_spent = key.budget_usd_month is not None and account.purse.spent_usd >= key.budget_usd_month
            # A call that is refused for its budget takes no token.
            wait_s = 0.0 if is_spent or account.bucket is None else account.bucket.take(self._monotonic())
        if is_spent:
            assert key.budget_usd_month is not None
            left_s = self._month_bounds[1] - self._wall()
            raise self._refuse("budget", key.id, refusals.budget_spent(key.budget_usd_month, left_s))
        if wait_s > 0:
            assert account.bucket is not None
            assert key.requests_per_minute is not None
            error = refusals.too_many_calls(key.requests_per_minute, wait_s, account.bucket.seconds_to_full())
            raise self._refuse("rate", key.id, error)

    def _turn_month(self) -> None:
        """Empty the purses where another month of UTC than theirs is on (a new one began, or the clock was set)."""
        now = self._wall()
        first, following = self._month_bounds
        if first <= now < following:
            return
        with self._lock:
            self._month_bounds = month_bounds(now)
            for account in self._books.accounts.values() if self._books is not None else ():
                account.purse = Purse()

    def _refuse(self, reason: str, id_: str | None, error: ApiError) -> ApiError:
        self.refusals[reason] += 1
        self._refused(reason, id_)
        return error


def _bearer(authorization: object) -> str | None:
    """What stands after "Bearer" in a header; None for everything else, whatever it is."""
    if not isinstance(authorization, str) or len(authorization) > _MAX_HEADER_CHARS:
        return None
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return authorization[len(_SCHEME) :].strip(" ")
