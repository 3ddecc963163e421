"""The metrics that are read off other parts instead of counted: the recorder, the upstreams, the certificates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from metier.gateway.telemetry.labels import KnownNames

# Breaker states that an upstream can be in; a state is shown as 1 and the others as 0.
_STATES = ("closed", "half-open", "open")
_GAUGES = {
    "queue_depth": "metier_queue_depth",
    "spilled_traces": "metier_spilled_traces",
    "spilled_bytes": "metier_spilled_bytes",
}
_COUNTERS = {
    "written_traces": "metier_written_traces_total",
    "dropped_traces": "metier_dropped_traces_total",
    "dropped_log_lines": "metier_dropped_log_lines_total",
}


class HasFigures(Protocol):
    """What a Recorder tells of itself (gateway.protocols.Recorder.figures)."""

    def figures(self) -> Mapping[str, float]: ...


class HasStates(Protocol):
    """What Upstreams tell of themselves (gateway.protocols.Upstreams.states)."""

    def states(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class RealisedError:
    """What the audits say of the certificate in use for a task.

    `error` is the share of audited kept answers that were wrong, in [0, 1], NaN where none has been audited; `allowed` is
    alpha plus the audit allowance; the certificate is revoked where `e_value` reaches 1 / delta.
    """

    task: str
    error: float
    allowed: float
    e_value: float
    is_revoked: bool


class Figures:
    """Copies other parts' figures into the registry whenever `refresh` is called."""

    def __init__(self, metrics: dict[str, Any], tasks: KnownNames) -> None:
        self._metrics = metrics
        self._tasks = tasks
        self._before: dict[str, float] = {}

    def of_recorder(self, figures: Mapping[str, float]) -> None:
        """Show figures of Recorder.figures(); unknown ones are left out, counters rise by what was added since."""
        for figure, name in _GAUGES.items():
            if figure in figures:
                self._metrics[name].set(figures[figure])
        for figure, name in _COUNTERS.items():
            if figure in figures:
                added = figures[figure] - self._before.get(figure, 0.0)
                self._before[figure] = figures[figure]
                if added > 0:
                    self._metrics[name].inc(added)

    def of_upstreams(self, states: Mapping[str, str]) -> None:
        """Show the state of each upstream's breaker."""
        gauge = self._metrics["metier_upstream_state"]
        for upstream, current in states.items():
            for state in _STATES:
                gauge.labels(upstream, state).set(float(state == current))

    def of_certificate(self, realised: RealisedError) -> None:
        """Show what the audits say of a task's certificate."""
        task = self._tasks.label(realised.task)
        self._metrics["metier_realised_error"].labels(task).set(realised.error)
        self._metrics["metier_allowed_error"].labels(task).set(realised.allowed)
        self._metrics["metier_e_value"].labels(task).set(realised.e_value)
        self._metrics["metier_certificate_revoked"].labels(task).set(float(realised.is_revoked))
