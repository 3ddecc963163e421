"""Who may call the gateway, how often, and for how much."""

from metier.gateway.access.browsers import guard_browsers
from metier.gateway.access.watching import WatchedGatekeeper, load_gatekeeper

__all__ = ["WatchedGatekeeper", "guard_browsers", "load_gatekeeper"]
