"""`metier status`: how the champions do, by the traffic that the gateway wrote down."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from metier.cli.promoting import champions
from metier.cli.session import session
from metier.cli.terminal import err, out
from metier.gateway.realised import Evidence
from metier.gateway.standing import COLUMNS, Standing, standings
from metier.statistics.intervals import Interval
from metier.store.audits import audited_policies, read_audits
from metier.store.revocations import read_revocations
from metier.store.traffic import TrafficStore

_NONE = "–"


def status_command() -> None:
    """What specialists keep, or would keep unseen, and how often the frontier model answers otherwise."""
    with session(Path.cwd(), err) as at:
        in_use = champions(at.store.root)
        with at.traffic() as traffic:
            found = standings(traffic.batches(COLUMNS))
            evidence, revoked = _audits(traffic)
    if not found:
        out.print("No call of a known task so far. Serve with 'metier serve', and find the tasks with 'metier audit'.")
        return
    out.print(_table(found, evidence, revoked, set(in_use)))


def _audits(traffic: TrafficStore) -> tuple[dict[str, Evidence], frozenset[str]]:
    with traffic.database.reading() as connection:
        evidence = {
            policy_id: Evidence().after(row for _, row in read_audits(connection, policy_id))
            for policy_id in audited_policies(connection)
        }
        return evidence, frozenset(read_revocations(connection))


def _table(
    found: list[Standing], evidence: Mapping[str, Evidence], revoked: Collection[str], in_use: Collection[str]
) -> Table:
    """A row a task and policy."""
    table = Table(title="Calls of known tasks at the gateway", title_justify="left")
    for name in (
        "task",
        "policy",
        "calls",
        "kept",
        "audited, differing",
        "shadowed",
        "would keep",
        "of these differing",
    ):
        table.add_column(name, justify="left" if name in ("task", "policy") else "right")
    for one in found:
        seen = evidence.get(one.policy_id or "", Evidence())
        table.add_row(
            escape(one.task),
            _policy(one.policy_id, revoked, in_use),
            f"{one.n_calls:,}",
            _share(one.n_kept, one.n_calls),
            _rate(seen.n_wrong, seen.n, seen.error()),
            f"{one.n_shadowed:,}" if one.n_shadowed else _NONE,
            _share(one.n_would_keep, one.n_shadowed),
            _rate(one.n_differing, one.n_compared, one.difference()),
        )
    return table


def _policy(policy_id: str | None, revoked: Collection[str], in_use: Collection[str]) -> str:
    if policy_id is None:
        return _NONE
    state = "revoked" if policy_id in revoked else "champion" if policy_id in in_use else "former"
    return f"{escape(policy_id)} ({state})"


def _share(n: int, total: int) -> str:
    return f"{n:,} ({n / total:.0%})" if total else _NONE


def _rate(n_wrong: int, n: int, error: Interval) -> str:
    return f"{n_wrong:,} of {n:,} ({error.lower:.1%} to {error.upper:.1%})" if n else _NONE
