"""Artefacts of one task as the verbs leave them, at every degree of completeness; and a headless browser."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Contradiction, Dataset
from metier.artefacts.economics import Bill, CashMonth, CostLine, Economics, PriceDrop
from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.evaluations import (
    ANSWER_SCHEMA,
    CandidateScore,
    Comparison,
    Confusion,
    Evaluation,
    Latency,
    OodScore,
    Verdict,
)
from metier.artefacts.manifests import Manifest
from metier.artefacts.policies import Certificate, Policy, RiskPoint
from metier.artefacts.specialists import Card, CurvePoint, LanguageModel, LearningCurve, Specialist
from metier.artefacts.tasks import (
    Affinity,
    AuditVerdict,
    Definedness,
    OutputKind,
    Task,
    TaskAudit,
    Template,
    TemplateMessage,
)
from metier.evaluate import EvaluateSettings, evaluate
from metier.generalists import GeneralistAnswer, Question
from metier.pages.inputs import ReportInputs
from metier.progress import Progress, silent
from metier.students import STUDENTS, Answers

NAN, INF = math.nan, math.inf
TASK = {"task_id": "t-3f9a", "task_name": "intents"}
GENERALIST = "gpt-5-mini"
LABELS = ("balance", "card_declined", "exchange_rate", "pin_change", "transfer", "travel_alert")


def estimate(value: float, half: float, n: int, method: str = "wilson", level: float = 0.95) -> Estimate:
    return Estimate(value, value - half, value + half, n, level, method)


def make_dataset() -> Dataset:
    sizes = {"train": 1_800, "tune": 200, "calibration": 400, "test": 450, "ood": 100}
    rows = [
        {
            "id": f"{split}-{k}",
            "input": f"question {k} of {split}",
            "output": None if split == "ood" else LABELS[k % len(LABELS)],
            "provenance": "human" if k % 10 else "feedback",
            "group": f"{split}-g{k // 2}",
            "split": split,
        }
        for split, size in sizes.items()
        for k in range(size)
    ]
    removed = [
        {"id": f"r{k}", "input": "x", "output": "balance", "reason": reason, "kept_id": "train-1"}
        for k, reason in enumerate(["exact duplicate"] * 61 + ["near duplicate"] * 24 + ["empty input"] * 3)
    ]
    return Dataset(
        **TASK,
        kind=OutputKind.LABEL,
        classes=LABELS,
        split_rule="stratified by label, no group in two splits",
        ood_source="1,000 out-of-scope queries given by the user",
        contradictions=(
            Contradiction("move money please", (("transfer", 3), ("balance", 1)), "majority label kept"),
            Contradiction("is my card ok?", (("card_declined", 1), ("travel_alert", 1)), "both removed"),
        ),
        warnings=("Class travel_alert has only 12 test items; its own accuracy is uncertain.",),
        examples=pl.DataFrame(rows, schema=None, schema_overrides=dict(EXAMPLE_SCHEMA)).pipe(_complete, EXAMPLE_SCHEMA),
        removed=pl.DataFrame(removed, schema=dict(REMOVED_SCHEMA)),
    )


def _complete(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    missing = [pl.lit(None, dtype=kind).alias(name) for name, kind in schema.items() if name not in frame.columns]
    return frame.with_columns(missing).select(schema.names())


def make_audit() -> TaskAudit:
    messages = (TemplateMessage("system", ("Classify the customer's request.",)), TemplateMessage("user", ("", "")))
    task = Task(
        "t-3f9a", "intents", "Label of a banking request", (Template("p1", messages, 91_200),), OutputKind.LABEL, LABELS
    )
    return TaskAudit(
        task=task,
        n_calls=91_200,
        calls_per_month=100_000,
        cost_usd_month=4_930.0,
        bill_share=0.41,
        n_human_labels=2_950,
        n_teacher_labels=88_000,
        n_feedback=310,
        variability=0.93,
        definedness=Definedness(1.0, 6, 12.0, "closed set of 6 labels"),
        affinity=Affinity(estimate(1.86, 0.04, 2_000, "bootstrap"), 0.12),
        saving_usd_month=Estimate(3_610.0, 2_900.0, 4_100.0, 1_000, 0.9, "monte carlo"),
        verdict=AuditVerdict.SPECIALISE,
        reason="A closed label set, 91,200 calls that look alike, and a projected saving of $3,610 a month.",
    )


def make_specialist(student: str, accuracy: float) -> Specialist:
    errors = {"linear": (0.31, 0.22, 0.16, 0.12, 0.091), "encoder": (0.22, 0.13, 0.082, 0.055, 0.038)}[student]
    sizes = (110, 225, 450, 900, 1_800)
    scale, exponent = (4.1, 0.64) if student == "encoder" else (2.6, 0.45)
    needed = ((0.03 - 0.004) / scale) ** (-1 / exponent)
    targets = (
        (0.97, Estimate(needed, 0.8 * needed, 1.35 * needed, 5, 0.9, "bootstrap")),
        (0.999, Estimate(INF, 40_000.0, INF, 5, 0.9, "bootstrap")),
    )
    card = Card(
        student=student,
        **TASK,
        classes=LABELS,
        base_model="all-MiniLM-L6-v2" if student == "encoder" else "",
        licence="Apache-2.0",
        n_train=1_800,
        n_tune=200,
        precision="int8" if student == "encoder" else "float32",
        precision_reason="int8 costs 0.0 points on the tune split and is 2.1 times as fast"
        if student == "encoder"
        else "",
        size_bytes=24_000_000 if student == "encoder" else 3_400_000,
        train_wall_s=212.0 if student == "encoder" else 8.4,
        tune_accuracy=estimate(accuracy, 0.015, 200),
        versions={"torch": "2.13.0"},
    )
    curve = LearningCurve(
        tuple(CurvePoint(n, error, 200) for n, error in zip(sizes, errors, strict=True)),
        asymptote=0.004,
        scale=scale,
        exponent=exponent,
        targets=targets,
        note="The forecast for 97.0% lies beyond the largest size measured.",
    )
    return Specialist(card, curve, Path("weights"))


def make_candidates() -> tuple[CandidateScore, ...]:
    confusions = (
        Confusion("transfer", "balance", 11, 0.147),
        Confusion("travel_alert", "card_declined", 3, 0.25),
        Confusion("exchange_rate", "travel_alert", 2, 0.027),
    )

    def one(name: str, accuracy: float, p50: float, cost: float, ece: float) -> CandidateScore:
        ours = name != GENERALIST
        half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / 4_500)
        return CandidateScore(
            name=name,
            role="specialist" if ours else "generalist",
            n=4_500,
            n_failed=0 if ours else 21,
            n_not_asked=0,
            accuracy=estimate(accuracy, half, 4_500),
            macro_f1=estimate(accuracy - 0.003, half * 1.2, 4_500, "bootstrap"),
            latency=Latency(
                p50, p50 * 1.6, p50 * 2.9, 1_000, "one core, one answer at a time" if ours else "over the network"
            ),
            input_tokens_mean=NAN if ours else 212.0,
            output_tokens_mean=NAN if ours else 4.1,
            cost_usd_per_1000=cost,
            expected_calibration_error=ece,
            ood=OodScore(estimate(0.974, 0.006, 5_500, "bootstrap"), estimate(0.121, 0.02, 1_000), 4_500, 1_000)
            if ours
            else None,
            confusions=confusions,
            failures=() if ours else (("timeout", 14), ("outside label set", 7)),
        )

    return (
        one("encoder", 0.970, 0.0031, 0.002, 0.012),
        one("linear", 0.926, 0.00042, 0.001, 0.031),
        one(GENERALIST, 0.941, 0.62, 0.31, NAN),
    )


def make_comparisons() -> tuple[Comparison, ...]:
    return (
        Comparison(
            "encoder", GENERALIST, 4_500, 0.02, 0.05, estimate(0.029, 0.0085, 4_500, "newcombe"), 203, 72,
            2.1e-15, 1e-30, 2e-30, 4e-15, 1.0, Verdict.SUPERIOR, None,
        ),
        Comparison(
            "linear", GENERALIST, 4_500, 0.02, 0.05, estimate(-0.015, 0.0098, 4_500, "newcombe"), 160, 228,
            0.0007, 0.16, 0.16, 1.0, 0.24, Verdict.NOT_PROVEN, 21_400, "more items or a wider margin",
        ),
    )  # fmt: skip


def make_evaluation() -> Evaluation:
    return Evaluation(
        **TASK,
        truth="human",
        n_test=4_500,
        n_ood=1_000,
        candidates=make_candidates(),
        comparisons=make_comparisons(),
        champion="encoder",
        summary="encoder against gpt-5-mini: superior; difference +2.9 points on 4,500 items. Champion: encoder.",
        answers=pl.DataFrame(schema=ANSWER_SCHEMA),
        n_judged=4_500,
    )


def make_economics() -> Economics:
    frontier = Bill(
        "Frontier only",
        (
            CostLine("Input tokens", 2_500.0, 2_300.0, 2_700.0, False, "20,000 tokens a call at $1.25 per million"),
            CostLine("Output tokens", 800.0, 700.0, 900.0, False, "800 tokens a call at $10 per million"),
            CostLine("Infrastructure", 1_200.0, 1_000.0, 1_400.0, False, "stated"),
            CostLine("Buffer", 430.0, 300.0, 560.0, False, "stated"),
        ),
    )
    specialist = Bill(
        "Specialist, with what it escalates",
        (
            CostLine(
                "Training and labelling", 15_000.0, 12_000.0, 19_000.0, True, "2,950 labels at $4, 20 hours at $160"
            ),
            CostLine("Inference", 600.0, 500.0, 800.0, False, "2 machines of 2 cores, always on"),
            CostLine("Upkeep", 300.0, 200.0, 500.0, False, "retraining each quarter, evaluation"),
            CostLine("Escalated calls", 592.0, 520.0, 660.0, False, "12% of calls at the frontier's price"),
        ),
    )
    cash = tuple(
        CashMonth(
            m, 4_930.0 * m, 15_000 + 1_492.0 * m, 12_000 + 1_220.0 * m, 19_000 + 1_960.0 * m, 4_300.0 * m, 5_560.0 * m
        )
        for m in range(25)
    )
    return Economics(
        **TASK,
        calls_per_month=100_000,
        coverage=0.88,
        frontier_model=GENERALIST,
        frontier=frontier,
        specialist=specialist,
        saving_usd_month=Estimate(3_438.0, 2_700.0, 4_080.0, 2_000, 0.9, "monte carlo"),
        year_one_saving_share=Estimate(0.444, 0.31, 0.53, 2_000, 0.9, "monte carlo"),
        break_even_month=Estimate(4.36, 3.2, 6.4, 2_000, 0.9, "monte carlo"),
        break_even_calls_month=Estimate(41_000.0, 33_000.0, 55_000.0, 2_000, 0.9, "monte carlo"),
        share_never=0.004,
        cash=cash,
        price_drops=(
            PriceDrop(1.0, 3_438.0, 4.36, 0.0, 0.004),
            PriceDrop(0.5, 1_270.0, 11.8, 0.0, 0.06),
            PriceDrop(0.2, -30.0, INF, 0.0, 0.81),
            PriceDrop(1.0, 3_438.0, 4.9, 0.5, 0.12),
        ),
        n_draws=2_000,
        price_source="list prices of 2026-11-20",
        assumptions=(("labour, USD an hour", "160"), ("retraining", "every 3 months")),
        summary="At 100,000 calls a month the specialist saves $3,438 a month and has paid for itself in month 5.",
    )


def make_policy(n_points: int = 400) -> Policy:
    steps = [k / n_points for k in range(1, n_points + 1)]
    curve = tuple(
        RiskPoint(1 - share, share, 0.004 + 0.185 * max(0.0, share - 0.45) ** 2, int(share * 3_000)) for share in steps
    )
    certificate = Certificate(
        alpha=0.05,
        delta=0.05,
        n=3_000,
        n_kept=2_640,
        n_wrong=102,
        threshold=0.12,
        coverage=estimate(0.88, 0.012, 3_000),
        risk=estimate(0.0386, 0.007, 2_640),
        judged_against="labels given by people",
        valid_for="inputs drawn like the calibration items, this export of the encoder, this threshold",
    )
    return Policy(
        **TASK,
        student="encoder",
        specialist_id="9c1e44d0aa120f3b",
        certificate=certificate,
        ood_threshold=0.61,
        base_risk=estimate(0.083, 0.01, 3_000),
        min_escalated=0.035,
        labels_needed=None,
        reason="The lowest threshold that passed every test before it.",
        curve=curve,
    )


def make_lineage() -> tuple[Manifest, ...]:
    def one(kind: str, id_: str, **inputs: str) -> Manifest:
        return Manifest(
            kind, id_, f"recipe-{id_}", "intents", inputs, {"seed_split": 3, "margin": 0.02}, 0,
            {"metier": "0.1.0", "python": "3.11.9"}, "2026-11-21T22:40:00Z", {}, f"{kind} in a sentence",
        )  # fmt: skip

    return (
        one("audit", "0d71aa52f19c0001", traffic="77aa01"),
        one("dataset", "51fe09b2c7730002", audit="0d71aa52f19c0001"),
        one("specialist", "9c1e44d0aa120f3b", dataset="51fe09b2c7730002"),
        one("evaluation", "e2b7c3300f940004", dataset="51fe09b2c7730002", encoder="9c1e44d0aa120f3b"),
        one("policy", "a94410de71d20005", specialist="9c1e44d0aa120f3b", dataset="51fe09b2c7730002"),
        one("economics", "c0ffee12ab340006", evaluation="e2b7c3300f940004", policy="a94410de71d20005"),
    )


def make_full() -> ReportInputs:
    return ReportInputs(
        **TASK,
        lineage=make_lineage(),
        audit=make_audit(),
        dataset=make_dataset(),
        specialists=(make_specialist("encoder", 0.962), make_specialist("linear", 0.909)),
        evaluation=make_evaluation(),
        economics=make_economics(),
        policy=make_policy(),
    )


def make_alone() -> ReportInputs:
    """No generalist configured, nothing priced."""
    full = make_full()
    evaluation = make_evaluation()
    alone = dataclasses.replace(
        evaluation,
        candidates=tuple(c for c in evaluation.candidates if c.role == "specialist"),
        comparisons=(),
        summary="",
    )
    return dataclasses.replace(full, evaluation=alone, economics=None)


HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>alert(2)</script>",
    '" onmouseover="alert(3)" x="',
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(4)",
    "a\x00b\x1b[31mred\ud800\u202eevil",
    "</style><style>*{display:none}</style>",
    "]]></svg><script>alert(5)</script>",
    "[red]not markup[/red]",
)


def with_nan(value: object) -> object:
    """The same tree with every float not a number."""
    if isinstance(value, float):
        return NAN
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{f.name: with_nan(getattr(value, f.name)) for f in dataclasses.fields(value)}
        )
    if isinstance(value, tuple):
        return tuple(with_nan(item) for item in value)
    return value


def renamed(value: object, words: Callable[[], str]) -> object:
    """The same tree with every free text replaced."""
    if isinstance(value, str) and type(value) is str and value not in {"specialist", "generalist", "truth", "teacher"}:
        return words()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{f.name: renamed(getattr(value, f.name), words) for f in dataclasses.fields(value)}
        )
    if isinstance(value, tuple):
        return tuple(renamed(item, words) for item in value)
    if isinstance(value, dict):
        return {words(): renamed(item, words) for item in value.values()}
    return value


def make_hostile() -> ReportInputs:
    """Every piece of free text is an attack."""
    rng = random.Random(0)
    full = dataclasses.replace(make_full(), dataset=None)
    hostile = renamed(full, lambda: rng.choice(HOSTILE))
    dataset = make_dataset()
    examples = dataset.examples.with_columns(pl.lit(HOSTILE[0]).alias("provenance"), pl.lit(HOSTILE[1]).alias("output"))
    removed = dataset.removed.with_columns(pl.lit(HOSTILE[7]).alias("reason"))
    dataset = dataclasses.replace(
        dataset,
        examples=examples,
        removed=removed,
        classes=HOSTILE,
        warnings=HOSTILE,
        split_rule=HOSTILE[2],
        ood_source=HOSTILE[3],
    )
    assert isinstance(hostile, ReportInputs)
    return dataclasses.replace(hostile, dataset=dataset)


def make_worst() -> ReportInputs:
    """Nothing scored, no payback, 1,000 classes, labels without end."""
    full = make_full()
    labels = tuple(f"class_{k:04d}_" + "abcdefgh" * 60 for k in range(1_000))
    wild = with_nan(full.evaluation)
    assert isinstance(wild, Evaluation)
    assert full.dataset is not None
    assert full.economics is not None
    confusions = tuple(Confusion(labels[k], labels[-k - 1], 1, NAN) for k in range(900))
    candidates = tuple(
        dataclasses.replace(
            item, name=f"{item.name}-{'x' * 300}", confusions=confusions, accuracy=not_scored(), macro_f1=not_scored()
        )
        for item in wild.candidates
    )
    examples = full.dataset.examples.with_columns(
        pl.Series("output", [labels[k % 1_000] for k in range(full.dataset.examples.height)])
    )
    economics = dataclasses.replace(
        full.economics,
        break_even_month=Estimate(INF, 40.0, INF, 2_000, 0.9),
        break_even_calls_month=Estimate(INF, INF, INF, 2_000, 0.9),
        saving_usd_month=Estimate(-812.0, -2_400.0, 55.0, 2_000, 0.9),
        calls_per_month=NAN,
        share_never=0.97,
        cash=(),
        price_drops=(PriceDrop(0.5, NAN, INF),),
    )
    policy = dataclasses.replace(
        make_policy(0), certificate=None, labels_needed=1_250, reason="No threshold passes at 5%."
    )
    specialists = tuple(
        dataclasses.replace(
            item,
            card=dataclasses.replace(item.card, classes=labels, tune_accuracy=not_scored()),
            learning_curve=LearningCurve(
                (CurvePoint(0, NAN, 0), CurvePoint(10, NAN, 0)), NAN, NAN, NAN, ((0.9, not_scored()),), ""
            ),
        )
        for item in full.specialists
    )
    return ReportInputs(
        task_id="t",
        task_name="a task with a name that goes on and on " * 12,
        dataset=dataclasses.replace(full.dataset, classes=labels, examples=examples),
        specialists=specialists,
        evaluation=dataclasses.replace(wild, candidates=candidates, champion=None),
        economics=economics,
        policy=policy,
    )


def make_empty() -> ReportInputs:
    return ReportInputs(**TASK)


FIELDS_SCHEMA = {
    "type": "object",
    "properties": {
        "company": {"type": "string"},
        "date": {"type": "string"},
        "address": {"type": "string"},
        "total": {"type": "string"},
    },
    "required": ["company", "total"],
    "additionalProperties": False,
}


@dataclasses.dataclass(frozen=True)
class WrittenStudent:
    """A student that writes what a dictionary says: input -> (answer, failure)."""

    table: dict[str, tuple[str, str | None]]
    condition: str = "one answer at a time, two threads, loaded and warm, in this process"

    def load(self, folder: Path, threads: int = 1) -> WrittenStudent:
        return self

    def predict(self, inputs: Sequence[str]) -> Answers:
        rows = [self.table[text] for text in inputs]
        return Answers(
            np.array([row[0] for row in rows], dtype=object),
            np.array([0.0 if row[1] else 0.9 for row in rows]),
            np.zeros(len(rows)),
            np.zeros((len(rows), 0), dtype=np.float32),
            tuple(row[1] for row in rows),
            np.full(len(rows), 320),
            np.full(len(rows), 58),
        )


@dataclasses.dataclass(frozen=True)
class WrittenGeneralist:
    """A generalist that writes what a dictionary says: input -> answer."""

    table: dict[str, str]
    name: str = "qwen2.5-coder-1.5b-instruct, 3 examples"
    model: str = ""
    condition: str = "local, two threads"
    caveat: str = "A small local model stands in for the frontier model."

    def answer(self, questions: Sequence[Question], *, progress: Progress = silent) -> list[GeneralistAnswer]:
        return [GeneralistAnswer(one.id, self.table[one.input], None, 611, 60, 4.2, 0.0) for one in questions]


def receipt(k: int) -> tuple[str, dict[str, str]]:
    """A receipt's text, and the record that people read off it."""
    company, total = f"KEDAI BUKU {'ABCDEFGH'[k % 8]} SDN BHD", f"{k + 3}.{k % 10}0"
    date, address = f"{13 + k % 15}/0{1 + k % 9}/2018", f"NO {k + 1}, JALAN SAGU {k % 7}, 81100 JOHOR BAHRU"
    items = "\n".join(f"{n} PC * 1.00 SCHOOL NOTEBOOK {n}" for n in range(1, 30 if k == 0 else 4))
    text = f"{company}\n{address.replace(', ', chr(10))}\nDATE: {date} 8:13 PM\n{items}\nTOTAL RM {total}\nTHANK YOU"
    return text, {"company": company, "date": date, "address": address, "total": total}


def written_dataset(kind: OutputKind, pairs: Sequence[tuple[str, str]]) -> Dataset:
    rows = [
        {
            "id": f"test-{k}",
            "input": text,
            "output": output,
            "provenance": "human",
            "group": f"g{k // 2}",
            "split": "test",
        }
        for k, (text, output) in enumerate(pairs)
    ]
    return Dataset(
        **TASK,
        kind=kind,
        classes=(),
        split_rule="by group (near duplicates)",
        ood_source="",
        contradictions=(),
        warnings=(),
        examples=_complete(pl.DataFrame(rows), EXAMPLE_SCHEMA),
        removed=pl.DataFrame(schema=REMOVED_SCHEMA),
        output_schema=FIELDS_SCHEMA if kind is OutputKind.FIELDS else None,
    )


def written_specialist(kind: OutputKind) -> Specialist:
    card = Card(
        student="lm",
        **TASK,
        classes=(),
        base_model="gemma3-270m",
        licence="Gemma Terms of Use",
        n_train=400,
        n_tune=63,
        precision="Q4_0",
        precision_reason="within the margin of the model it was exported from",
        size_bytes=84_000_000,
        train_wall_s=1_480.0,
        tune_accuracy=estimate(0.73, 0.11, 63),
        versions={"torch": "2.13.0"},
        kind=kind,
        language_model=LanguageModel(
            base_sha256="9f2c" * 16,
            conditions="use is restricted as said at https://ai.google.dev/gemma/terms",
            vocabulary="trim: tokens that the training texts need, and every byte",
            n_vocabulary_base=262_144,
            n_vocabulary=9_120,
            n_parameters_base=268_098_176,
            n_parameters=106_163_000,
            prompt_tokens_saved=143.0,
            baking="no loss on the tune split without the instructions (0.41 against 0.42 nats)",
            method="full, bf16, 3 epochs, best after 2",
            examples_per_s=1.9,
            tokens_per_s=702.0,
            peak_memory_bytes=4_100_000_000,
            builds=(("q8_0", 143_000_000), ("q4_0", 84_000_000)),
            served="q4_0",
            parity="62 of 63 answers on tune are those of the trained model; records right 73.0% against 74.6%",
            preference="one pass over 41 pairs; kept, the tune split improved by 1.6 points",
        ),
    )
    return Specialist(card, None, Path("weights"))


def written_inputs(kind: OutputKind, pairs: Sequence[tuple[str, str]], ours: list, theirs: list[str]) -> ReportInputs:
    """A report on answers that were evaluated in earnest."""
    dataset, specialist = written_dataset(kind, pairs), written_specialist(kind)
    texts = [text for text, _ in pairs]
    registered = STUDENTS.get("lm")
    STUDENTS["lm"] = WrittenStudent(dict(zip(texts, ours, strict=True)))  # type: ignore[assignment]
    try:
        found = evaluate(
            (specialist,),
            WrittenGeneralist(dict(zip(texts, theirs, strict=True))),
            dataset,
            EvaluateSettings(n_resamples=200, n_latency=12),
        )
    finally:
        if registered is None:
            del STUDENTS["lm"]
        else:
            STUDENTS["lm"] = registered
    return ReportInputs(**TASK, dataset=dataset, specialists=(specialist,), evaluation=found)


@cache
def make_fields() -> ReportInputs:
    """Records: some fields wrong, one answer degenerate, one cut off; the other side invents and breaks the schema."""
    receipts = [receipt(k) for k in range(40)]
    ours: list[tuple[str, str | None]] = []
    theirs = []
    for k, (_, record) in enumerate(receipts):
        answer = dict(record)
        if k % 9 == 0:
            answer["address"] = answer["address"].replace("JALAN", "JLN")
        ours.append((json.dumps(answer), None))
        other = {**record, **({"company": "BOOKSHOP"} if k % 3 == 0 else {}), "date": record["date"].replace("/", "-")}
        theirs.append(json.dumps(other) if k % 8 else "Sure! Here is the record you asked for.")
    ours[5] = ('{"company": "KEDAI KEDAI KEDAI KEDAI KEDAI KEDAI KEDAI KEDAI KEDAI KEDAI KEDAI', "degenerate")
    ours[11] = ('{"company": "KEDAI BUKU D SDN BHD", "date": "24/0', "cut off")
    pairs = [(text, json.dumps(record)) for text, record in receipts]
    return written_inputs(OutputKind.FIELDS, pairs, ours, theirs)


@cache
def make_text() -> ReportInputs:
    """Summaries, some near the expected one and some not."""
    expected = [f"The patient has had a cough for {k + 2} days, and no fever." for k in range(30)]
    pairs = [(f"Doctor: How long? Patient: {k + 2} days of cough. No fever.", text) for k, text in enumerate(expected)]
    ours = [
        (text if k % 4 else f"Cough, {k + 2} days." if k else "", None if k else "too long")
        for k, text in enumerate(expected)
    ]
    theirs = [f"Patient reports cough since {k + 2} days without fever." for k in range(30)]
    return written_inputs(OutputKind.TEXT, pairs, ours, theirs)


CASES: dict[str, Callable[[], ReportInputs]] = {
    "full": make_full,
    "alone": make_alone,
    "empty": make_empty,
    "worst": make_worst,
    "hostile": make_hostile,
    "fields": make_fields,
    "text": make_text,
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, ReportInputs]:
    """Each of the inputs in turn, with its name."""
    return request.param, CASES[request.param]()


@pytest.fixture
def full() -> ReportInputs:
    return make_full()


@pytest.fixture
def cases() -> dict[str, Callable[[], ReportInputs]]:
    return CASES
