"""The frontier models behind the gateway: choice, keys, retries, fallback, breakers, pooled connections."""

from metier.gateway.upstreams.opening import open_upstreams

__all__ = ["open_upstreams"]
