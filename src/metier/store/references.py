"""The frontier model's answers to calls that a specialist answered, which come after the calls themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, bindparam, select, update

from metier.store.digests import add_digests, row_digest
from metier.store.judging import known
from metier.store.tables import traces

_IDS_PER_QUERY = 10_000


class Reference(NamedTuple):
    """What the frontier model answered to the call `trace_id`, whether the specialist's answer `is_wrong` by it (both None
    where it did not answer), and what asking it cost, on top of the call."""

    trace_id: str
    answer: str | None = None
    is_wrong: bool | None = None
    cost_usd: float | None = None


def add_references(connection: Connection, references: Sequence[Reference]) -> int:
    """Set reference, cost and evidence of the traces that are there; gives what that adds to the store's digest (to be
    booked on any import), for what can be learnt from the store has changed."""
    new = {reference.trace_id: reference for reference in references}
    before = known(connection, new, lock=True)
    digest = 0
    rows: list[dict[str, Any]] = []
    for trace_id, cost_usd, evidence in _measured(connection, sorted(before)):
        found, old = new[trace_id], before[trace_id]
        after = old._replace(reference=found.answer or old.reference)
        digest = add_digests(digest, row_digest(trace_id, *after), -row_digest(trace_id, *old))
        rows.append(
            {
                "trace_id": trace_id,
                "new_reference": after.reference,
                "new_cost": _sum(cost_usd, found.cost_usd),
                "new_evidence": _judged(evidence, found.is_wrong),
            }
        )
    if rows:
        statement = update(traces).where(traces.c.id == bindparam("trace_id"))
        values = {"reference": "new_reference", "cost_usd": "new_cost", "evidence": "new_evidence"}
        connection.execute(statement.values({name: bindparam(value) for name, value in values.items()}), rows)
    return digest


def _measured(connection: Connection, ids: Sequence[str]) -> Iterator[tuple[str, float | None, str | None]]:
    for start in range(0, len(ids), _IDS_PER_QUERY):
        query = select(traces.c.id, traces.c.cost_usd, traces.c.evidence)
        query = query.where(traces.c.id.in_(ids[start : start + _IDS_PER_QUERY])).order_by(traces.c.id)
        for row in connection.execute(query):
            yield row.id, row.cost_usd, row.evidence


def _sum(before: float | None, added: float | None) -> float | None:
    return before if added is None else (before or 0.0) + added


def _judged(evidence: str | None, is_wrong: bool | None) -> str | None:
    """A trace's evidence with the outcome of its audit."""
    if is_wrong is None:
        return evidence
    found = orjson.loads(evidence) if evidence else {}
    return orjson.dumps({**found, "is_wrong": is_wrong}).decode()
