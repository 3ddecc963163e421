"""What a routing table looks like from outside: for the start-up lines, the log and the metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metier.gateway.realised import Evidence
from metier.gateway.routing.table import RoutingTable, TaskRoute
from metier.gateway.telemetry.figures import RealisedError


@dataclass(frozen=True)
class TaskState:
    """What one task's routing is like now, for people; `fault` is why a champion is not the one that was promoted."""

    task: str
    mode: str
    champion: str | None
    specialist: str | None
    student: str | None
    has_certificate: bool
    is_revoked: bool
    n_failures: int
    fault: str | None


def task_states(table: RoutingTable) -> dict[str, TaskState]:
    """The state of every task that can be recognised."""
    return {task: _state(table, route) for task, route in table.routes.items()}


def realised_errors(table: RoutingTable, evidence: Mapping[str, Evidence]) -> Iterator[RealisedError]:
    """What the audits, by policy id, say of each certificate in use."""
    for route in table.routes.values():
        allowed, champion = route.allowed, route.champion
        if champion is None or allowed is None:
            continue
        found = evidence.get(champion.policy_id, Evidence())
        error = found.n_wrong / found.n if found.n else math.nan
        yield RealisedError(route.task, error, allowed, found.e_value, champion.policy_id in table.revoked)


def changes(old: RoutingTable, new: RoutingTable) -> Iterator[tuple[str, str | None, str | None]]:
    """(task, policy now, policy before) of every task whose champion is another one."""
    for task in sorted({*old.routes, *new.routes}):
        before, after = _champion_of(old, task), _champion_of(new, task)
        if before != after:
            yield task, after, before


def _champion_of(table: RoutingTable, task: str) -> str | None:
    route = table.routes.get(task)
    return route.champion.policy_id if route is not None and route.champion is not None else None


def _state(table: RoutingTable, route: TaskRoute) -> TaskState:
    champion = route.champion
    return TaskState(
        task=route.task,
        mode=route.mode.value,
        champion=champion.policy_id if champion else None,
        specialist=champion.specialist_id if champion else None,
        student=champion.policy.student if champion else None,
        has_certificate=champion is not None and champion.policy.certificate is not None,
        is_revoked=champion is not None and champion.policy_id in table.revoked,
        n_failures=champion.failures.n if champion else 0,
        fault=table.faults.get(route.task),
    )
