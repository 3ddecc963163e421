"""The ingester's process: `python -m metier.gateway.process.ingesting` brings the journal into the database."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

from metier.artefacts.policies import Policy
from metier.errors import MetierError
from metier.gateway.process.messages import EXIT_CANNOT_START, Lines, Report, say
from metier.gateway.process.setup import JOURNAL_FOLDER, Setup
from metier.gateway.recording.ingester import Ingester
from metier.gateway.redaction import redactor
from metier.gateway.telemetry.logs import open_logs
from metier.gateway.telemetry.stdlib import take_over_logging
from metier.store.folders import ArtefactStore

# Calls come first: the ingester takes the time that the workers leave.
_NICENESS = 10


def main() -> None:
    """Run until SIGTERM, or until the supervisor is gone; then bring in what ended workers have left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines = Lines()
    setup = lines.next()
    if setup is None:
        return
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    os.nice(_NICENESS)
    try:
        ingester = _ingester(setup)
    except MetierError as problem:
        say(Report(error=str(problem)))
        sys.exit(EXIT_CANNOT_START)
    lines.follow(lambda _: None, stop.set)
    say(Report())
    ingester.run(stop)


def _ingester(setup: Setup) -> Ingester:
    logs = open_logs(setup.serve.log)
    take_over_logging(logs)

    def note(message: str, fields: Mapping[str, Any]) -> None:
        logs.event("recording", "warning", message=message, **fields)

    return Ingester(
        setup.store / JOURNAL_FOLDER,
        setup.traffic_url,
        # Names and addresses take too long to find for a worker; secrets are out of the journal already.
        redact=redactor(pii=True) if setup.serve.redact_pii else None,
        delta_of=_delta_of(ArtefactStore(setup.store)),
        note=note,
    )


def _delta_of(store: ArtefactStore) -> Callable[[str], float | None]:
    """The delta of a policy's certificate, None where the store does not have it (any more)."""
    known: dict[str, float | None] = {}

    def delta_of(policy_id: str) -> float | None:
        if policy_id not in known:
            try:
                policy = cast(Policy, store.load(store.manifest("policy", policy_id)))
            except MetierError:
                return None
            known[policy_id] = policy.certificate.delta if policy.certificate is not None else None
        return known[policy_id]

    return delta_of


if __name__ == "__main__":
    main()
