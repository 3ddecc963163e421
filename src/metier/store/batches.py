"""What one transaction of an import writes: traces, judgements of traces that are there, and lines that are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row

from metier.artefacts.traffic import TRACE_SCHEMA, Trace
from metier.store import imports
from metier.store.digests import add_digests, row_digest, to_hex, trace_content
from metier.store.imports import ImportRecord, counted
from metier.store.judging import Judgement, Known, judge, known, write_judgements
from metier.store.quarantine import Refused, add_refused
from metier.store.references import Reference, add_references
from metier.store.statements import insert_tuples
from metier.store.tables import traces

DUPLICATE_ID = "duplicate id with different content"
NO_ANSWER = "judgement of an unknown answer"
_TRACE_COLUMNS = tuple(TRACE_SCHEMA)
_trace_values = attrgetter(*_TRACE_COLUMNS)
_ADDED_COLUMNS = (*_TRACE_COLUMNS, "content", "import_id", "line")


class Located(NamedTuple):
    """A trace and the line (1-based) of its file; `raw` is kept for the case that it has to be quarantined. `place` tells
    apart what stands on one line."""

    trace: Trace
    line: int
    raw: bytes
    place: str = ""


@dataclass(frozen=True)
class Batch:
    """What one transaction writes. `n_items` lines or records have been read since the previous batch. `judgements` and
    `references` are of traces of this batch or of earlier ones."""

    traces: Sequence[Located]
    refused: Sequence[Refused]
    n_items: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)
    judgements: Sequence[Judgement] = ()
    references: Sequence[Reference] = ()


@dataclass
class _Sorted:
    """A batch, sorted by what is to be done with each trace."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    judged: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    conflicts: list[Refused] = field(default_factory=list)
    n_present: int = 0
    digest: int = 0


def write_batch(connection: Connection, before: Row[Any], batch: Batch, now: float) -> ImportRecord:
    """Write a batch inside the caller's transaction, and give the import's record after it. `before` is the import's row
    from `imports.locked`.

    A trace whose id is there with the same content is passed over (its feedback and correction are taken over where they
    are new); one whose id is there with another content goes to quarantine.
    """
    there = known(connection, [item.trace.id for item in batch.traces])
    judged = [item.trace.id for item in batch.traces if item.trace.id in there and _is_judged(item.trace)]
    # What is about to be judged is read again under a lock: another process may be judging it.
    there.update(known(connection, judged, lock=True))
    done = _sort(batch.traces, there, before.id)
    insert_tuples(connection, traces, _ADDED_COLUMNS, done.rows)
    write_judgements(connection, done.judged)
    n_judged, digest, unknown = judge(connection, batch.judgements)
    digest = add_digests(digest, add_references(connection, batch.references))
    refused = [*batch.refused, *done.conflicts, *map(_without_answer, unknown)]
    add_refused(connection, before.id, before.path, refused, now)
    values = {
        "n_items": before.n_items + batch.n_items,
        "n_added": before.n_added + len(done.rows),
        "n_present": before.n_present + done.n_present,
        "n_judged": before.n_judged + len(done.judged) + n_judged,
        "skipped": counted(before.skipped, batch.skipped),
        "warnings": counted(before.warnings, batch.warnings),
        "quarantined": counted(before.quarantined, Counter(line.reason for line in refused)),
        "digest": to_hex(add_digests(int(before.digest, 16), done.digest, digest)),
    }
    return imports.change(connection, before.id, values)


def _without_answer(judgement: Judgement) -> Refused:
    detail = f"there is no answer with the id {judgement.trace_id[:200]!r}"
    return Refused(judgement.line, NO_ANSWER, detail, judgement.raw, len(judgement.raw))


def _is_judged(trace: Trace) -> bool:
    return trace.feedback is not None or trace.correction is not None


def _sort(located: Iterable[Located], there: dict[str, Known], import_id: int) -> _Sorted:
    done = _Sorted()
    for item in located:
        trace = item.trace
        content = trace_content(trace)
        seen = there.get(trace.id)
        if seen is None:
            there[trace.id] = seen = Known(content, trace.feedback, trace.correction, trace.reference)
            done.rows.append((*_trace_values(trace), content, import_id, item.line))
            done.digest = add_digests(done.digest, row_digest(trace.id, *seen))
        elif seen.content != content:
            detail = f"id {trace.id[:200]!r} is already there with another request or answer"
            done.conflicts.append(Refused(item.line, DUPLICATE_ID, detail, item.raw, len(item.raw), item.place))
        else:
            done.n_present += 1
            _take_judgement(done, trace, seen, there)
    return done


def _take_judgement(done: _Sorted, trace: Trace, seen: Known, there: dict[str, Known]) -> None:
    judgement = seen._replace(feedback=trace.feedback or seen.feedback, correction=trace.correction or seen.correction)
    if judgement == seen:
        return
    there[trace.id] = judgement
    done.judged[trace.id] = judgement.feedback, judgement.correction
    new, old = row_digest(trace.id, *judgement), row_digest(trace.id, *seen)
    done.digest = add_digests(done.digest, new, -old)
