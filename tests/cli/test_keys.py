"""metier key create, list and revoke, as a user types them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from metier.artefacts.keys import key_id
from metier.cli.app import build
from metier.errors import BadInput, NotFound
from metier.gateway.access import load_gatekeeper
from metier.store.database import open_database
from metier.store.keys import KeyStore
from metier.store.spend import Spent, add_spend, month_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def metier(*arguments: str) -> Result:
    result = CliRunner().invoke(build(), list(arguments), env={"COLUMNS": "160", "NO_COLOR": "1"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_key_is_printed_once_alone_on_stdout_and_opens_the_gateway(folder: Path) -> None:
    made = metier("key", "create", "billing", "--requests-per-minute", "600", "--budget-usd", "50")
    text = made.stdout.removesuffix("\n")
    id_ = str(key_id(text))
    assert len(text.split()) == 1
    assert id_ in made.stderr
    assert text not in made.stderr
    assert "600 calls a minute, 50.00 USD a month" in made.stderr
    assert "from now on every caller needs one" in made.stderr
    second = metier("key", "create", "small", "--budget-usd", "0.002").stderr
    assert "0.002 USD a month" in second
    assert "every caller" not in second
    gatekeeper = load_gatekeeper(f"sqlite:///{folder / '.metier' / 'traffic.db'}", watch=False)
    assert gatekeeper.admit(f"Bearer {text}", None).name == "billing"
    listed = metier("key", "list").stdout
    assert id_ in listed
    assert text not in listed
    assert text[13:] not in listed
    assert "revoked since" in metier("key", "revoke", id_).stdout
    gatekeeper.refresh()
    with pytest.raises(Exception, match="not valid"):
        gatekeeper.admit(f"Bearer {text}", None)
    gatekeeper.close()


def test_the_list_shows_limits_and_what_was_spent_this_month(folder: Path) -> None:
    text = metier("key", "create", "billing", "--requests-per-minute", "600").stdout.strip()
    database = open_database(folder / ".metier" / "traffic.db")
    month = month_of(time.time())
    database.write(lambda c: add_spend(c, {(str(key_id(text)), month): Spent(1.25, 1234)}))
    database.close()
    row = next(line for line in metier("key", "list").stdout.splitlines() if "billing" in line)
    assert "600" in row
    assert "1.2500 USD" in row
    assert "1,234" in row


def test_a_leaked_key_can_be_revoked_by_the_key_itself(folder: Path) -> None:
    text = metier("key", "create", "billing").stdout.strip()
    shown = metier("key", "revoke", text)
    assert text[13:] not in shown.output
    with KeyStore(folder / ".metier" / "traffic.db") as keys:
        assert next(iter(keys.read("2026-11").keys.values())).revoked_at is not None


def test_no_keys_says_what_that_means() -> None:
    assert "metier key create" in metier("key", "list").stdout


def test_names_are_no_markup() -> None:
    metier("key", "create", "[bold]x[/]")
    assert "[bold]x[/]" in metier("key", "list").stdout


def test_mistakes_say_what_to_do() -> None:
    metier("key", "create", "billing")
    with pytest.raises(BadInput, match="already"):
        metier("key", "create", "billing")
    with pytest.raises(BadInput, match="requests per minute"):
        metier("key", "create", "x", "--requests-per-minute", "0")
    with pytest.raises(BadInput, match="budget"):
        metier("key", "create", "x", "--budget-usd", "-1")
    with pytest.raises(NotFound, match="billing"):
        metier("key", "revoke", "nothing")
    assert "create" in metier("key").output
