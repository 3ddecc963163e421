"""Opening a connection: names, TLS, proxies."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import lru_cache

import aiohappyeyeballs

from metier.gateway.upstreams.wire.address import Address, Proxy
from metier.gateway.upstreams.wire.errors import NotConnected, in_words

# The next address of a name is tried after this long (RFC 8305, 5).
_NEXT_ADDRESS_S = 0.25
_KEEP_ALIVE_S = 60
_MAX_PROXY_HEAD_BYTES = 2**14


async def connected(address: Address, protocol: asyncio.Protocol) -> None:
    """Connect `protocol` to `address`, TLS handshake included. Raises NotConnected."""
    loop = asyncio.get_running_loop()
    proxy = address.proxy
    try:
        found = await _socket(loop, proxy or address)
        try:
            if proxy is not None and address.is_tls:
                await _tunnel(loop, found, address, proxy)
            context = tls_context() if address.is_tls else None
            server_name = address.host if address.is_tls else None
            await loop.create_connection(lambda: protocol, sock=found, ssl=context, server_hostname=server_name)
        except BaseException:
            found.close()
            raise
    except OSError as error:
        raise NotConnected(in_words(error)) from None


async def _socket(loop: asyncio.AbstractEventLoop, place: Address | Proxy) -> socket.socket:
    found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    connection = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S, loop=loop)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A model may think for many minutes; signs of life keep firewalls from forgetting the connection.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_S)
    return connection


async def _tunnel(loop: asyncio.AbstractEventLoop, connection: socket.socket, address: Address, proxy: Proxy) -> None:
    """Ask the proxy for a connection through it (RFC 9110, 9.3.6)."""
    lines = [b"CONNECT %b HTTP/1.1" % address.authority, b"host: %b" % address.authority]
    if proxy.authorization:
        lines.append(b"proxy-authorization: " + proxy.authorization)
    await loop.sock_sendall(connection, b"\r\n".join([*lines, b"", b""]))
    head = b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(connection, 4096)
        head += data
        if not data or len(head) > _MAX_PROXY_HEAD_BYTES:
            raise NotConnected("the proxy broke off")
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise NotConnected(f"the proxy refused ({b''.join(status)[:3].decode('latin-1')})")


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """The system's certificates; reading them takes milliseconds, so it is done once."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
