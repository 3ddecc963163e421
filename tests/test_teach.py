"""teach against a fake OpenAI server and a simulated generalist: labels, samples, variations, the budget, resuming."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.tasks import OutputKind
from metier.cli.app import build
from metier.errors import BadInput, BadSettings, GeneralistFailed, NotEnoughData
from metier.generalists.openai_compatible import OpenAICompatible
from metier.generalists.prices import ListPrice
from metier.generalists.simulated import Simulated
from metier.labs.upstream import Behaviour, Fault, running_upstream
from metier.store.folders import ArtefactStore
from metier.teach import TEACHER, VARIED, TeachSettings, is_unfinished, teach
from metier.teaching import reasons
from metier.teaching.screening import candidate_id

# A token of the fake server is a word: 1 USD a million of input, 10 of output.
PRICE = ListPrice("m", "", 1.0, 10.0, "test")
CITIES = ("oslo", "quito", "hanoi", "dakar", "perth", "turin", "leeds", "denver", "salta", "bergen", "lagos", "delhi")
THINGS = ("blender", "sofa", "lamp", "mattress", "keyboard", "kettle", "bicycle", "jacket", "tent", "camera")
SCHEMA = {
    "type": "object",
    "properties": {"thing": {"type": "string"}, "city": {"type": "string"}},
    "required": ["thing"],
    "additionalProperties": False,
}


def sentence(city: str, thing: str) -> str:
    return f"{thing} {thing[::-1]} {city} {city[::-1]} was ordered there"


def record(text: str) -> str:
    thing, _, city, *_ = text.split()
    return json.dumps({"thing": thing, "city": city})


def dataset(kind: OutputKind = OutputKind.FIELDS) -> Dataset:
    splits = ("train", "tune", "calibration", "test")
    rows = [
        {
            "id": f"{city}-{thing}", "input": sentence(city, thing), "provenance": "human", "group": f"{city}-{thing}",
            "output": record(sentence(city, thing)) if kind is OutputKind.FIELDS else thing, "split": splits[i % 4],
        }
        for i, (city, thing) in enumerate((c, t) for c in CITIES[:6] for t in THINGS[:4])
    ]  # fmt: skip
    labels = tuple(sorted(THINGS)) if kind is OutputKind.LABEL else ()
    return Dataset(
        "t", "orders", kind, labels, "", "", (), (), pl.DataFrame(rows, schema=EXAMPLE_SCHEMA),
        pl.DataFrame(schema=REMOVED_SCHEMA), output_schema=SCHEMA if kind is OutputKind.FIELDS else None,
    )  # fmt: skip


NEW = [sentence(city, thing) for city in CITIES[6:] for thing in THINGS[4:]]


class Script:
    """What the fake server says: by the last message's text, and how often it was asked that before."""

    def __init__(self, say: Callable[[str, int], str]) -> None:
        self.say = say
        self.seen: Counter[str] = Counter()
        self.lock = threading.Lock()

    def __call__(self, request: Mapping[str, Any]) -> str:
        text = request["messages"][-1]["content"]
        with self.lock:
            self.seen[text] += 1
            number = self.seen[text]
        return self.say(text, number)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def served() -> Iterator[Callable[[Callable[[str, int], str]], tuple[OpenAICompatible, Script]]]:
    with running_upstream() as upstream:

        def serve(say: Callable[[str, int], str], **more: Any) -> tuple[OpenAICompatible, Script]:
            script = Script(say)
            upstream.behaviour = Behaviour(answer=script, input_tokens=20, output_tokens=10)
            return asking(upstream.url, **more), script

        yield serve


def asking(url: str, **more: Any) -> OpenAICompatible:
    return OpenAICompatible("m", PRICE, "no-key", base_url=url, backoff_first_s=0.01, timeout_s=5.0, **more)


def test_new_train_examples_and_nothing_else(served) -> None:
    generalist, _ = served(lambda text, _: record(text))
    before = dataset()
    after = teach(before, NEW, generalist, TeachSettings(), seed=0)
    fresh = after.examples[before.examples.height :]
    assert after.examples[: before.examples.height].equals(before.examples)
    assert fresh.schema == EXAMPLE_SCHEMA
    assert fresh["input"].to_list() == NEW
    assert fresh["output"].to_list() == [record(text) for text in NEW]
    assert set(fresh["provenance"]) == {TEACHER}
    assert set(fresh["split"]) == {"train"}
    assert fresh["group"].null_count() == 0
    assert after.removed.schema == REMOVED_SCHEMA
    assert "36 training examples labelled by m at 127.0.0.1 (one answer each), 0 of them varied" in after.notes[-1]


def test_what_is_held_out_is_neither_asked_about_nor_taught(served) -> None:
    generalist, script = served(lambda text, _: record(text))
    before = dataset()
    held = before.split("test")["input"].to_list()
    near = [text.replace("ordered", "0rdered") for text in held]
    after = teach(before, [*held, *near, *NEW[:3]], generalist, TeachSettings(), seed=0)
    assert set(script.seen) == set(NEW[:3])
    assert Counter(after.removed["reason"].to_list()) == {
        "exact duplicate": len(held),
        reasons.NEAR_HELD_OUT: len(near),
    }


def test_every_rejected_answer_is_listed_with_its_reason(served) -> None:
    said = {NEW[0]: "no json", NEW[1]: '{"thing": "unicorn"}', NEW[2]: '{"city": "x"}'}
    generalist, _ = served(lambda text, _: said.get(text, record(text)))
    after = teach(dataset(), NEW[:5], generalist, TeachSettings(grounded=True), seed=0)
    found = {row["id"]: row["reason"] for row in after.removed.iter_rows(named=True)}
    assert found == {
        candidate_id(NEW[0]): reasons.NO_ANSWER.format("invalid"),
        candidate_id(NEW[1]): reasons.UNGROUNDED,
        candidate_id(NEW[2]): reasons.NO_ANSWER.format("invalid"),
    }
    assert after.split("train")["input"].to_list()[-2:] == NEW[3:5]


def test_samples_are_bought_one_by_one_and_must_agree(served) -> None:
    def say(text: str, number: int) -> str:
        return record(text) if text != NEW[0] else json.dumps({"thing": f"guess {number}"})

    generalist, script = served(say)
    after = teach(dataset(), NEW[:4], generalist, TeachSettings(samples=3), seed=0)
    assert script.seen == dict.fromkeys(NEW[:4], 3)
    assert after.split("train")["input"].to_list()[-3:] == NEW[1:4]
    assert after.removed["reason"].to_list() == [reasons.NO_AGREEMENT]
    assert "(2 of 3 answers agreeing)" in after.notes[-1]


def test_variations_are_filtered_and_then_labelled(tmp_path: Path) -> None:
    before = dataset()
    held = before.split("test")["input"].to_list()
    written = iter([held[0], NEW[0], NEW[1], NEW[0], ""])
    lock = threading.Lock()

    def answer(request: Mapping[str, Any]) -> str:
        if "Write another text" not in request["messages"][0]["content"]:
            return record(request["messages"][-1]["content"])
        with lock:
            return next(written)

    with running_upstream(Behaviour(answer=answer)) as upstream:
        generalist = asking(upstream.url, cache_path=tmp_path / "a.db", max_concurrency=1)
        after = teach(before, [], generalist, TeachSettings(vary=5), seed=0)
    fresh = after.examples[before.examples.height :]
    assert fresh["input"].to_list() == NEW[:2]
    assert set(fresh["provenance"]) == {VARIED}
    assert Counter(after.removed["reason"].to_list()) == {
        "exact duplicate": 2,
        reasons.NO_VARIATION.format("empty"): 1,
    }


def test_one_budget_holds_for_variations_samples_and_later_runs(tmp_path: Path) -> None:
    calls = Counter()
    lock = threading.Lock()

    def answer(request: Mapping[str, Any]) -> str:
        varying = "Write another text" in request["messages"][0]["content"]
        with lock:
            calls[varying] += 1
            number = calls[True]
        return NEW[number] if varying else record(request["messages"][-1]["content"])

    cost = 20e-6 + 10 * 10e-6
    for cache in (None, tmp_path / "a.db"):
        calls.clear()
        with running_upstream(Behaviour(answer=answer, input_tokens=20, output_tokens=10)) as upstream:
            budget = 20 * cost + 0.003
            generalist = asking(upstream.url, cache_path=cache, budget_usd=budget, max_output_tokens=40)
            after = teach(dataset(), NEW[20:], generalist, TeachSettings(vary=10, samples=2, agree=1), seed=0)
            assert calls[True] == 10
            assert calls.total() * cost <= budget
            # The whole run would have been 10 + 2 * (16 + 10) calls.
            assert calls.total() < 62
            assert (after.removed["reason"] == reasons.NOT_ASKED).any()
            assert is_unfinished(after, dataset())
            if cache is not None:
                bought = calls.total()
                teach(dataset(), NEW[20:], asking(upstream.url, cache_path=cache, budget_usd=budget, max_output_tokens=40),
                      TeachSettings(vary=10, samples=2, agree=1), seed=0)  # fmt: skip
                assert calls.total() == bought
                full = asking(upstream.url, cache_path=cache, max_output_tokens=40)
                whole = teach(dataset(), NEW[20:], full, TeachSettings(vary=10, samples=2, agree=1), seed=0)
                assert not is_unfinished(whole, dataset())


def test_taught_twice_costs_once(served, tmp_path: Path) -> None:
    generalist, script = served(lambda text, _: record(text), cache_path=tmp_path / "a.db")
    first = teach(dataset(), NEW, generalist, TeachSettings(samples=2), seed=0)
    second = teach(dataset(), NEW, generalist, TeachSettings(samples=2), seed=0)
    assert script.seen.total() == 2 * len(NEW)
    assert first.examples.equals(second.examples)


def test_a_server_that_is_away_leaves_the_run_unfinished(served) -> None:
    generalist, _ = served(lambda text, _: record(text))
    with running_upstream(Behaviour(fault=Fault.ERROR, fault_share=0.5, answer=lambda r: record(NEW[0]))) as upstream:
        after = teach(dataset(), NEW, asking(upstream.url, max_retries=0), TeachSettings(), seed=0)
    assert reasons.NO_ANSWER.format("server error") in set(after.removed["reason"])
    assert is_unfinished(after, dataset())
    # What failed and is taught now is no longer told as removed.
    again = teach(after, NEW, generalist, TeachSettings(), seed=0)
    assert not (again.removed["reason"] == reasons.NO_ANSWER.format("server error")).any()
    assert not is_unfinished(again, after)


def test_a_refused_key_stops_it() -> None:
    with (
        running_upstream(Behaviour(fault=Fault.UNAUTHORIZED)) as upstream,
        pytest.raises(GeneralistFailed, match="401"),
    ):
        teach(dataset(), NEW, asking(upstream.url), TeachSettings(), seed=0)


def test_agreement_of_samples_makes_a_teacher_err_less() -> None:
    """Each sample is right with probability 0.7; a majority of 9 (5 or more) with 0.90 (binomial)."""
    inputs = [sentence(f"{city}{i}", thing) for city in CITIES[6:] for thing in THINGS for i in range(4)]
    teacher = Simulated({candidate_id(text): text.split()[0] for text in inputs}, seed=3, accuracy=0.7)
    share_wrong = []
    for samples in (1, 9):
        settings = TeachSettings(samples=samples, near_duplicate_threshold=1.0)
        fresh = teach(dataset(OutputKind.LABEL), inputs, teacher, settings, seed=0).examples[24:]
        assert fresh.height == len(inputs) == 240
        n_wrong = sum(text.split()[0] != label for text, label in fresh.select("input", "output").iter_rows())
        share_wrong.append(n_wrong / len(inputs))
    # Standard errors of 240 draws: 0.030 and 0.019; three of them allowed.
    assert share_wrong[0] == pytest.approx(0.3, abs=0.09)
    assert share_wrong[1] == pytest.approx(0.099, abs=0.058)


def test_personal_data_reach_neither_the_teacher_nor_the_dataset(served) -> None:
    pytest.importorskip("presidio_analyzer", reason="the pii extra is not installed")

    def say(text: str, number: int) -> str:
        return json.dumps({"thing": "carl@example.com", "city": text.split()[-1]})

    generalist, script = served(say)
    given = [f"{text} by anna{i}@example.com" for i, text in enumerate(NEW[:4])]
    after = teach(dataset(), given, generalist, TeachSettings(), scrub_pii=True, seed=0)
    fresh = after.examples.tail(4)
    assert fresh["input"].to_list() == [f"{text} by <EMAIL>" for text in NEW[:4]]
    assert set(fresh["output"]) == {'{"thing": "<EMAIL>", "city": "<EMAIL>"}'}
    assert set(script.seen) == set(fresh["input"])
    assert "@example.com" not in after.examples.write_csv() + after.removed.write_csv()
    assert any("personal data replaced" in note for note in after.notes)
    written, _ = served(lambda text, _: f"{text} {text[::-1]} to bob@example.com")
    varied = teach(dataset(OutputKind.TEXT), [], written, TeachSettings(vary=3), scrub_pii=True, seed=0)
    assert (varied.examples["provenance"] == VARIED).any()
    assert "@example.com" not in varied.examples.write_csv() + varied.removed.write_csv()


def test_text_tasks_are_taught_too(served) -> None:
    generalist, _ = served(lambda text, _: f" about {text.split()[0]} ")
    after = teach(dataset(OutputKind.TEXT), NEW[:2], generalist, TeachSettings(), seed=0)
    assert after.examples["output"].to_list()[-2:] == [f"about {text.split()[0]}" for text in NEW[:2]]


def test_nothing_to_do_and_nothing_gained_are_said(served) -> None:
    generalist, _ = served(lambda text, _: "no json")
    with pytest.raises(NotEnoughData, match="no unlabelled inputs"):
        teach(dataset(), [], generalist, TeachSettings(), seed=0)
    with pytest.raises(
        NotEnoughData, match=r"of 2 inputs .* none became an example: 2 the teacher gave no answer: invalid"
    ):
        teach(dataset(), NEW[:2], generalist, TeachSettings(), seed=0)


def test_a_fields_task_without_a_schema_is_refused(served) -> None:
    generalist, _ = served(lambda text, _: record(text))
    with pytest.raises(BadInput, match="no output_schema"):
        teach(replace(dataset(), output_schema=None), NEW, generalist, TeachSettings(), seed=0)


def test_more_cannot_agree_than_are_asked() -> None:
    assert [TeachSettings(samples=n).n_agree for n in (1, 2, 3, 5)] == [1, 2, 2, 3]
    with pytest.raises(ValidationError, match="only 2 answers are asked for"):
        TeachSettings(samples=2, agree=3)


# ---- the command


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [f"{sentence(city, thing)} again {i},{thing}" for city in CITIES for i, thing in enumerate(THINGS[:6])]
    (tmp_path / "orders.csv").write_text("\n".join(["input,output", *rows]))
    (tmp_path / "metier.toml").write_text(
        "[curate]\nmin_split_size = 3\nnear_duplicate_threshold = 1.0\n"
        "[teach]\nnear_duplicate_threshold = 1.0\n"
        '[generalist]\nbackend = "openai"\nmodel = "m"\ninput_usd_per_million = 1\noutput_usd_per_million = 10\n'
    )
    (tmp_path / "new.txt").write_text("\n".join(sentence(f"{city}{i}", THINGS[i % 6]) for i, city in enumerate(CITIES)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for arguments in (("import", "orders.csv"), ("audit",), ("curate", "orders")):
        metier(*arguments)
    return tmp_path


def metier(*arguments: str, given: str | None = None) -> str:
    """What a command prints, run in this process; its failure is raised."""
    done = CliRunner().invoke(build(), arguments, input=given)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_the_command_makes_a_dataset_once_and_further_ones_of_it(project: Path) -> None:
    script = Script(lambda text, number: text.split()[0])
    with running_upstream(Behaviour(answer=script)) as upstream:
        arguments = ("teach", "orders", "new.txt", "--base-url", upstream.url)
        first = metier(*arguments)
        assert ": made" in first
        assert "12 training examples labelled by m at 127.0.0.1" in first
        assert script.seen.total() == 12
        assert "unchanged, skipped" in metier(*arguments)
        more = metier("teach", "orders", "-", "--base-url", upstream.url, given="lamp for me please\n")
        assert "1 training examples labelled" in more
        # Found again although the newest dataset is another one by now.
        assert "unchanged, skipped" in metier(*arguments)
        with pytest.raises(NotEnoughData, match="no unlabelled inputs"):
            metier("teach", "orders", "--base-url", upstream.url)
    store = ArtefactStore(project / ".metier")
    newest, middle, curated = store.manifests("dataset")
    assert (newest.inputs["dataset"], middle.inputs["dataset"]) == (middle.id, curated.id)
    assert newest.inputs["audit"] == curated.inputs["audit"]
    taught = store.load(newest)
    assert isinstance(taught, Dataset)
    assert (taught.examples["provenance"] == TEACHER).sum() == 13
    metier("train", "orders", "--students", "linear", "--curve-students", "")
    assert store.manifests("specialist")[0].inputs["dataset"] == newest.id


def test_a_dataset_that_was_curated_without_personal_data_is_taught_without_them(project: Path) -> None:
    pytest.importorskip("presidio_analyzer", reason="the pii extra is not installed")
    metier("curate", "orders", "--scrub-pii")
    with running_upstream(Behaviour(answer=Script(lambda text, _: text.split()[0]))) as upstream:
        metier("teach", "orders", "-", "--base-url", upstream.url, given="lamp for anna@example.com please\n")
    store = ArtefactStore(project / ".metier")
    newest = store.manifests("dataset")[0]
    # The gateway, and teaching that goes on from here, read it there.
    assert newest.settings["scrub_pii"] is True
    taught = store.load(newest)
    assert isinstance(taught, Dataset)
    assert taught.examples["input"][-1] == "lamp for <EMAIL> please"


@pytest.mark.parametrize("arguments", [("--backend", "none"), ("--backend", "replay")])
def test_a_teacher_that_cannot_answer_anything_new_is_refused(project: Path, arguments: tuple[str, ...]) -> None:
    with pytest.raises(BadSettings, match="set it to openai or gguf"):
        metier("teach", "orders", "new.txt", *arguments)


def test_a_killed_run_asks_only_what_is_left(project: Path) -> None:
    script = Script(lambda text, number: text.split()[0])
    with running_upstream(Behaviour(answer=script, latency_s=0.2)) as upstream:
        arguments = ("teach", "orders", "new.txt", "--base-url", upstream.url, "--max-concurrency", "1")
        process = subprocess.Popen([sys.executable, "-m", "metier", *arguments], cwd=project, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while script.seen.total() < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
        asked = script.seen.total()
        upstream.behaviour = Behaviour(answer=script)
        assert "12 training examples" in metier(*arguments)
    assert 4 <= asked < 12
    # The call that was under way is made again, the others are not.
    assert script.seen.total() <= 12 + 1
