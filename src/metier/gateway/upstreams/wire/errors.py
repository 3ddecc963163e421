"""What can go wrong on the wire, in words without addresses: an error's own text may hold them."""

from __future__ import annotations

import os
import socket
import ssl


class WireError(Exception):
    """The message says what went wrong, as the end of a sentence."""


class NotConnected(WireError):
    """No connection: the name is not known, nobody listens, TLS fails, or the proxy refuses."""


class ConnectTimedOut(WireError):
    """No connection within the time there was for it."""


class Broken(WireError):
    """The connection ended or brought something that is no HTTP. `has_begun`: some of the answer was here already."""

    def __init__(self, why: str, *, has_begun: bool = False) -> None:
        super().__init__(why)
        self.has_begun = has_begun


def in_words(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its TLS certificate is not accepted"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return "the connection failed"
