"""Certificates that were revoked, because the audited answers refuted them."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select

from metier.store.statements import insert_new
from metier.store.tables import revocations


class Revocation(NamedTuple):
    """`n_wrong` of `n` audited answers were wrong; `e_value` is the evidence against the certificate at that moment
    (1 / delta is enough). `time` is seconds since 1970."""

    policy_id: str
    task: str
    time: float
    e_value: float
    n: int
    n_wrong: int
    reason: str


def add_revocation(connection: Connection, revocation: Revocation) -> None:
    """Revoke a policy; one that is revoked stays as it is."""
    insert_new(connection, revocations, [revocation._asdict()], "policy_id")


def read_revocations(connection: Connection) -> dict[str, Revocation]:
    """Every revocation, by policy id."""
    columns = [revocations.c[name] for name in Revocation._fields]
    query = select(*columns).order_by(revocations.c.time, revocations.c.policy_id)
    return {row[0]: Revocation(*row) for row in connection.execute(query)}
