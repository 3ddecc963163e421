"""Whether a client sits on the gateway's own machine."""

from __future__ import annotations

import functools
import ipaddress


@functools.lru_cache(maxsize=4096)
def is_loopback(host: str) -> bool:
    """127.0.0.0/8, ::1, and either written as an IPv4-mapped address. Anything that is no address is not.

    `host` must be the address of the connection itself; what a header claims (X-Forwarded-For) is the caller's word.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
