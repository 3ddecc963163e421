"""The proxy that the environment asks for, as other HTTP clients read it."""

from __future__ import annotations

import ipaddress
import urllib.request
from collections.abc import Mapping

_SUFFIX = "_proxy"


def proxy_for(scheme: str, host: str, environment: Mapping[str, str]) -> str | None:
    """HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, unless NO_PROXY names the host or it is this machine."""
    proxies = {name.lower().removesuffix(_SUFFIX): value for name, value in environment.items() if _is_set(name, value)}
    is_excepted = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    if _is_loopback(host) or is_excepted(host, proxies):
        return None
    return proxies.get(scheme, proxies.get("all"))


def _is_set(name: str, value: str) -> bool:
    return bool(value) and name.lower().endswith(_SUFFIX)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
