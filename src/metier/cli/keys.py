"""The commands about the gateway's keys: make one, look at them, revoke one."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from metier.artefacts.keys import Key, key_id
from metier.cli.session import session
from metier.cli.terminal import err, out
from metier.store.keys import KeyBook, KeyStore
from metier.store.spend import Spent, month_of

_NONE = "–"


def create_command(
    name: Annotated[str, typer.Argument(help="Who or what the key is for; shown in lists, logs and metrics.")],
    *,
    requests_per_minute: Annotated[
        int | None, typer.Option(metavar="N", help="Calls a minute at most; no limit by default.")
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option(metavar="X", help="Dollars a month (UTC) at most; no limit by default.")
    ] = None,
) -> None:
    """Make a key for the gateway. It is printed once, on stdout; only its hash is kept."""
    with _keys() as keys:
        is_first = not keys.read(month_of(time.time())).keys
        text, key = keys.create(name, time.time(), requests_per_minute=requests_per_minute, budget_usd_month=budget_usd)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    err.print(
        f"Key {key.id} for {escape(key.name)}, {_limits(key)}. It cannot be shown again: keep it where only its user can "
        f"read it. Running gateways take it within two seconds. To take it back: metier key revoke {key.id}",
        highlight=False,
        soft_wrap=True,
    )
    if is_first:
        err.print(
            "This is the first key: from now on every caller needs one, those on this machine too, and for good.",
            highlight=False,
            soft_wrap=True,
        )


def list_command() -> None:
    """Show the keys: who they are for, their limits, and what they spent this month (UTC)."""
    with _keys() as keys:
        book = keys.read(month_of(time.time()))
    if not book.keys:
        out.print(
            "No keys: only this machine may call the gateway. Make one with: metier key create NAME", soft_wrap=True
        )
        return
    out.print(_table(book))


def revoke_command(
    key: Annotated[
        str, typer.Argument(metavar="ID", help="The key's id, as 'metier key list' shows it, or the key itself.")
    ],
) -> None:
    """Revoke a key for good. Running gateways refuse it within two seconds."""
    with _keys() as keys:
        revoked = keys.revoke(key_id(key) or key, time.time())
    out.print(
        f"Key {revoked.id} ({escape(revoked.name)}) is revoked since {_day(revoked.revoked_at)}.", highlight=False
    )


KEY_COMMANDS: dict[str, Callable[..., None]] = {
    "create": create_command,
    "list": list_command,
    "revoke": revoke_command,
}


@contextmanager
def _keys() -> Iterator[KeyStore]:
    with session(Path.cwd(), err) as at:
        at.project.store_folder.mkdir(parents=True, exist_ok=True)
        with KeyStore(at.project.traffic_url) as keys:
            yield keys


def _table(book: KeyBook) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "name", "created"):
        table.add_column(name, overflow="fold")
    for name in ("calls/minute", "budget", f"spent {book.month}", "calls", "revoked"):
        table.add_column(name, justify="right")
    for key in book.keys.values():
        spent = book.spent.get(key.id, Spent(0.0, 0))
        table.add_row(
            key.id,
            escape(key.name),
            _day(key.created_at),
            _NONE if key.requests_per_minute is None else f"{key.requests_per_minute:,}",
            _NONE if key.budget_usd_month is None else f"{_dollars(key.budget_usd_month)} USD",
            f"{spent.cost_usd:,.4f} USD",
            f"{spent.n_calls:,}",
            _day(key.revoked_at),
            style="dim" if key.revoked_at is not None else None,
        )
    return table


def _limits(key: Key) -> str:
    rate = "any number of calls" if key.requests_per_minute is None else f"{key.requests_per_minute:,} calls a minute"
    budget = "no budget" if key.budget_usd_month is None else f"{_dollars(key.budget_usd_month)} USD a month"
    return f"{rate}, {budget}"


def _dollars(budget_usd: float) -> str:
    """Cents; of less than a cent all that there is, so that a small budget does not look like none."""
    return f"{budget_usd:,.2f}" if budget_usd >= 0.01 or budget_usd == 0 else f"{budget_usd:.6f}".rstrip("0")


def _day(time_s: float | None) -> str:
    if time_s is None:
        return _NONE
    return datetime.datetime.fromtimestamp(time_s, datetime.UTC).strftime("%Y-%m-%d %H:%M")
