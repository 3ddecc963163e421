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
_AUTHORIZATION = b"authorization: "
_REMEMBERED_NAMES = 4096
_ALWAYS = b"accept-encoding: identity\r\n"


def to_upstream(headers: Sequence[Header]) -> tuple[bytes, bytes | None]:
    """The headers to send, as lines, and the client's own Authorization (None where it has none, or it holds a metier key).

    Names in lower case. No value with a metier key goes on.
    """
    lines = [_ALWAYS]
    authorization = None
    dropped: Container[bytes] = ()
    for name, value in headers:
        begin = _line_begin(name)
        if begin is None:
            if name == b"connection":
                dropped = _named_in(value)
        elif _KEY_PREFIX not in value:
            if begin == _AUTHORIZATION:
                authorization = value
            else:
                lines.append(b"%b%b\r\n" % (begin, value))
    if dropped:
        lines = [line for line in lines if line.partition(b":")[0] not in dropped]
    return _checked(lines), None if authorization is None or _breaks_lines(authorization) else authorization


def _checked(lines: list[bytes]) -> bytes:
    """The lines as one; without those that a line break in them would make two of."""
    block = b"".join(lines)
    if block.count(b"\n") == block.count(b"\r") == len(lines) and b"\0" not in block:
        return block
    return b"".join(line for line in lines if not _breaks_lines(line[:-2]))


def _breaks_lines(text: bytes) -> bool:
    return b"\r" in text or b"\n" in text or b"\0" in text


def to_client(headers: Iterable[Header]) -> list[Header]:
    """The headers of an answer to pass on, names in lower case. The body is passed on as it is, so its length and its
    encoding stay."""
    found = []
    dropped: Container[bytes] = ()
    for name, value in headers:
        lower = _returned_name(name)
        if lower is not None:
            found.append((lower, value))
        elif name.lower() == b"connection":
            dropped = _named_in(value)
    return [each for each in found if each[0] not in dropped] if dropped else found


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _line_begin(name: bytes) -> bytes | None:
    """`name: `, or None for a header that is not sent."""
    lower = name.lower()
    return None if lower in _NOT_SENT or lower.startswith(_NOT_SENT_STARTS) else lower + b": "


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _returned_name(name: bytes) -> bytes | None:
    lower = name.lower()
    return None if lower in _NOT_RETURNED or lower.startswith(_NOT_RETURNED_STARTS) else lower


@lru_cache(maxsize=_REMEMBERED_NAMES)
def _named_in(connection: bytes) -> frozenset[bytes]:
    """Headers that a Connection header declares to be hop-by-hop (RFC 9110, 7.6.1)."""
    names = frozenset(part.strip().lower() for part in connection.split(b","))
    return names - {b"keep-alive", b"close", b"content-type", b"accept-encoding"}
