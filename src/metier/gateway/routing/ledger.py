"""What the database says about certificates: which are revoked, and what the audits of those in use have found."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from metier.errors import StoreAway
from metier.gateway.realised import Evidence
from metier.store.aliases import write_atomically
from metier.store.audits import read_audits
from metier.store.database import Database, open_database
from metier.store.revocations import read_revocations


@dataclass(frozen=True)
class Findings:
    """`revoked` holds the ids of all policies ever revoked, `evidence` what the audits say of the policies asked about."""

    revoked: frozenset[str] = frozenset()
    evidence: Mapping[str, Evidence] = field(default_factory=dict)


def remember(path: Path, revoked: Collection[str]) -> None:
    """Keep the revocations known in a file, for a start while the database is away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(sorted(revoked)) + "\n")


def remembered(path: Path) -> frozenset[str]:
    """The revocations in that file; none where there is no file that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    return frozenset(one for one in found if isinstance(one, str)) if isinstance(found, list) else frozenset()


class Ledger(Protocol):
    def read(self, policy_ids: Collection[str]) -> Findings:
        """What is known now. Raises whatever the database raises where it is away."""
        ...

    def close(self) -> None: ...


@dataclass
class DatabaseLedger:
    """Reads revocations and audits from the traffic's database; only rows that are new since the last time are read. The
    database is opened when it is first read, so that a gateway starts without it."""

    location: str
    _database: Database | None = None
    _seen: dict[str, tuple[int, Evidence]] = field(default_factory=dict)

    def read(self, policy_ids: Collection[str]) -> Findings:
        """Revocations, and the evidence on these policies. A file that was replaced is opened, and read, anew."""
        if self._database is None:
            # The ingester makes the file; what is made here would hide that the true one is away.
            self._database = open_database(self.location, create=False)
        try:
            self._database.require_in_place()
        except StoreAway:
            self.close()
            self._seen.clear()
            raise
        with self._database.reading() as connection:
            revoked = frozenset(read_revocations(connection))
            for policy_id in policy_ids:
                last, evidence = self._seen.get(policy_id, (0, Evidence()))
                rows = read_audits(connection, policy_id, after=last)
                if rows:
                    self._seen[policy_id] = rows[-1][0], evidence.after(row for _, row in rows)
        return Findings(revoked, {name: self._seen[name][1] for name in policy_ids if name in self._seen})

    def close(self) -> None:
        """Close the connections."""
        if self._database is not None:
            self._database.close()
            self._database = None
