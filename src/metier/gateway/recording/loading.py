"""One portion of the journal into the database: traces, judgements, spend and audits in one transaction, exactly once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import msgspec
from sqlalchemy import Connection

from metier.artefacts.traffic import Trace
from metier.errors import MetierError
from metier.gateway.recording.lines import AuditLine, CallLine, decode
from metier.gateway.recording.streams import Portion
from metier.gateway.recording.traces import Redact
from metier.store import imports
from metier.store.audits import AuditRow, add_audits
from metier.store.batches import Batch, Located, write_batch
from metier.store.imports import ImportRecord
from metier.store.judging import Judgement
from metier.store.quarantine import Refused
from metier.store.references import Reference
from metier.store.spend import Spent, add_spend

DAMAGED = "damaged line of the journal"
REFUSED = "refused by the database"
NOT_ON_DISK = "lost: not on disk after a power failure"
_DETAIL_CHARS = 200


class Elsewhere(MetierError):
    """The import stands at another line than expected: another ingester went on with it, or a commit whose answer was
    lost did succeed."""


@dataclass
class Load:
    """What a portion brings, decoded."""

    first: int
    traces: list[Located] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    spend: dict[tuple[str, str], Spent] = field(default_factory=dict)
    audits: list[AuditRow] = field(default_factory=list)
    n_items: int = 0


def decoded(portion: Portion, position: int, redact: Redact | None) -> Load:
    """The lines of a portion by what is to be done with them; `position` is where the import stands. Texts go through
    `redact`, where it is given. A line that cannot be read is refused, and holds up none of the others."""
    load = Load(position, n_items=portion.after - position)
    if portion.n_missing:
        load.skipped[NOT_ON_DISK] += portion.n_missing
    for number, data in enumerate(portion.lines, portion.first + 1):
        try:
            line = decode(data)
        except (msgspec.DecodeError, ValueError) as problem:
            load.refused.append(Refused(number, DAMAGED, str(problem)[:_DETAIL_CHARS], data, len(data)))
            continue
        if isinstance(line, CallLine):
            _take_call(load, line, number, data, redact)
        elif isinstance(line, AuditLine):
            _take_audit(load, line, redact)
        else:
            correction = redact(line.correction) if redact and line.correction else line.correction
            load.judgements.append(Judgement(line.trace_id, line.feedback, correction, number, data))
    return load


def refusing(portion: Portion, position: int, problem: MetierError) -> Load:
    """The same portion as lines that the database would not have."""
    load = Load(position, n_items=portion.after - position)
    for number, data in enumerate(portion.lines, portion.first + 1):
        load.refused.append(Refused(number, REFUSED, str(problem)[:_DETAIL_CHARS], data, len(data)))
    return load


def write_load(connection: Connection, import_id: int, load: Load, now: float) -> ImportRecord:
    """Write it all inside the caller's transaction. Raises Elsewhere where the import is not at `load.first`."""
    before = imports.locked(connection, import_id)
    if before.n_items != load.first:
        raise Elsewhere(f"the journal's import stands at line {before.n_items:,}, not at {load.first:,}")
    batch = Batch(
        load.traces,
        load.refused,
        load.n_items,
        load.skipped,
        judgements=load.judgements,
        references=load.references,
    )
    after = write_batch(connection, before, batch, now)
    add_spend(connection, load.spend)
    add_audits(connection, load.audits)
    return after


def redacted(trace: Trace, redact: Redact) -> Trace:
    """A trace whose texts have gone through `redact`."""
    return replace(
        trace,
        messages=redact(trace.messages),
        parameters=redact(trace.parameters) if trace.parameters else None,
        response=redact(trace.response) if trace.response else trace.response,
        evidence=redact(trace.evidence) if trace.evidence else None,
    )


def _take_call(load: Load, line: CallLine, number: int, data: bytes, redact: Redact | None) -> None:
    if line.trace is not None:
        load.traces.append(Located(redacted(line.trace, redact) if redact else line.trace, number, data))
    else:
        load.skipped[line.skipped or "no trace"] += 1
    _take_spend(load, line.spend, 1)


def _take_audit(load: Load, line: AuditLine, redact: Redact | None) -> None:
    reference = line.reference
    if redact and reference.answer:
        reference = reference._replace(answer=redact(reference.answer))
    load.references.append(reference)
    # The call that is audited was counted when it came.
    _take_spend(load, line.spend, 0)
    if line.audit is not None:
        load.audits.append(line.audit)


def _take_spend(load: Load, spend: tuple[str, str, float] | None, n_calls: int) -> None:
    if spend is not None:
        key_id, month, cost_usd = spend
        before = load.spend.get((key_id, month), Spent(0.0, 0))
        load.spend[key_id, month] = Spent(before.cost_usd + cost_usd, before.n_calls + n_calls)
