"""What an upstream is, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metier.gateway.settings import UpstreamSettings


@dataclass(frozen=True, slots=True)
class Options:
    """One [upstreams.NAME] section with its name; the meanings stand in UpstreamSettings."""

    name: str
    base_url: str
    api_key_env: str
    models: tuple[str, ...]
    connect_timeout_s: float
    first_byte_timeout_s: float
    idle_timeout_s: float
    max_retries: int
    max_connections: int
    breaker_failures: int
    breaker_reset_s: float
    input_usd_per_million: float | None
    output_usd_per_million: float | None


def flattened(upstreams: Mapping[str, UpstreamSettings]) -> tuple[Options, ...]:
    """The sections in the order in which they are written."""
    return tuple(Options(name=name, **settings.model_dump()) for name, settings in upstreams.items())
