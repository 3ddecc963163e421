"""What lm_sroie.py shows: the figures of a project's artefacts, beside what was to be reached."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from lm_project import Found, Stage, plain
from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import CandidateScore, Comparison, Evaluation, Latency, Verdict
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Card
from metier.evaluate import EvaluateSettings
from metier.evaluation.comparing import Rules, compare_with_generalist

STUDENT = "lm"
_SETTINGS = EvaluateSettings()
_RULES = Rules(_SETTINGS.margin, _SETTINGS.alpha, _SETTINGS.power, _SETTINGS.level)
_GIB = 2**30
# From the data to the report; the generalist's own time stands apart.
STAGES = ("data", "import", "audit", "curate", "train", "evaluate", "calibrate", "price", "report")
LEAST_F1, AIM_F1, LEAST_WHOLE, MOST_UNGROUNDED = 0.90, 0.95, 0.70, 0.02
MOST_P, LEAST_RATIO, ALPHA, MOST_WALL_S, MOST_MEMORY = 0.01, 5.0, 0.05, 45 * 60.0, 5 * _GIB


@dataclass(frozen=True)
class Target:
    """What was measured against what was to be reached; `reached` None where it was not measured."""

    what: str
    figure: str
    reach: str
    reached: bool | None


@dataclass(frozen=True)
class Beside:
    """The generalist asked in another way, on the same receipts, and the specialist paired with it."""

    score: CandidateScore
    comparison: Comparison


def beside(found: Found, asked: Evaluation) -> Beside:
    """The specialist's answers of the project paired with those of an evaluation of the generalist alone."""
    score = asked.candidates[0]
    dataset = found.inputs.dataset
    assert dataset is not None, "it was evaluated"
    test = pl.col("split") == "test"
    ours = found.evaluation.answers.filter(test & (pl.col("candidate") == STUDENT)).select("id", ours="correct")
    theirs = asked.answers.filter(test & (pl.col("candidate") == score.name)).select("id", theirs="correct")
    both = dataset.split("test").select("id", "group").join(ours, on="id").join(theirs, on="id").drop_nulls()
    (comparison,) = compare_with_generalist(
        {STUDENT: both["ours"].to_numpy()}, score.name, both["theirs"].to_numpy(), both["group"].to_list(), _RULES
    )
    return Beside(score, comparison)


def figures(found: Found, shots: Beside | None = None) -> dict[str, Any]:
    """Everything as plain JSON (NaN as null); `shots` is the generalist with three worked examples."""
    _, theirs, _ = sides(found.evaluation)
    return {
        **plain(found),
        "three_examples": shots and TypeAdapter(Beside).dump_python(shots, mode="json"),
        "data_to_report_s": total_s(found.stages),
        "generalist_s": asked_s(found.evaluation, theirs),
        "targets": [asdict(target) for target in targets(found, shots)],
    }


def sides(evaluation: Evaluation) -> tuple[CandidateScore, CandidateScore | None, Comparison | None]:
    """The specialist, the generalist where there was one, and how they compare."""
    ours = next((one for one in evaluation.candidates if one.name == STUDENT), None)
    if ours is None:
        raise SystemExit("the newest evaluation has no specialist 'lm' in it")
    theirs = next((one for one in evaluation.candidates if one.role == "generalist"), None)
    comparison = next((one for one in evaluation.comparisons if one.specialist == STUDENT), None)
    return ours, theirs, comparison


def total_s(stages: Sequence[Stage]) -> float | None:
    """Seconds from the data to the report; None where a stage was not timed."""
    by_name = {stage.name: stage.wall_s for stage in stages}
    return sum(by_name[name] for name in STAGES) if all(name in by_name for name in STAGES) else None


def asked_s(evaluation: Evaluation, theirs: CandidateScore | None) -> float | None:
    """Seconds that the generalist took for all its answers; None where it was not timed."""
    if theirs is None:
        return None
    taken = evaluation.answers.filter(pl.col("candidate") == theirs.name)["latency_s"]
    timed = taken.drop_nulls().drop_nans()
    return float(timed.sum()) if len(timed) else None


def targets(found: Found, shots: Beside | None = None) -> list[Target]:
    """Every target with what was measured; judged by the figure itself, whatever its interval."""
    ours, theirs, comparison = sides(found.evaluation)
    return [
        *_answers(ours),
        _superior("against the 1.5B generalist, whole records, paired", comparison),
        *([_superior("the same, the generalist with three worked examples", shots.comparison)] if shots else []),
        _faster(ours, theirs),
        _certificate(found.inputs.policy),
        *_costs(found),
    ]


def _answers(ours: CandidateScore) -> Iterator[Target]:
    records, writing = ours.records, ours.writing
    assert records is not None, "the task's output is fields"
    assert writing is not None, "a language model writes"
    f1, whole = records.micro_f1, records.whole_record
    yield Target("field F1 after normalisation, micro", shown(f1), f"≥ {LEAST_F1:.2f}", f1.value >= LEAST_F1)
    yield Target("the same, what was aimed at", shown(f1), f"≥ {AIM_F1:.2f}", f1.value >= AIM_F1)
    yield Target("whole records right", shown(whole), f"≥ {LEAST_WHOLE:.2f}", whole.value >= LEAST_WHOLE)
    yield Target("valid under the schema", shown(writing.valid), "100%", writing.valid.value == 1)
    made_up = records.ungrounded
    known = None if math.isnan(made_up.value) else made_up.value <= MOST_UNGROUNDED
    yield Target("values that are not in the receipt", shown(made_up), f"≤ {MOST_UNGROUNDED:.0%}", known)
    n_stuck = round(writing.degenerate.value * writing.n)
    yield Target(
        "degenerate answers", f"{n_stuck} of {writing.n} (at most {writing.degenerate.high:.1%})", "0", n_stuck == 0
    )


def _superior(what: str, comparison: Comparison | None) -> Target:
    reach = f"superior, p < {MOST_P}"
    if comparison is None:
        return Target(what, "no generalist at hand", reach, None)
    p, p_no_worse = comparison.p_superior_holm, comparison.p_non_inferior_holm
    figure = (
        f"{comparison.wording}, {points(comparison.difference)}, p = {p:.2g} (non-inferior: {p_no_worse:.2g}), "
        f"n = {comparison.n}"
    )
    return Target(what, figure, reach, comparison.verdict is Verdict.SUPERIOR and p < MOST_P)


def _faster(ours: CandidateScore, theirs: CandidateScore | None) -> Target:
    what, reach = "latency p50 against the generalist's", f"≥ {LEAST_RATIO:g}× lower"
    ratio = theirs.latency.p50_s / ours.latency.p50_s if theirs else math.nan
    if theirs is None or math.isnan(ratio):
        return Target(what, "no generalist at hand" if theirs is None else "no latency of both sides", reach, None)
    figure = f"{ratio:.1f}× lower (p95 {theirs.latency.p95_s / ours.latency.p95_s:.1f}×)"
    return Target(what, figure, reach, ratio >= LEAST_RATIO)


def _certificate(policy: Policy | None) -> Target:
    what, reach = f"certificate at α = {ALPHA}", "given, or the labels that it needs"
    if policy is None:
        return Target(what, "not calibrated", reach, None)
    given = policy.certificate
    if given is None:
        needs = f"needs {policy.labels_needed:,} more labels" if policy.labels_needed else "none"
        return Target(what, f"{needs} ({policy.reason})", reach, bool(policy.labels_needed))
    figure = (
        f"given, n = {given.n}: of the answers kept at most {given.alpha:.0%} are wrong with confidence "
        f"{1 - given.delta:.0%}; kept {shown(given.coverage)}, wrong {given.n_wrong} of {given.n_kept}"
    )
    return Target(what, figure, reach, given.alpha == ALPHA)


def _costs(found: Found) -> Iterator[Target]:
    model = found.cards[STUDENT].language_model
    assert model is not None, "the student is a language model"
    process = found.stage("train")
    most = max(model.peak_memory_bytes, process.peak_bytes if process else 0)
    figure = f"{most / _GIB:.2f} GiB"
    if process is not None:
        figure += f", the whole process of `metier train`; while tuning {model.peak_memory_bytes / _GIB:.2f} GiB"
    yield Target("peak memory", figure, f"≤ {MOST_MEMORY / _GIB:g} GiB", most <= MOST_MEMORY)
    taken = total_s(found.stages)
    figure = "not timed" if taken is None else f"{taken / 60:.1f} min"
    reached = None if taken is None else taken <= MOST_WALL_S
    yield Target("from the data to the report", figure, f"≤ {MOST_WALL_S / 60:.0f} min", reached)


def page(found: Found, shots: Beside | None = None) -> str:
    """The Markdown of docs/benchmarks.md; `shots` is the generalist with three worked examples."""
    ours, theirs, _ = sides(found.evaluation)
    card = found.cards[STUDENT]
    parts = [
        _opening(found, card),
        "\n".join(_target_rows(targets(found, shots))),
        "Reached and missed go by the figure itself; intervals: 95%, bootstrap over companies for F1.",
        "\n".join(_side_rows(ours, theirs, shots)),
        "\n".join(_field_rows(ours, theirs)),
        "\n".join(_card_lines(card)),
        _latency_line(ours, theirs),
        "\n".join(_stage_rows(found, theirs)),
    ]
    return "\n\n".join(part for part in parts if part)


def _opening(found: Found, card: Card) -> str:
    dataset = found.inputs.dataset
    sizes = dict(dataset.examples["split"].value_counts().rows()) if dataset else {}
    splits = ", ".join(f"{name} {sizes.get(name, 0)}" for name in ("train", "tune", "calibration", "test"))
    return (
        f"{card.base_model}, {card.train_wall_s / 60:.1f} min of training, then answered by its build {card.precision}, on "
        f"SROIE's receipts ({splits}; no company in two splits). One run. {found.evaluation.summary}"
    )


def _target_rows(all_targets: Sequence[Target]) -> Iterator[str]:
    yield "| what | measured | to reach | |"
    yield "|---|---|---|---|"
    for one in all_targets:
        verdict = "not measured" if one.reached is None else "reached" if one.reached else "missed"
        yield f"| {one.what} | {_cell(one.figure)} | {one.reach} | {verdict} |"


def _side_rows(ours: CandidateScore, theirs: CandidateScore | None, shots: Beside | None) -> Iterator[str]:
    yield (
        "| candidate | n | failed | micro F1 | macro F1 | whole record | valid | ungrounded | degenerate | cut off "
        "| too long | latency p50 s | p95 s | input tokens | output tokens |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    others = [(theirs, ""), (shots.score if shots else None, ", three worked examples")]
    for one, how in [(ours, ""), *others]:
        if one is None or one.records is None or one.writing is None:
            continue
        records, writing = one.records, one.writing
        counts = [
            f"{round(share.value * writing.n)} of {writing.n}"
            for share in (writing.degenerate, writing.cut_off, writing.too_long)
        ]
        cells = [
            (one.model or one.name) + how, str(one.n), str(one.n_failed), shown(records.micro_f1), shown(records.macro_f1),
            shown(records.whole_record), shown(writing.valid), shown(records.ungrounded), *counts,
            seconds(one.latency.p50_s), seconds(one.latency.p95_s), tokens(one.input_tokens_mean),
            tokens(one.output_tokens_mean),
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def _field_rows(ours: CandidateScore, theirs: CandidateScore | None) -> Iterator[str]:
    yield "| field | F1, specialist | exact, character for character | F1, generalist |"
    yield "|---|---|---|---|"
    assert ours.records is not None
    for place, field in enumerate(ours.records.fields):
        other = shown(theirs.records.fields[place].f1) if theirs and theirs.records else "–"
        yield f"| {field.name} | {shown(field.f1)} | {shown(field.exact)} | {other} |"


def _card_lines(card: Card) -> Iterator[str]:
    model = card.language_model
    assert model is not None
    yield (
        f"- Vocabulary: {model.n_vocabulary_base:,} tokens before, {model.n_vocabulary:,} after; parameters "
        f"{model.n_parameters_base / 1e6:.1f} M before, {model.n_parameters / 1e6:.1f} M after ({model.vocabulary})."
    )
    yield f"- Prompt: {tokens(model.prompt_tokens_saved)} tokens saved a call ({model.baking})."
    yield (
        f"- Tuning: {model.method}, {model.examples_per_s:.2f} examples/s, {model.tokens_per_s:,.0f} tokens/s. "
        f"Preference pass: {model.preference or 'none'}."
    )
    yield f"- Refit: {model.refit or 'none'}"
    sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in model.builds)
    yield f"- Builds: {sizes}. Served: {model.served}. Parity: {model.parity}."
    yield from (f"- {note}" for note in card.notes)


def _latency_line(ours: CandidateScore, theirs: CandidateScore | None) -> str:
    both = [("specialist", ours.latency), *([("generalist", theirs.latency)] if theirs else [])]
    return "Latency. " + " ".join(f"The {name}'s: {_condition(latency)}." for name, latency in both)


def _condition(latency: Latency) -> str:
    return f"n = {latency.n}, {latency.condition or 'conditions not stated'}"


def _stage_rows(found: Found, theirs: CandidateScore | None) -> Iterator[str]:
    if not found.stages:
        yield "The stages were not timed: this project was not run by this benchmark."
        return
    yield "| stage | wall s | peak memory MiB |"
    yield "|---|---|---|"
    for stage in found.stages:
        again = f" (the last of {stage.n_started} starts)" if stage.n_started > 1 else ""
        yield f"| {stage.name} | {stage.wall_s:,.1f}{again} | {stage.peak_bytes / 2**20:,.0f} |"
    taken, asked = total_s(found.stages), asked_s(found.evaluation, theirs)
    if taken is not None:
        yield f"| all, from the data to the report | {taken:,.1f} | |"
    if asked is not None:
        yield f"| apart: the generalist's answers, asked once and kept | {asked:,.1f} | |"
    commits = list(dict.fromkeys(stage.commit for stage in found.stages))
    yield f"\nThe stages ran at {', then '.join(commits)}."


def shown(estimate: Estimate) -> str:
    """A share with its interval."""
    if math.isnan(estimate.value):
        return "not scored"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def points(estimate: Estimate) -> str:
    """A difference of shares with its interval, in points."""
    return f"{estimate.value * 100:+.1f} points ({estimate.low * 100:+.1f} to {estimate.high * 100:+.1f})"


def seconds(value: float) -> str:
    """Seconds; a dash where they were not measured."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def tokens(value: float) -> str:
    """A mean number of tokens; a dash where it was not measured."""
    return "–" if math.isnan(value) else f"{value:,.0f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
