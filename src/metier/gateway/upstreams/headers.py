"""Which headers go on, to the upstream and back to the client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from metier.artefacts.keys import PREFIX
from metier.gateway.protocols import Header

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade http2-settings".split()
)
# Made anew for each upstream, or of no concern to it: addresses, secrets of the caller, and what browsers add.
# accept-encoding: answers are asked for unpacked, because their text is read for the record.
_NOT_SENT = _HOP_BY_HOP | frozenset(
    b"host content-length expect accept-encoding authorization cookie api-key x-api-key forwarded via x-real-ip "
    b"true-client-ip cf-connecting-ip x-client-ip origin referer x-metier-key".split()
)
_NOT_SENT_STARTS = (b"x-forwarded-", b"sec-", b"cf-", b"x-metier-")
# location: a redirected client would take its key elsewhere. alt-svc and HSTS speak of another host.
_NOT_RETURNED = _HOP_BY_HOP | frozenset(
    b"set-cookie set-cookie2 location alt-svc strict-transport-security server date www-authenticate authorization "
    b"x-envoy-upstream-service-time".split()
)
_NOT_RETURNED_STARTS = (b"x-metier-", b"access-control-", b"cf-", b"report-to", b"nel")
_KEY_PREFIX = PREFIX.encode()


def to_upstream(headers: Sequence[Header]) -> tuple[dict[str, str], str | None]:
    """The headers to send, and the client's own Authorization (None where it has none, or it holds a metier key).

    Names in lower case; a repeated header is joined with a comma (RFC 9110, 5.3). No value with a metier key goes on.
    """
    found: dict[str, str] = {}
    authorization = None
    dropped = _named_in_connection(headers)
    for name, value in headers:
        name = name.lower()
        if _KEY_PREFIX in value:
            continue
        if name == b"authorization":
            authorization = value.decode("latin-1")
        elif name not in _NOT_SENT and not name.startswith(_NOT_SENT_STARTS) and name not in dropped:
            text = name.decode("latin-1")
            found[text] = f"{found[text]}, {value.decode('latin-1')}" if text in found else value.decode("latin-1")
    found["accept-encoding"] = "identity"
    return found, authorization


def to_client(headers: Iterable[Header]) -> list[Header]:
    """The headers of an answer to pass on, names in lower case. The body is passed on as it is, so its length and its
    encoding stay."""
    found = [(name.lower(), value) for name, value in headers]
    dropped = _named_in_connection(found)
    return [
        (name, value)
        for name, value in found
        if name not in _NOT_RETURNED and not name.startswith(_NOT_RETURNED_STARTS) and name not in dropped
    ]


def _named_in_connection(headers: Sequence[Header]) -> frozenset[bytes] | tuple[()]:
    """Headers that a Connection header declares to be hop-by-hop (RFC 9110, 7.6.1)."""
    for name, value in headers:
        if name == b"connection" and b"-" in value.replace(b"keep-alive", b""):
            return frozenset(part.strip().lower() for part in value.split(b","))
    return ()
