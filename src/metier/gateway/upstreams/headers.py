"""Which headers go on, to the upstream and back to the client."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from functools import lru_cache

from metier.artefacts.keys import PREFIX
from metier.gateway.protocols import Header

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade http2-settings".split()
)
# Made anew for each upstream, or of no concern to it: addresses, secrets of the caller, and what browsers add.
# accept-encoding: answers are asked for unpacked, because their text is read for the record.
_NOT_SENT = _HOP_BY_HOP | frozenset(
    b"host content-length expect accept-encoding cookie api-key x-api-key forwarded via x-real-ip "
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
_AUTHORIZATION = "authorization"
_REMEMBERED_NAMES = 4096


def to_upstream(headers: Sequence[Header]) -> tuple[dict[str, str], str | None]:
    """The headers to send, and the client's own Authorization (None where it has none, or it holds a metier key).

    Names in lower case; a repeated header is joined with a comma (RFC 9110, 5.3). No value with a metier key goes on.
    """
    found = {"accept-encoding": "identity"}
    authorization = None
    dropped: Container[str] = ()
    for name, value in headers:
        text = _sent_name(name)
        if text is None:
            if name == b"connection":
                dropped = _named_in(value)
        elif _KEY_PREFIX in value:
            continue
        elif text == _AUTHORIZATION:
            authorization = value.decode("latin-1")
        elif text in found:
            found[text] = f"{found[text]}, {value.decode('latin-1')}"
        else:
            found[text] = value.decode("latin-1")
    if dropped:
        found = {name: value for name, value in found.items() if name not in dropped}
    return found, authorization


def to_client(headers: Iterable[Header]) -> list[Header]:
    """The headers of an answer to pass on, names in lower case. The body is passed on as it is, so its length and its
    encoding stay."""
    found = []
    dropped: Container[str] = ()
    for name, value in headers:
        lower = _returned_name(name)
        if lower is not None:
            found.append((lower, value))
        elif name.lower() == b"connection":
            dropped = _named_in(value)
    return [each for each in found if each[0].decode("latin-1") not in dropped] if dropped else found


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _sent_name(name: bytes) -> str | None:
    lower = name.lower()
    if lower in _NOT_SENT or lower.startswith(_NOT_SENT_STARTS):
        return None
    return lower.decode("latin-1")


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _returned_name(name: bytes) -> bytes | None:
    lower = name.lower()
    return None if lower in _NOT_RETURNED or lower.startswith(_NOT_RETURNED_STARTS) else lower


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _named_in(connection: bytes) -> frozenset[str]:
    """Headers that a Connection header declares to be hop-by-hop (RFC 9110, 7.6.1)."""
    names = frozenset(part.strip().lower() for part in connection.decode("latin-1").split(","))
    return names - {"keep-alive", "close", "content-type", "accept-encoding"}
