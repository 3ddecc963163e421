"""Raw connections, as hostile clients use them."""

from __future__ import annotations

import socket


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other end closes or resets the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
