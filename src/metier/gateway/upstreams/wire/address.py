"""Where an upstream is, taken apart once."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from metier.errors import BadSettings
from metier.gateway.upstreams.proxies import proxy_for

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """`authorization` is the value of Proxy-Authorization, empty for none."""

    host: str
    port: int
    authorization: bytes = b""


@dataclass(frozen=True, slots=True)
class Address:
    """`prefix` is what stands before a call's path in the request line, `headers` what every request has."""

    host: str
    port: int
    is_tls: bool
    prefix: bytes
    headers: bytes
    proxy: Proxy | None = None

    @property
    def authority(self) -> bytes:
        """host:port, an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}".encode()


def address_of(name: str, base_url: str, environment: Mapping[str, str]) -> Address:
    """The address of upstream `name`. Raises BadSettings for what is no address, or holds a password."""
    where = f"[upstreams.{name}] base_url"
    try:
        url = urlsplit(base_url)
        port = url.port
    except ValueError:
        raise BadSettings(f"{where}: {base_url!r} is no http(s) address, such as http://127.0.0.1:8000/v1") from None
    if url.username is not None or url.password is not None:
        raise BadSettings(
            f"{where} holds a user name or password; put the key into an environment variable (api_key_env)"
        )
    if url.scheme not in _PORTS or not url.hostname or not base_url.isascii() or not base_url.isprintable():
        raise BadSettings(f"{where}: {base_url!r} is no http(s) address, such as http://127.0.0.1:8000/v1")
    if url.query or url.fragment or " " in base_url:
        raise BadSettings(f"{where}: {base_url!r} may hold no query and no spaces; it ends in /v1")
    is_tls = url.scheme == "https"
    prefix = url.path.rstrip("/")
    headers = b"host: " + url.netloc.encode() + b"\r\n"
    proxy = _proxy(proxy_for(url.scheme, url.hostname, environment))
    if proxy is not None and not is_tls:
        prefix = f"http://{url.netloc}{prefix}"
        if proxy.authorization:
            headers += b"proxy-authorization: " + proxy.authorization + b"\r\n"
    return Address(url.hostname, port or _PORTS[url.scheme], is_tls, prefix.encode(), headers, proxy)


def _proxy(text: str | None) -> Proxy | None:
    if text is None:
        return None
    url = urlsplit(text if "://" in text else f"http://{text}")
    if url.scheme != "http" or not url.hostname:
        raise BadSettings(
            "the environment names a proxy that is not of the form http://host:port; only these are served"
        )
    authorization = b""
    if url.username is not None:
        secret = f"{unquote(url.username)}:{unquote(url.password or '')}"
        authorization = b"Basic " + base64.b64encode(secret.encode())
    return Proxy(url.hostname, url.port or _PORTS["http"], authorization)
