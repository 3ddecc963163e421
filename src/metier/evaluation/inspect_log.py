"""An evaluation as logs of Inspect (UK AI Security Institute): one a candidate, in the JSON form of its EvalLog, version 2.

Written by hand rather than with inspect_ai, which is a large dependency for one file: `inspect view` and
`inspect_ai.log.read_eval_log` read it (tested with inspect_ai 0.3.285).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from metier.artefacts.datasets import Dataset
from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import CandidateScore, Comparison, Evaluation
from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.metrics.generation import CUT_OFF, DEGENERATE, TOO_LONG
from metier.metrics.records import parse_record, same_value
from metier.metrics.texts import rouge_l
from metier.version import __version__

VERSION = 2
CORRECT, INCORRECT = "C", "I"  # Inspect's own letters
_STOP_REASONS = {DEGENERATE: "max_tokens", CUT_OFF: "max_tokens", TOO_LONG: "model_length", "refusal": "content_filter"}
_SCORER = "metier/correct"
_BESIDE = {OutputKind.FIELDS: "metier/fields", OutputKind.TEXT: "metier/rouge_l"}

Log = dict[str, Any]


def inspect_logs(evaluation: Evaluation, dataset: Dataset, *, created: str) -> dict[str, Log]:
    """One log for every candidate, by its name; see `inspect_log`."""
    return {item.name: inspect_log(evaluation, dataset, item.name, created=created) for item in evaluation.candidates}


def inspect_log(evaluation: Evaluation, dataset: Dataset, candidate: str, *, created: str) -> Log:
    """The test items that one candidate was asked, with its answers and scores, as an EvalLog ready for `json.dump`.

    Each sample has the score `metier/correct` ("C" or "I"; none where the item is not judged), and where the output is a
    record or a text a second one: 1 or 0 for every field, or ROUGE-L. Failures are incorrect and say why. Intervals,
    verdicts and what "correct" was judged against stand in the metadata. Figures that were not scored are left out: JSON
    has no NaN. `created` is a time in ISO 8601 with its offset from UTC.

    Raises BadInput where no candidate has that name.
    """
    score = next((item for item in evaluation.candidates if item.name == candidate), None)
    if score is None:
        names = ", ".join(item.name for item in evaluation.candidates)
        raise BadInput(f"the evaluation has no candidate {candidate!r}; it has: {names}")
    samples = _samples(evaluation, dataset, candidate)
    key = hashlib.sha256(f"{evaluation.task_id}\0{candidate}\0{created}".encode()).hexdigest()[:22]
    model = score.model or candidate
    return {
        "version": VERSION,
        "status": "success",
        "eval": {
            "eval_id": key,
            "run_id": hashlib.sha256(f"{evaluation.task_id}\0{created}".encode()).hexdigest()[:22],
            "created": created,
            "task": evaluation.task_name,
            "task_id": evaluation.task_id,
            "task_version": 0,
            "dataset": {
                "name": dataset.task_name,
                "samples": len(samples),
                "sample_ids": [sample["id"] for sample in samples],
                "shuffled": False,
            },
            "model": f"metier/{model}",
            "config": {},
            "packages": {"metier": __version__},
            "metadata": _metadata(evaluation, score),
        },
        "plan": {"name": "metier evaluate", "steps": [], "config": {}},
        "results": {
            "total_samples": len(samples),
            "completed_samples": len(samples),
            "scores": _results(evaluation, score, samples),
        },
        "stats": {"started_at": created, "completed_at": created, "model_usage": {}},
        "samples": samples,
    }


def _samples(evaluation: Evaluation, dataset: Dataset, candidate: str) -> list[Log]:
    inputs = dict(dataset.split("test").select("id", "input").iter_rows())
    rows = evaluation.answers.filter(
        (pl.col("candidate") == candidate)
        & (pl.col("split") == "test")
        & (pl.col("failure").is_null() | (pl.col("failure") != "not asked"))
    )
    return [_sample(row, str(inputs.get(row["id"], "")), evaluation.kind) for row in rows.iter_rows(named=True)]


def _sample(row: Mapping[str, Any], text: str, kind: OutputKind) -> Log:
    answer, failure = row["answer"], row["failure"]
    message = {"role": "assistant", "content": answer or "", "source": "generate"}
    output: Log = {
        "model": row["candidate"],
        "choices": [{"message": message, "stop_reason": _STOP_REASONS.get(failure, "unknown" if failure else "stop")}],
        "completion": answer or "",
    }
    if row["latency_s"] is not None:
        output["time"] = row["latency_s"]
    figures = {name: row[name] for name in ("score", "ood_score") if _known(row[name])}
    return {
        "id": row["id"],
        "epoch": 1,
        "input": text,
        "target": row["output"] or "",
        "messages": [{"role": "user", "content": text, "source": "input"}, message],
        "output": output,
        "scores": _scores(row, kind) if row["correct"] is not None else {},
        "metadata": figures | ({"failure": failure} if failure else {}),
    }


def _scores(row: Mapping[str, Any], kind: OutputKind) -> Log:
    failure = row["failure"]
    given = None if failure else row["answer"]
    scores: Log = {_SCORER: {"value": CORRECT if row["correct"] else INCORRECT, "answer": given}}
    if failure:
        scores[_SCORER]["explanation"] = f"no answer: {failure}"
    if kind is OutputKind.FIELDS:
        scores[_BESIDE[kind]] = {"value": _fields(given, row["output"]), "answer": given}
    if kind is OutputKind.TEXT:
        scores[_BESIDE[kind]] = {"value": rouge_l(given, row["output"]) if given else 0.0, "answer": given}
    return scores


def _fields(given: str | None, wanted: str) -> dict[str, float]:
    """1 for every field that is right after normalisation, else 0; all 0 for an answer that is no record."""
    truth = parse_record(wanted) or {}
    record = None if given is None else parse_record(given)
    names = dict.fromkeys([*truth, *(record or {})])
    return {name: float(record is not None and same_value(record.get(name), truth.get(name))) for name in names}


def _results(evaluation: Evaluation, score: CandidateScore, samples: list[Log]) -> list[Log]:
    n_scored = sum(bool(sample["scores"]) for sample in samples)
    main = {"accuracy": score.accuracy}
    beside: dict[str, Estimate] = {}
    if evaluation.kind is OutputKind.LABEL:
        main["macro_f1"] = score.macro_f1
    if score.records is not None:
        beside = {
            "micro_f1": score.records.micro_f1,
            "macro_f1": score.records.macro_f1,
            "ungrounded": score.records.ungrounded,
        } | {f"f1_{field.name}": field.f1 for field in score.records.fields}
    if score.texts is not None:
        beside = {
            "rouge_l": score.texts.rouge_l,
            "token_f1": score.texts.token_f1,
            "levenshtein": score.texts.levenshtein,
        }
    if score.writing is not None:
        beside |= {
            "valid": score.writing.valid,
            "degenerate": score.writing.degenerate,
            "cut_off": score.writing.cut_off,
            "too_long": score.writing.too_long,
            "never_stopped": score.writing.never_stopped,
        }
    unscored = len(samples) - n_scored
    found = [_result(_SCORER, main, n_scored, unscored)]
    return [*found, _result(_BESIDE[evaluation.kind], beside, n_scored, unscored)] if beside else found


def _result(name: str, estimates: Mapping[str, Estimate], n_scored: int, n_unscored: int) -> Log:
    metrics = {metric: _metric(metric, value) for metric, value in estimates.items() if value.scored}
    return {
        "name": name,
        "scorer": name,
        "scored_samples": n_scored,
        "unscored_samples": n_unscored,
        "params": {},
        "metrics": metrics,
    }


def _metric(name: str, value: Estimate) -> Log:
    return {"name": name, "value": value.value, "params": {}, "metadata": _interval(value)}


def _interval(value: Estimate) -> Log:
    bounds = {key: bound for key, bound in (("low", value.low), ("high", value.high)) if math.isfinite(bound)}
    return {**bounds, "n": value.n, "level": value.level, "method": value.method}


def _metadata(evaluation: Evaluation, score: CandidateScore) -> Log:
    return {
        "made_by": f"metier {__version__}",
        "role": score.role,
        "output_kind": evaluation.kind.value,
        "judged_against": evaluation.truth,
        "basis": evaluation.basis,
        "champion": evaluation.champion == score.name,
        "n_not_asked": score.n_not_asked,
        "failures": dict(score.failures),
        "latency_condition": score.latency.condition,
        "summary": evaluation.summary,
        "notes": list(evaluation.notes),
        "comparisons": [_comparison(item) for item in evaluation.comparisons if score.name in _sides(item)],
    }


def _sides(item: Comparison) -> tuple[str, str]:
    return item.specialist, item.generalist


def _comparison(item: Comparison) -> Log:
    return {
        "specialist": item.specialist,
        "generalist": item.generalist,
        "verdict": item.wording,
        "n": item.n,
        "margin": item.margin,
        "difference": ({"value": item.difference.value} | _interval(item.difference))
        if item.difference.scored
        else None,
        "items_to_settle": item.items_to_settle,
    }


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
