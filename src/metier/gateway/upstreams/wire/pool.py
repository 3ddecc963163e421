"""The connections to one server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from metier.gateway.upstreams.wire.address import Address
from metier.gateway.upstreams.wire.connecting import connected
from metier.gateway.upstreams.wire.connection import Connection

# Connections that are not in use are kept this long; most servers keep theirs longer, and a new one costs a handshake.
_KEEP_ALIVE_S = 30.0


class Pool:
    """At most `max_connections` in use at once; further calls wait. `clock` gives monotonic seconds."""

    def __init__(self, address: Address, max_connections: int, clock: Callable[[], float]) -> None:
        self._address = address
        self._clock = clock
        self._free = asyncio.Semaphore(max_connections)
        self._idle: deque[Connection] = deque()  # the one used last on the right
        self._all: set[Connection] = set()

    async def admit(self) -> None:
        """Wait for one's turn; each turn ends with `leave`."""
        await self._free.acquire()

    def idle(self) -> Connection | None:
        """The connection that was used last, where one is open still."""
        self._close_old()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.is_reusable:
                return connection
        return None

    async def connect(self) -> Connection:
        """A new connection. Raises NotConnected."""
        connection = Connection(self._all.discard)
        await connected(self._address, connection)
        if connection.is_open:
            self._all.add(connection)
        return connection

    def leave(self, connection: Connection | None) -> None:
        """End a turn: the connection is kept where it can be used again, and closed where it can not."""
        self._free.release()
        if connection is None:
            return
        if connection.is_reusable and connection.is_open:
            connection.idle_since = self._clock()
            self._idle.append(connection)
            self._close_old()
        else:
            connection.abort()

    async def close(self) -> None:
        for connection in tuple(self._all):
            connection.abort()
        while self._all:
            await asyncio.sleep(0)

    def _close_old(self) -> None:
        oldest = self._clock() - _KEEP_ALIVE_S
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().abort()
