"""Makes the upstreams from the settings: here the sections become plain values, and keys are read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random

from metier.errors import BadSettings
from metier.gateway.settings import UpstreamSettings
from metier.gateway.upstreams.choice import Choice
from metier.gateway.upstreams.endpoint import Endpoint
from metier.gateway.upstreams.options import Options, flattened
from metier.gateway.upstreams.pricing import Prices
from metier.gateway.upstreams.sending import PooledUpstreams
from metier.gateway.upstreams.wire.address import address_of


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
    environment = os.environ if environment is None else environment
    options = flattened(upstreams)
    endpoints = {}
    for each in options:
        address = address_of(each.name, each.base_url, environment)
        endpoints[each.name] = Endpoint(each, address, _key(each, environment), clock)
    return PooledUpstreams(endpoints, Choice(options, aliases), Prices(options), clock=clock, rng=rng or Random())


def _key(options: Options, environment: Mapping[str, str]) -> str | None:
    """Raises BadSettings for a key that no header can hold."""
    key = environment.get(options.api_key_env, "").strip()
    if not key.isascii() or not key.isprintable():
        raise BadSettings(f"the environment variable {options.api_key_env} holds characters that no key has")
    return key or None
