"""serve: the OpenAI-compatible gateway, a process."""

from __future__ import annotations

from collections.abc import Callable

from metier.gateway.process.setup import Setup
from metier.gateway.process.supervisor import Started, Supervisor

__all__ = ["Setup", "Started", "serve"]


def serve(setup_of: Callable[[], Setup], *, announce: Callable[[Started], None]) -> None:
    """Run the gateway until SIGTERM or SIGINT: one address, the workers that answer its calls, and the ingester that brings
    what they write down into the database.

    Unlike the other verbs this one is a process: it listens, starts processes and takes signals, so it runs in the main
    thread. `setup_of` reads the project's settings, now and again on each SIGHUP (the routes of the tasks are then taken
    over; address, limits and upstreams are those of the start). `announce` is told once the gateway takes calls.

    Raises MetierError where the gateway cannot start: the address is taken, or open to others while there is no key; the
    settings are wrong; an extra is missing.
    """
    Supervisor(setup_of, announce).run()
