"""A request and its answer on a connection of the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from metier.gateway.protocols import Header
from metier.gateway.upstreams.wire.connection import Connection
from metier.gateway.upstreams.wire.errors import Broken, ConnectTimedOut
from metier.gateway.upstreams.wire.pool import Pool


class Exchange:
    """An answer whose head is here. Its connection goes back to the pool at the body's end, or is closed by `close`."""

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._pool = pool
        self._connection = connection
        self._is_left = False
        self.has_ended = False
        self.status = connection.status
        self.headers: Sequence[Header] = connection.headers

    def take(self) -> bytes | None:
        """What has come of the body since; None where one has to `wait`. `has_ended` tells its end. Raises Broken."""
        if self.has_ended:
            return b""
        chunk = self._connection.take()
        if self._connection.has_ended:
            self.has_ended = True
            self.close()
        return chunk

    async def wait(self) -> None:
        """Until more has come. Raises Broken."""
        await self._connection.wait()

    def close(self) -> None:
        """Let go of the connection; may be called again."""
        if not self._is_left:
            self._is_left = True
            self._pool.leave(self._connection)


async def begun(pool: Pool, request: bytes, connect_timeout_s: float) -> Exchange:
    """Send `request` and wait for the head of its answer. Raises NotConnected, ConnectTimedOut or Broken.

    A pooled connection that the server closes before it has answered anything may have been closed before the request
    came (RFC 9112, 9.3.1): the request goes out once more, on a new one.
    """
    await pool.admit()
    connection = pool.idle()
    try:
        if connection is not None:
            try:
                await connection.begin(request)
                return Exchange(pool, connection)
            except Broken as error:
                if error.has_begun:
                    raise
        connection = await _connect(pool, connect_timeout_s)
        await connection.begin(request)
        return Exchange(pool, connection)
    except BaseException:
        pool.leave(connection)
        raise


async def _connect(pool: Pool, timeout_s: float) -> Connection:
    try:
        async with asyncio.timeout(timeout_s):
            return await pool.connect()
    except TimeoutError:
        raise ConnectTimedOut(f"no connection within {timeout_s:g} s") from None
