"""Kept answers that the generalist answered as well, in the order they came in: what the realised error is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from metier.store.database import AUDITING, advisory_lock
from metier.store.statements import insert_new
from metier.store.tables import audits


class AuditRow(NamedTuple):
    """One audited answer. `allowed` is the error rate in [0, 1] that the certificate allowed when the answer was given."""

    policy_id: str
    task: str
    trace_id: str
    time: float
    is_wrong: bool
    allowed: float


def add_audits(connection: Connection, rows: Sequence[AuditRow]) -> None:
    """Append the rows; one whose trace is there already is passed over, so that adding again changes nothing."""
    if rows:
        # One after the other, so that whoever has read up to a number never finds a smaller one later.
        advisory_lock(connection, AUDITING)
    insert_new(connection, audits, [row._asdict() for row in rows], "trace_id")


def read_audits(connection: Connection, policy_id: str, after: int = 0) -> list[tuple[int, AuditRow]]:
    """The audited answers of a policy with their sequence numbers, in order; those after number `after` alone."""
    columns = [audits.c.seq, *(audits.c[name] for name in AuditRow._fields)]
    query = select(*columns).where(audits.c.policy_id == policy_id, audits.c.seq > after).order_by(audits.c.seq)
    return [(int(row[0]), AuditRow(*row[1:])) for row in connection.execute(query)]


def audited_policies(connection: Connection) -> list[str]:
    """Ids of the policies that have audited answers."""
    return list(connection.execute(select(audits.c.policy_id).distinct().order_by(audits.c.policy_id)).scalars())
