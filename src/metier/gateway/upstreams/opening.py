"""Makes the upstreams from the settings: here the sections become plain values, and keys are read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from metier.errors import BadSettings
from metier.gateway.settings import UpstreamSettings
from metier.gateway.upstreams.choice import Choice
from metier.gateway.upstreams.options import flattened
from metier.gateway.upstreams.pricing import Prices

if TYPE_CHECKING:
    from metier.gateway.upstreams.sending import PooledUpstreams


def open_upstreams(
    upstreams: Mapping[str, UpstreamSettings],
    aliases: Mapping[str, Sequence[str]],
    *,
    environment: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    rng: Random | None = None,
) -> PooledUpstreams:
    """The upstreams of [upstreams.NAME] under the names of [models] ("upstream/model" strings).

    `environment` (default: the process's) holds the keys and the proxies; `clock` gives monotonic seconds, for the
    deadlines and the breakers; `rng` draws the waits between attempts. Connects to nothing. Raises BadSettings for an
    address that is none, or that holds a password.
    """
    from metier.gateway.upstreams.endpoint import Endpoint
    from metier.gateway.upstreams.sending import PooledUpstreams

    environment = os.environ if environment is None else environment
    options = flattened(upstreams)
    for each in options:
        _check_address(each.name, each.base_url)
    endpoints = {
        each.name: Endpoint(each, environment.get(each.api_key_env, "").strip() or None, clock, environment)
        for each in options
    }
    return PooledUpstreams(endpoints, Choice(options, aliases), Prices(options), clock=clock, rng=rng or Random())


def _check_address(name: str, base_url: str) -> None:
    address = urlsplit(base_url)
    where = f"[upstreams.{name}] base_url"
    if address.username is not None or address.password is not None:
        raise BadSettings(
            f"{where} holds a user name or password; put the key into an environment variable (api_key_env)"
        )
    if address.scheme not in ("http", "https") or not address.hostname:
        raise BadSettings(f"{where}: {base_url!r} is no http(s) address, such as http://127.0.0.1:8000/v1")
    if address.query or address.fragment:
        raise BadSettings(f"{where}: {base_url!r} may hold no query; it ends in /v1")
