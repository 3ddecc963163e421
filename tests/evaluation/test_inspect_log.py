"""Inspect logs: the layout of its EvalLog, every answer in it, and nothing that JSON lacks."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from metier.artefacts.datasets import Dataset
from metier.artefacts.evaluations import Evaluation
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.evaluate import EvaluateSettings, evaluate
from metier.evaluation.inspect_log import inspect_log, inspect_logs

CREATED = "2026-11-22T05:00:00+00:00"
Make = Callable[..., Specialist]


@pytest.fixture
def found(kit: SimpleNamespace, specialist: Make) -> tuple[Evaluation, Dataset]:
    rows = [("test", f"SHOP {k}", json.dumps({"company": f"Shop {k}", "total": "1.00"})) for k in range(20)]
    table = {text: kit.Written(output) for _, text, output in rows}
    table["SHOP 0"] = kit.Written('{"company": "SHOP', "cut off")
    table["SHOP 1"] = kit.Written('{"company": "Shop 1", "total": "2.00"}')
    other: dict[str, str | None] = {text: output for _, text, output in rows} | {"SHOP 2": None}
    data = kit.dataset(OutputKind.FIELDS, rows)
    one = specialist(OutputKind.FIELDS, kit.Writer(table))
    return evaluate([one], kit.Scripted(other), data, EvaluateSettings(n_latency=10, n_resamples=200)), data


def test_every_candidate_has_a_log_in_inspects_layout(found: tuple[Evaluation, Dataset]) -> None:
    logs = inspect_logs(*found, created=CREATED)
    assert list(logs) == ["writer", "general"]
    log = logs["writer"]
    assert list(log) == ["version", "status", "eval", "plan", "results", "stats", "samples"]  # Inspect minds the order
    assert (log["version"], log["status"]) == (2, "success")
    assert {"created", "task", "dataset", "model", "config"} <= set(log["eval"])
    assert log["eval"]["dataset"]["samples"] == len(log["samples"]) == 20
    assert len({one["eval"]["run_id"] for one in logs.values()}) == 1
    assert len({one["eval"]["eval_id"] for one in logs.values()}) == 2
    json.dumps(logs, allow_nan=False)


def test_samples_hold_input_target_output_and_scores(found: tuple[Evaluation, Dataset]) -> None:
    cut, wrong, right, *_ = inspect_log(*found, "writer", created=CREATED)["samples"]
    assert (right["input"], json.loads(right["target"])["company"]) == ("SHOP 2", "Shop 2")
    assert right["output"]["completion"] == right["target"]
    assert right["output"]["choices"][0]["stop_reason"] == "stop"
    assert right["scores"]["metier/correct"]["value"] == "C"
    assert wrong["scores"]["metier/correct"]["value"] == "I"
    assert wrong["scores"]["metier/fields"]["value"] == {"company": 1.0, "total": 0.0}
    assert cut["output"]["choices"][0] == {
        "message": {"role": "assistant", "content": '{"company": "SHOP', "source": "generate"},
        "stop_reason": "max_tokens",
    }
    assert cut["scores"]["metier/correct"] == {"value": "I", "answer": None, "explanation": "no answer: cut off"}
    assert cut["scores"]["metier/fields"]["value"] == {"company": 0.0, "total": 0.0}
    assert cut["metadata"]["failure"] == "cut off"


def test_results_carry_figures_with_their_intervals(found: tuple[Evaluation, Dataset]) -> None:
    evaluation = found[0]
    log = inspect_log(*found, "writer", created=CREATED)
    correct, fields = log["results"]["scores"]
    ours = evaluation.candidates[0]
    assert correct["metrics"]["accuracy"]["value"] == pytest.approx(0.9)
    assert correct["metrics"]["accuracy"]["metadata"]["low"] == ours.accuracy.low
    assert fields["metrics"]["micro_f1"]["value"] == ours.records.micro_f1.value
    assert fields["metrics"]["cut_off"]["value"] == pytest.approx(1 / 20)
    assert ours.writing is not None
    stuck = fields["metrics"]["never_stopped"]
    assert (stuck["value"], stuck["metadata"]["high"]) == (pytest.approx(1 / 20), ours.writing.never_stopped.high)
    assert "f1_date" not in fields["metrics"]  # the truth never has it
    assert log["eval"]["metadata"]["comparisons"][0]["generalist"] == "general"
    assert log["eval"]["metadata"]["judged_against"] == "human"


def test_an_unknown_candidate_is_refused(found: tuple[Evaluation, Dataset]) -> None:
    with pytest.raises(BadInput, match="no candidate 'nobody'; it has: writer, general"):
        inspect_log(*found, "nobody", created=CREATED)


@pytest.mark.skipif(
    importlib.util.find_spec("inspect_ai") is None,
    reason="inspect_ai conflicts with constraints.txt; docs/evaluate.md says how to run this in an environment of its own",
)
def test_inspect_reads_it(found: tuple[Evaluation, Dataset], tmp_path: Path) -> None:
    from inspect_ai.log import read_eval_log

    for name, right, stuck in (("writer", 18 / 20, 1 / 20), ("general", 19 / 20, 0.0)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(inspect_log(*found, name, created=CREATED), allow_nan=False))
        log = read_eval_log(str(path))
        assert log.samples is not None
        assert len(log.samples) == 20
        assert all(sample.scores for sample in log.samples)
        assert log.results is not None
        correct, fields = log.results.scores
        assert correct.metrics["accuracy"].value == pytest.approx(right)
        assert fields.metrics["never_stopped"].value == pytest.approx(stuck)
