"""What a key may use: calls by a token bucket, dollars by the month of UTC. Plain arithmetic; time is an argument."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

# A bucket holds this share of a minute's calls: ten seconds' worth may come at once.
BURST_SHARE = 1 / 6


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` calls a second come in, up to `capacity`; each call takes one."""

    rate: float
    capacity: float
    tokens: float
    updated: float

    @classmethod
    def full(cls, requests_per_minute: int, n_workers: int, now: float) -> Bucket:
        """The bucket of one process out of `n_workers` that share a limit evenly; at least one call fits in."""
        share = requests_per_minute / n_workers
        capacity = max(1.0, share * BURST_SHARE)
        return cls(share / 60, capacity, capacity, now)

    def take(self, now: float) -> float:
        """Take one token. Gives 0 where there was one, else the seconds until there will be; then nothing is taken."""
        # A clock that went back must not empty the bucket.
        self.tokens = min(self.capacity, self.tokens + max(0.0, now - self.updated) * self.rate)
        self.updated = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0.0
        return (1.0 - self.tokens) / self.rate

    def seconds_to_full(self) -> float:
        return (self.capacity - self.tokens) / self.rate


@dataclass(slots=True)
class Purse:
    """What a key spent this month, as this process knows it.

    The database lags by the second or two that journal and ingester take; what this process booked is known at once. Two
    lower bounds of the truth hold whatever the lag: the database's sum with what was booked here since it was read, and
    the sum of the first reading with all that was booked here. The larger one is taken: nothing is counted twice, and in a
    single process nothing is missed. With several processes, what the others spent in the lag is missed.
    """

    read: float = 0.0
    booked_since_read: float = 0.0
    first_read: float = 0.0
    booked: float = 0.0

    @property
    def spent_usd(self) -> float:
        return max(self.read + self.booked_since_read, self.first_read + self.booked)

    def book(self, cost_usd: float) -> None:
        self.booked_since_read += cost_usd
        self.booked += cost_usd

    def learn(self, total_usd: float, booked_before: float) -> None:
        """Take the database's sum; `booked_before` is what `booked` was when the reading began."""
        self.read = total_usd
        # Less was booked than before where the month turned in between.
        self.booked_since_read = max(0.0, self.booked - booked_before)


def month_bounds(time: float) -> tuple[float, float]:
    """The first second of the month of UTC that holds `time`, and that of the next month; seconds since 1970."""
    moment = datetime.datetime.fromtimestamp(time, datetime.UTC)
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + datetime.timedelta(days=32)).replace(day=1)
    return first.timestamp(), following.timestamp()
