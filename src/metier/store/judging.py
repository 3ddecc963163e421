"""Judgements of an answer that come after it: feedback, and the right answer where someone gave it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, or_, select, update

from metier.store.digests import add_digests, row_digest
from metier.store.tables import traces

_IDS_PER_QUERY = 10_000
_SEVERAL = 3


class Known(NamedTuple):
    """What tells a trace that is there from another with the same id, its judgement, and the frontier model's answer where
    a specialist's was kept."""

    content: bytes
    feedback: str | None
    correction: str | None
    reference: str | None = None


class Judgement(NamedTuple):
    """A judgement of the answer `trace_id`: "correct" or "wrong", the right answer, or both; and the line of the file that
    it stands on, kept for the case that it has to be quarantined."""

    trace_id: str
    feedback: str | None
    correction: str | None
    line: int = 0
    raw: bytes = b""


def find(connection: Connection, answer_id: str) -> list[str]:
    """Ids of the traces with this id or response id; at most a few, since two are too many already."""
    query = select(traces.c.id).where(or_(traces.c.id == answer_id, traces.c.response_id == answer_id))
    return list(connection.execute(query.order_by(traces.c.seq).limit(_SEVERAL)).scalars())


def known(connection: Connection, ids: Iterable[str], *, lock: bool = False) -> dict[str, Known]:
    """Those of the traces that are there, by id. With `lock`, no other transaction judges them before this one ends."""
    # In one order everywhere: transactions that lock the same rows in different orders would block each other.
    wanted = sorted(set(ids))
    columns = traces.c.id, traces.c.content, traces.c.feedback, traces.c.correction, traces.c.reference
    found: dict[str, Known] = {}
    for start in range(0, len(wanted), _IDS_PER_QUERY):
        query: Select[Any] = select(*columns).where(traces.c.id.in_(wanted[start : start + _IDS_PER_QUERY]))
        if lock:
            query = query.order_by(traces.c.id).with_for_update()
        for row in connection.execute(query):
            found[row.id] = Known(bytes(row.content), row.feedback, row.correction, row.reference)
    return found


def judge(connection: Connection, judgements: Sequence[Judgement]) -> tuple[int, int, list[Judgement]]:
    """Write judgements, in their order: the number of traces that changed, what that adds to the store's digest (to be
    booked on any import), and the judgements of traces that are not there.

    The newest wins, as an import's does, but what it leaves out stays; "correct" alone takes an earlier correction back.
    """
    before = known(connection, [judgement.trace_id for judgement in judgements], lock=True)
    after = dict(before)
    unknown = []
    for new in judgements:
        old = after.get(new.trace_id)
        if old is None:
            unknown.append(new)
            continue
        kept = None if new.feedback == "correct" else old.correction
        after[new.trace_id] = old._replace(feedback=new.feedback or old.feedback, correction=new.correction or kept)
    changed = {trace_id: found for trace_id, found in after.items() if found != before[trace_id]}
    write_judgements(connection, {id_: (found.feedback, found.correction) for id_, found in changed.items()})
    digest = 0
    for trace_id, found in changed.items():
        digest = add_digests(digest, row_digest(trace_id, *found), -row_digest(trace_id, *before[trace_id]))
    return len(changed), digest, unknown


def write_judgements(connection: Connection, judged: Mapping[str, tuple[str | None, str | None]]) -> None:
    """Set feedback and correction of traces by id."""
    if not judged:
        return
    statement = update(traces).where(traces.c.id == bindparam("trace_id"))
    statement = statement.values(feedback=bindparam("new_feedback"), correction=bindparam("new_correction"))
    rows = [
        {"trace_id": trace_id, "new_feedback": feedback, "new_correction": correction}
        for trace_id, (feedback, correction) in judged.items()
    ]
    connection.execute(statement, rows)
