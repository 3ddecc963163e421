"""Revokes certificates that the audited answers in the database refute."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection

from metier.gateway.realised import Evidence, revocation_of
from metier.store.audits import audited_policies, read_audits
from metier.store.database import Database
from metier.store.revocations import Revocation, add_revocation, read_revocations

DeltaOf = Callable[[str], float | None]


class Watch:
    """Holds the evidence against each policy, and reads only what is new. `delta_of` gives the delta of a policy's
    certificate, None where the policy is not known here."""

    def __init__(self, delta_of: DeltaOf) -> None:
        self._delta_of = delta_of
        self._evidence: dict[str, tuple[int, Evidence]] = {}

    def revoke(self, database: Database, policy_ids: Iterable[str] | None = None) -> list[Revocation]:
        """Look at these policies (every one with audited answers where None is given), and revoke those whose certificate
        is refuted; gives the revocations that are new."""
        with database.reading() as connection:
            known = read_revocations(connection)
            wanted = audited_policies(connection) if policy_ids is None else sorted(set(policy_ids))
            found = [self._due(connection, id_) for id_ in wanted if id_ not in known]
        due = [revocation for revocation in found if revocation is not None]
        for revocation in due:
            database.write(lambda connection, new=revocation: add_revocation(connection, new))  # type: ignore[misc]
        return due

    def forget(self) -> None:
        """The database may be another: read everything again."""
        self._evidence.clear()

    def _due(self, connection: Connection, policy_id: str) -> Revocation | None:
        last, evidence = self._evidence.get(policy_id, (0, Evidence()))
        rows = read_audits(connection, policy_id, last)
        delta = self._delta_of(policy_id)
        if not rows or delta is None:
            return None
        for seq, row in rows:
            evidence = evidence.after([row])
            last = seq
            if evidence.refutes(delta):
                return revocation_of(evidence, row, delta)
        self._evidence[policy_id] = last, evidence
        return None
