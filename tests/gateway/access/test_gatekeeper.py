"""Who is let in: keys in every bad form, rates, budgets, months; and nothing told that could help a stranger."""

from __future__ import annotations

import datetime
import threading

import pytest

from metier.artefacts.keys import Key, key_hash, key_id, new_secret_key
from metier.gateway.access.gatekeeper import KeyGatekeeper
from metier.gateway.calls import ANONYMOUS, Caller
from metier.gateway.errors import ApiError
from metier.store.keys import KeyBook
from metier.store.spend import Spent

NOVEMBER = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC).timestamp()
DECEMBER = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC).timestamp()


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Door:
    """A gatekeeper with clocks to turn and a book to change."""

    def __init__(self, n_workers: int = 1) -> None:
        self.wall, self.monotonic = Clock(NOVEMBER), Clock(1000.0)
        self.refused: list[tuple[str, str | None]] = []
        self.keeper = KeyGatekeeper(
            n_workers=n_workers,
            wall=self.wall,
            monotonic=self.monotonic,
            refused=lambda reason, key: self.refused.append((reason, key)),
        )
        self.keys: dict[str, Key] = {}
        self.spent: dict[str, Spent] = {}

    def add(self, name: str = "team", **limits: float) -> str:
        text = new_secret_key()
        id_ = str(key_id(text))
        self.keys[id_] = Key(id_, name, key_hash(text), NOVEMBER, **limits)  # type: ignore[arg-type]
        self.read()
        return text

    def read(self, month: str = "2026-11") -> None:
        self.keeper.update(KeyBook(dict(self.keys), month, dict(self.spent)), self.keeper.booked())

    def call(self, text: str, host: str | None = "203.0.113.9") -> Caller:
        return self.keeper.admit(f"Bearer {text}", host)


def refusal(door: Door, authorization: object, host: str | None = "127.0.0.1") -> ApiError:
    with pytest.raises(ApiError) as caught:
        door.keeper.admit(authorization, host)  # type: ignore[arg-type]
    return caught.value


def test_a_key_gives_its_id_and_name_from_anywhere() -> None:
    door = Door()
    text = door.add("billing")
    assert door.call(text) == Caller(key_id(text), "billing")
    assert door.keeper.admit(f"bearer   {text}", None).name == "billing"
    assert door.keeper.admit(f"BEARER {text} ", "::1").name == "billing"


@pytest.mark.parametrize(
    "authorization",
    [
        "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer sk-something-else", "Bearer mtr_", "Bearer " + "a" * 100_000,
        "B" * 100_000, "Bearer mtr_äöü" + "é" * 49, "Bearer mtr_abcdefgh_" + "\x00" * 43, ["Bearer x"], b"Bearer x", 7,
        "Bearer mtr_12345678-" + "a" * 43, "Bearer\tmtr_12345678_" + "a" * 43, "Bearer mtr_1234567\ud800_" + "a" * 43,
    ],
)  # fmt: skip
def test_malformed_headers_are_refused_in_openais_shape(authorization: object) -> None:
    door = Door()
    door.add()
    error = refusal(door, authorization)
    assert (error.status, error.code, error.param) == (401, "invalid_api_key", None)
    assert ("www-authenticate", "Bearer") in error.headers


def test_no_header_at_all_says_how_to_send_a_key() -> None:
    door = Door()
    door.add()
    error = refusal(door, None)
    assert (error.status, error.code) == (401, "missing_api_key")
    assert "metier key create" in error.message


def test_unknown_wrong_and_revoked_keys_get_one_and_the_same_answer() -> None:
    door = Door()
    good, gone = door.add("good"), door.add("gone")
    id_ = str(key_id(gone))
    door.keys[id_] = Key(id_, "gone", key_hash(gone), NOVEMBER, revoked_at=NOVEMBER + 1)
    assert door.call(gone).name == "gone"
    door.read()
    wrong = good[:-1] + ("a" if good[-1] != "a" else "b")
    stranger = new_secret_key()
    errors = [refusal(door, f"Bearer {text}") for text in (stranger, wrong, gone)]
    assert len({(error.status, error.message, error.code, error.headers) for error in errors}) == 1
    assert errors[0].status == 401
    assert door.refused == [("unknown", None), ("wrong", key_id(good)), ("revoked", id_)]
    assert door.keeper.refusals == {"unknown": 1, "wrong": 1, "revoked": 1}
    assert door.call(good).name == "good"


def test_no_refusal_holds_any_part_of_what_was_sent() -> None:
    door = Door()
    door.add(requests_per_minute=1)
    secret = new_secret_key()
    for header in (f"Bearer {secret}", f"Basic {secret}", secret, f"Bearer {secret}x"):
        error = refusal(door, header)
        shown = f"{error!r} {error.body().decode()} {error.headers} {door.refused}"
        assert secret[13:] not in shown
        assert str(key_id(secret)) not in shown


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_without_keys_the_own_machine_may_call_with_or_without_a_header(host: str) -> None:
    door = Door()
    door.read()
    assert door.keeper.admit(None, host) == ANONYMOUS
    assert door.keeper.admit("Bearer sk-of-the-client", host) == ANONYMOUS
    assert not door.keeper.has_keys


@pytest.mark.parametrize(
    "host",
    [None, "", "10.0.0.1", "0.0.0.0", "::", "::ffff:10.0.0.1", "localhost", "127.0.0.1.example.org", "fe80::1%lo", "unix:"],
)  # fmt: skip
def test_without_keys_nobody_else_may_call(host: str | None) -> None:
    door = Door()
    door.read()
    error = refusal(door, None, host)
    assert (error.status, error.code) == (403, "loopback_only")
    assert "metier key create" in error.message


def test_the_last_key_revoked_does_not_open_the_door() -> None:
    door = Door()
    text = door.add()
    id_ = str(key_id(text))
    door.keys[id_] = Key(id_, "team", key_hash(text), NOVEMBER, revoked_at=NOVEMBER)
    door.read()
    assert refusal(door, None, "127.0.0.1").status == 401
    door.keys.clear()
    door.read()
    assert refusal(door, None, "127.0.0.1").status == 401


def test_keys_that_are_not_known_yet_let_nobody_in() -> None:
    door = Door()
    error = refusal(door, None, "127.0.0.1")
    assert (error.status, error.code) == (503, "keys_unavailable")
    assert door.keeper.has_keys


def test_the_rate_limit_is_a_bucket_that_fills_with_time() -> None:
    door = Door()
    text = door.add(requests_per_minute=60)
    for _ in range(10):
        door.call(text)
    error = refusal(door, f"Bearer {text}")
    headers = dict(error.headers)
    assert (error.status, error.type, error.code) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("1", "1000")
    assert headers["x-ratelimit-limit-requests"] == "60"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "10.000s"
    door.monotonic.now += 0.999
    refusal(door, f"Bearer {text}")
    door.monotonic.now += 0.002
    door.call(text)
    refusal(door, f"Bearer {text}")
    door.monotonic.now += 3600
    for _ in range(10):
        door.call(text)
    refusal(door, f"Bearer {text}")


def test_a_minute_of_eager_calls_gets_the_limit_and_one_burst() -> None:
    door = Door()
    text = door.add(requests_per_minute=120)
    n_admitted = 0
    for _ in range(6000):
        door.monotonic.now += 0.01
        try:
            door.call(text)
            n_admitted += 1
        except ApiError:
            continue
    assert n_admitted == pytest.approx(120 + 20, abs=1)


def test_workers_share_a_limit_and_a_small_one_still_lets_a_call_in() -> None:
    door = Door(n_workers=4)
    text = door.add(requests_per_minute=240)
    for _ in range(10):
        door.call(text)
    refusal(door, f"Bearer {text}")
    slow = door.add("slow", requests_per_minute=1)
    door.call(slow)
    assert dict(refusal(door, f"Bearer {slow}").headers)["retry-after"] == "240"


def test_reading_the_keys_again_fills_no_bucket_but_a_new_limit_counts() -> None:
    door = Door()
    text = door.add(requests_per_minute=60)
    for _ in range(10):
        door.call(text)
    door.read()
    refusal(door, f"Bearer {text}")
    id_ = str(key_id(text))
    door.keys[id_] = Key(id_, "team", key_hash(text), NOVEMBER)
    door.read()
    for _ in range(100):
        door.call(text)


def test_a_spent_budget_is_refused_until_the_month_turns() -> None:
    door = Door()
    text = door.add(budget_usd_month=1.0)
    caller = door.call(text)
    door.keeper.charge(caller, 0.6)
    door.keeper.charge(door.call(text), 0.4)
    error = refusal(door, f"Bearer {text}")
    headers = dict(error.headers)
    assert (error.status, error.type, error.code) == (429, "insufficient_quota", "insufficient_quota")
    assert headers["retry-after"] == str(int(DECEMBER - NOVEMBER))
    assert headers["x-should-retry"] == "false"
    door.wall.now = DECEMBER - 0.001
    refusal(door, f"Bearer {text}")
    door.wall.now = DECEMBER
    door.call(text)
    # A reading that began in the old month changes nothing.
    door.spent = {str(caller.key_id): Spent(5.0, 2)}
    door.read("2026-11")
    door.call(text)
    door.spent = {str(caller.key_id): Spent(5.0, 2)}
    door.read("2026-12")
    refusal(door, f"Bearer {text}")


def test_a_clock_set_back_a_month_and_forth_again_gives_no_money_once_the_database_was_read() -> None:
    door = Door()
    text = door.add(budget_usd_month=1.0)
    door.spent = {str(key_id(text)): Spent(2.0, 1)}
    door.read()
    refusal(door, f"Bearer {text}")
    door.wall.now -= 40 * 86_400
    door.call(text)
    door.wall.now += 40 * 86_400
    door.read()
    refusal(door, f"Bearer {text}")


def test_what_is_booked_here_is_not_counted_twice_when_it_reaches_the_database() -> None:
    door = Door()
    text = door.add(budget_usd_month=1.0)
    caller = door.call(text)
    for step in range(9):
        door.keeper.charge(caller, 0.1)
        door.spent = {str(caller.key_id): Spent(0.1 * (step + 1), step + 1)}
        door.read()
    door.call(text)
    door.keeper.charge(caller, 0.1)
    refusal(door, f"Bearer {text}")


def test_what_other_processes_spent_counts_and_so_does_what_was_booked_since_the_reading() -> None:
    door = Door()
    text = door.add(budget_usd_month=1.0)
    caller = door.call(text)
    door.spent = {str(caller.key_id): Spent(0.95, 9)}
    door.read()
    door.call(text)
    door.keeper.charge(caller, 0.05)
    refusal(door, f"Bearer {text}")


def test_a_booking_made_while_the_database_was_read_is_kept() -> None:
    door = Door()
    text = door.add(budget_usd_month=1.0)
    caller = door.call(text)
    before = door.keeper.booked()
    door.keeper.charge(caller, 0.5)
    door.keeper.update(KeyBook(door.keys, "2026-11", {str(caller.key_id): Spent(0.5, 1)}), before)
    refusal(door, f"Bearer {text}")


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), -1.0, 0.0])
def test_costs_that_are_none_are_not_booked(cost: float) -> None:
    door = Door()
    text = door.add(budget_usd_month=1.0)
    door.keeper.charge(door.call(text), cost)
    assert door.keeper.booked() == {key_id(text): 0.0}
    door.keeper.charge(ANONYMOUS, 1.0)
    door.keeper.charge(Caller("nobody", "gone"), 1.0)


def test_a_budget_of_nothing_refuses_from_the_first_call_and_takes_no_token() -> None:
    door = Door()
    text = door.add(budget_usd_month=0.0, requests_per_minute=6)
    for _ in range(5):
        assert refusal(door, f"Bearer {text}").code == "insufficient_quota"


def test_many_threads_book_every_cent_while_keys_are_read() -> None:
    door = Door()
    text = door.add(budget_usd_month=1e9)
    caller = door.call(text)

    def pay() -> None:
        for _ in range(2000):
            door.keeper.charge(caller, 1.0)

    threads = [threading.Thread(target=pay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        door.read()
    for thread in threads:
        thread.join()
    assert door.keeper.booked() == {caller.key_id: 8000.0}


def test_one_key_from_many_connections_is_one_caller() -> None:
    door = Door()
    text = door.add()
    assert {door.call(text, f"198.51.100.{n}") for n in range(200)} == {Caller(key_id(text), "team")}
