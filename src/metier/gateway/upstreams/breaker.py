"""A circuit breaker: leaves an upstream alone for a while once it has failed often enough in a row."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

# What `enter` gives; results of calls from before the last change of state are ignored.
Ticket = int
# Of a call that has reported already.
NO_TICKET: Ticket = -1


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """closed -> open after `failures` in a row -> half-open `reset_s` later, with one call as a probe -> closed or open.

    Each call that `enter` lets through reports back: `answered` when an answer has begun, then `finished` or `failed`;
    `released` when it was given up for no fault of the upstream's. `clock` gives monotonic seconds.
    """

    def __init__(self, failures: int, reset_s: float, clock: Callable[[], float]) -> None:
        self._limit = failures
        self._reset_s = reset_s
        self._clock = clock
        self._state = State.CLOSED
        self._ticket: Ticket = 0
        self._n_failures = 0
        self._opened_at = 0.0
        self._is_probed = False

    @property
    def state(self) -> State:
        """The state as the next call would find it."""
        if self._state is State.OPEN and self.wait_s <= 0:
            return State.HALF_OPEN
        return self._state

    @property
    def wait_s(self) -> float:
        """Seconds until a call is let through again; 0 where it is now, or waits for a probe."""
        if self._state is not State.OPEN:
            return 0.0
        return max(0.0, self._opened_at + self._reset_s - self._clock())

    def enter(self) -> Ticket | None:
        """A ticket for a call, or None where the upstream is to be left alone."""
        if self._state is State.CLOSED:
            return self._ticket
        if self._state is State.OPEN and self.wait_s <= 0:
            self._change(State.HALF_OPEN)
        if self._state is State.OPEN or self._is_probed:
            return None
        self._is_probed = True
        return self._ticket

    def answered(self, ticket: Ticket) -> Ticket:
        """The answer has begun: a probe closes the breaker. Gives back the ticket to go on with."""
        if ticket == self._ticket and self._state is State.HALF_OPEN:
            self._change(State.CLOSED)
            return self._ticket
        return ticket

    def finished(self, ticket: Ticket) -> None:
        """The answer came to its end."""
        if ticket == self._ticket:
            self._n_failures = 0

    def failed(self, ticket: Ticket) -> None:
        if ticket != self._ticket:
            return
        self._n_failures += 1
        if self._state is State.HALF_OPEN or self._n_failures >= self._limit:
            self._change(State.OPEN)
            self._opened_at = self._clock()

    def released(self, ticket: Ticket) -> None:
        """The call was given up: the next one may be the probe."""
        if ticket == self._ticket:
            self._is_probed = False

    def _change(self, state: State) -> None:
        self._state = state
        self._ticket += 1
        self._n_failures = 0
        self._is_probed = False
