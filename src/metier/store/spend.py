"""What the calls of each key cost, month by month (UTC)."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, select

from metier.store.statements import upsert
from metier.store.tables import spend


class Spent(NamedTuple):
    """Dollars and calls. A call whose price is not known counts with 0 dollars."""

    cost_usd: float
    n_calls: int


def month_of(time: float) -> str:
    """The month of UTC, YYYY-MM, of a moment in seconds since 1970."""
    return datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%Y-%m")


def add_spend(connection: Connection, amounts: Mapping[tuple[str, str], Spent]) -> None:
    """Book amounts by (key id, month); they add to what is there, whichever process booked it."""
    rows = [
        {"key_id": key_id, "month": month, "cost_usd": amount.cost_usd, "n_calls": amount.n_calls}
        # In one order everywhere: two transactions that lock the same rows in different orders would block each other.
        for (key_id, month), amount in sorted(amounts.items())
    ]
    upsert(connection, spend, rows, ("key_id", "month"), lambda new: {
        "cost_usd": spend.c.cost_usd + new.cost_usd,
        "n_calls": spend.c.n_calls + new.n_calls,
    })  # fmt: skip


def read_month(connection: Connection, month: str) -> dict[str, Spent]:
    """What each key spent in `month` (YYYY-MM); keys without a call are left out."""
    query = select(spend.c.key_id, spend.c.cost_usd, spend.c.n_calls).where(spend.c.month == month)
    return {key_id: Spent(float(cost), int(n)) for key_id, cost, n in connection.execute(query)}
