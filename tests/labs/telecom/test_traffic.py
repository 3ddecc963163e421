"""The operator's log: reproducible, judged as it says, right as often as published, and one drive is one group."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any

import pytest

from metier.curation.labels import read_answer
from metier.errors import BadInput
from metier.labs import LABS
from metier.labs.telecom.analyst import ACCURACY
from metier.labs.telecom.labelled import labelled
from metier.labs.telecom.parts import CAUSES
from metier.labs.telecom.traffic import INPUT_USD_PER_MILLION, OUTPUT_USD_PER_MILLION, offered, simulate
from metier.views.telelogs.choices import find_choices

N = 900
Record = dict[str, Any]


@pytest.fixture(scope="module")
def log() -> list[Record]:
    return list(simulate(N, seed=5, days=2.0))


@pytest.fixture(scope="module")
def causes(log: list[Record]) -> list[Record]:
    return [record for record in log if record["truth"]["job"] == "cause"]


def asked(record: Record) -> str:
    text: str = record["request"]["messages"][-1]["content"]
    return text


def said(record: Record) -> str | None:
    return read_answer(record["response"]["choices"][0]["message"]["content"], 100).label


def test_the_same_arguments_give_the_same_calls() -> None:
    assert list(LABS["telecom"](40, 1)) == list(simulate(40, 1))
    assert next(simulate(5, 1)) != next(simulate(5, 2))


def test_calls_come_in_the_order_of_their_time(log: list[Record]) -> None:
    times = [record["time"] for record in log]
    assert times == sorted(times)
    assert times[-1] - times[0] < 2.0 * 86_400
    assert len({record["id"] for record in log}) == N


def test_jobs_have_their_shares(log: list[Record]) -> None:
    counts = Counter(record["truth"]["job"] for record in log)
    # Five standard errors of a binomial share of 0.6 among 900 are 0.08.
    assert counts["cause"] / N == pytest.approx(0.60, abs=0.08)
    assert counts["alarm"] / N == pytest.approx(0.20, abs=0.07)
    assert {"ticket", "open"} <= counts.keys()


def test_the_frontier_is_right_as_often_as_published(causes: list[Record]) -> None:
    right = [said(record) == record["truth"]["answer"] for record in causes]
    # Five standard errors of a share of 0.8 among 540 are 0.086; one answer in 250 forgets the box.
    assert sum(right) / len(right) == pytest.approx(ACCURACY, abs=0.09)
    assert sum(said(record) in CAUSES for record in causes) >= 0.98 * len(causes)


def test_a_drive_is_one_group_asked_about_in_one_go(causes: list[Record]) -> None:
    runs = [name for name, _ in groupby(record["group"] for record in causes)]
    assert len(runs) == len(set(runs))
    assert len(runs) < len(causes) / 1.5
    assert all(name.startswith("drive-5-") for name in runs)


def test_judgements_are_those_of_people_who_mostly_see_right(log: list[Record]) -> None:
    judged = [record for record in log if "feedback" in record]
    assert {record["truth"]["job"] for record in judged} == {"cause", "alarm"}
    fits = [(record["feedback"] == "correct") == (said(record) == record["truth"]["answer"]) for record in judged]
    assert sum(fits) >= 0.96 * len(fits)
    corrected = [record for record in judged if "correction" in record]
    assert corrected
    assert all(record["correction"] == record["truth"]["answer"] for record in corrected)


def test_calls_are_charged_at_the_list_price(log: list[Record]) -> None:
    for record in log[:50]:
        usage = record["response"]["usage"]
        price = usage["prompt_tokens"] * INPUT_USD_PER_MILLION + usage["completion_tokens"] * OUTPUT_USD_PER_MILLION
        assert record["cost_usd"] == pytest.approx(price / 1e6, abs=1e-8)


def test_the_randomised_form_has_labels_of_its_own() -> None:
    calls = [one for one in simulate(60, seed=2, randomised=1.0) if one["truth"]["job"] == "cause"]
    for record in calls:
        labels = offered(asked(record))
        assert labels == find_choices(asked(record).splitlines())
        assert record["truth"]["answer"] in labels.values()
        assert said(record) in {*labels.values(), None} or said(record) not in CAUSES
    assert len({record["truth"]["answer"] for record in calls}) > 8


@pytest.mark.parametrize("bad", [{"difficulty": 2.0}, {"days": 0.0}, {"randomised": -0.1}])
def test_values_out_of_range(bad: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(bad))):
        simulate(10, **bad)  # type: ignore[arg-type]


def test_labelled_drives_stay_in_their_split() -> None:
    chats = list(labelled(600, seed=1, randomised=0.3))
    assert chats == list(labelled(600, seed=1, randomised=0.3))
    assert len({chat["id"] for chat in chats}) == len(chats) == 600
    by_group: dict[str, set[str]] = {}
    for chat in chats:
        by_group.setdefault(chat["group"], set()).add(chat["split"])
    assert all(len(splits) == 1 for splits in by_group.values())
    sizes = Counter(chat["split"] for chat in chats)
    assert sizes["train"] > 350
    assert sizes.keys() == {"train", "tune", "calibration", "test"}
    answers = [read_answer(chat["messages"][1]["content"], 100).label for chat in chats]
    offers = [offered(chat["messages"][0]["content"]).values() for chat in chats]
    assert all(answer in labels for answer, labels in zip(answers, offers, strict=True))
    # Eight causes alike; those of the randomised form have other names.
    assert 0.55 < sum(answer in CAUSES for answer in answers) / 600 < 0.85


def test_labelled_values_out_of_range() -> None:
    with pytest.raises(BadInput, match="n_windows"):
        labelled(0)
    with pytest.raises(BadInput, match="randomised"):
        labelled(10, randomised=1.5)
