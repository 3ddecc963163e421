"""uvicorn as the gateway uses it: on a socket that is bound already, without a log of its own, stopped by a call."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable, Generator

import uvicorn
from starlette.types import ASGIApp

from metier.gateway.process.connection import GuardedConnection

# Longer than clients keep idle connections (httpx, and so OpenAI's client: 5 s), so that it is they who close them: a
# request that crosses the server's own closing on the wire would be lost.
_KEEP_ALIVE_S = 75
_BACKLOG = 2048


class Server(uvicorn.Server):
    """Stops when `stop` is called; signals are the worker's business. `on_started` is called once it takes connections."""

    on_started: Callable[[], None] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    def stop(self) -> None:
        """Take no more connections, let the calls under way finish within the time to drain. A second call waits no
        longer."""
        self.force_exit = self.should_exit
        self.should_exit = True


def build_server(app: ASGIApp, *, client_timeout_s: float, drain_s: float) -> Server:
    """A server for `app`; `client_timeout_s` bounds a client's pauses, `drain_s` the calls under way at the end."""
    connection = type("Connection", (GuardedConnection,), {"pause_s": client_timeout_s})
    return Server(
        uvicorn.Config(
            app,
            http=connection,
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            # Who calls decides who may call: a header that a client can write must not.
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(drain_s),
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError where the address cannot be had."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
