"""Log lines: one for each finished call, one for each event of the process."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

from metier.gateway.calls import AuditOutcome, CallRecord
from metier.gateway.telemetry.labels import NONE, OTHER, KnownNames
from metier.gateway.telemetry.lines import Form, Level, audit_fields, call_fields, call_level, line
from metier.gateway.telemetry.masks import masked
from metier.gateway.telemetry.writer import LineWriter

STDERR = 2


class Logs:
    """Writes lines without blocking. `redact` is applied to all free text: the values of events, and names of models that
    nobody configured (a client can put anything there)."""

    def __init__(self, form: Form, writer: LineWriter, redact: Callable[[str], str] = masked) -> None:
        self._form: Form = form
        self._writer = writer
        self._redact = redact
        # The same few names come again and again, and redaction is not cheap.
        self._redact_name = lru_cache(maxsize=256)(redact)

    @property
    def n_dropped(self) -> int:
        """Lines lost so far because nobody read them."""
        return self._writer.n_dropped

    def call(self, record: CallRecord, models: KnownNames) -> None:
        """One line for a finished call, level info or error."""
        self._write("call", call_level(record), call_fields(record), models)

    def audit(self, outcome: AuditOutcome, models: KnownNames) -> None:
        """One line for the audit of a kept answer; a warning where the frontier model did not answer."""
        self._write("audit", "warning" if outcome.is_wrong is None else "info", audit_fields(outcome), models)

    def _write(self, event: str, level: Level, fields: dict[str, Any], models: KnownNames) -> None:
        for name in "model", "upstream_model":
            if name in fields and models.label(fields[name]) in (OTHER, NONE):
                fields[name] = self._redact_name(fields[name])
        if "error" in fields:
            # Some upstreams put whole sentences there.
            fields["error"] = self._redact(fields["error"])
        self._writer.write(line(self._form, time.time(), level, event, fields))

    def event(self, event: str, level: Level = "info", **fields: Any) -> None:
        """One line for something that happened to the process: start, stop, reload, revoked, worker_died ..."""
        safe = {name: self._redact(value) if isinstance(value, str) else value for name, value in fields.items()}
        self._writer.write(line(self._form, time.time(), level, event, safe))

    def close(self) -> None:
        """Write what is queued; lines after this are dropped."""
        self._writer.close()


class NoLogs:
    """Logs that are off."""

    n_dropped = 0

    def call(self, record: CallRecord, models: KnownNames) -> None:
        """Nothing."""

    def audit(self, outcome: AuditOutcome, models: KnownNames) -> None:
        """Nothing."""

    def event(self, event: str, level: Level = "info", **fields: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def open_logs(
    form: Literal["json", "text", "off"], redact: Callable[[str], str] = masked, descriptor: int = STDERR
) -> Logs | NoLogs:
    """Log lines in the form of [serve] log; for the supervisor, which needs no metrics, as well as for workers."""
    return NoLogs() if form == "off" else Logs(form, LineWriter(descriptor), redact)
