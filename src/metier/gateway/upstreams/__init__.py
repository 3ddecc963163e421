"""The frontier models behind the gateway: choice, keys, retries, fallback, breakers, pooled connections."""

from metier.gateway.upstreams.opening import open_upstreams
from metier.gateway.upstreams.sending import PooledUpstreams

__all__ = ["PooledUpstreams", "open_upstreams"]
