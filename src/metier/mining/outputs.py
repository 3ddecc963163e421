"""What a task's answers are: labels, objects with known keys, or text, and how well defined that makes the task."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import polars as pl

from metier.artefacts.tasks import Definedness, OutputKind
from metier.metrics.schemas import infer_schema
from metier.mining.answers import Form, seen_share
from metier.mining.assigning import Tally

# A task is of a kind when this share of its answers is: room for refusals and slips.
KIND_SHARE = 0.8
# Short answers of which fewer recur than this are names, dates or numbers taken from the input, not labels.
MIN_LABEL_SEEN = 0.5
# A schema that this share of the requests state is the task's own.
STATED_SHARE = 0.5
# Contradictions are judged on inputs that recur. Where next to none does, those that do are no fair sample: records from
# which duplicates were removed keep just the ones whose answers differ.
MIN_REPEATED = 50
MIN_REPEATED_SHARE = 0.02


@dataclass(frozen=True)
class Output:
    """`contradictory` is the share of calls, among those whose input recurs, that differ from their input's most common
    answer (0 where too few recur to tell); `n_answered` counts distinct inputs that have one."""

    kind: OutputKind
    labels: tuple[str, ...]
    output_schema: dict[str, Any] | None
    definedness: Definedness
    n_answered: int
    contradictory: float


def read_output(calls: pl.DataFrame, tally: Tally, is_open_ended: bool) -> Output:
    """The output of the calls (CALL_SCHEMA) of one task."""
    answered = calls.filter(pl.col("answer_key").is_not_null())
    pairs = answered.group_by("input_key", "answer_key").len()
    n_inputs = pairs["input_key"].n_unique()
    counts = pairs.group_by("answer_key").len()["len"]
    forms = dict(answered["form"].value_counts().iter_rows())
    n_wrapped = tally.wrappers.total()
    seen = seen_share(counts.to_list())
    is_page = 2 * int(calls["has_image"].sum()) >= calls.height
    kind = _kind_of(forms, n_wrapped, seen, is_open_ended, is_page)
    mean_length = int(answered["n_answer_chars"].sum()) / max(answered.height, 1)
    n_keys = len(tally.keys) or len(tally.wrappers)
    n_objects = forms.get(Form.OBJECT.value, 0) + n_wrapped
    share_object = n_objects / max(answered.height, 1)
    drawn = fmean(tally.drawn) if tally.drawn else 0.0
    labels = _labels_of(tally.labels) if kind is OutputKind.LABEL else ()
    has_schema = share_object >= KIND_SHARE and kind in (OutputKind.FIELDS, OutputKind.PAGE)
    schema = _schema_of(tally, calls.height) if has_schema else None
    score, detail = {
        OutputKind.LABEL: (seen, f"{len(labels)} labels; a new answer is one of them with probability {seen:.2f}"),
        OutputKind.FIELDS: (share_object, f"{share_object:.0%} of answers are JSON objects of {n_keys} known keys"),
        OutputKind.PAGE: (share_object, f"inputs are images; {share_object:.0%} of answers are JSON objects"),
        OutputKind.TEXT: (
            max(seen, drawn),
            f"free text; a new answer was seen before with probability {seen:.2f}, and {drawn:.0%} of its words stand in"
            " the input",
        ),
    }[kind]
    if answered.is_empty():
        score, detail = 0.0, "no answers recorded"
    definedness = Definedness(score, len(counts), mean_length, detail)
    return Output(kind, labels, schema, definedness, n_inputs, _contradictory(pairs))


def _schema_of(tally: Tally, n_calls: int) -> dict[str, Any]:
    """The JSON Schema that half of the calls state, else the one that the answers show."""
    if tally.stated:
        text, n = tally.stated.most_common(1)[0]
        if n >= STATED_SHARE * n_calls:
            return dict(json.loads(text))
    return infer_schema(tally.objects, tally.vouched)


def _kind_of(forms: dict[str, int], n_wrapped: int, seen: float, is_open_ended: bool, is_page: bool) -> OutputKind:
    n = max(sum(forms.values()), 1)
    if is_page:
        return OutputKind.PAGE
    if is_open_ended:
        return OutputKind.TEXT
    if forms.get(Form.SHORT.value, 0) >= KIND_SHARE * n and seen >= MIN_LABEL_SEEN:
        return OutputKind.LABEL
    n_objects = forms.get(Form.OBJECT.value, 0) + n_wrapped
    return OutputKind.FIELDS if n_objects >= KIND_SHARE * n else OutputKind.TEXT


def _labels_of(surfaces: Counter[str]) -> tuple[str, ...]:
    """One spelling a label (the most common one), most frequent label first; case and white space make no difference."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for surface, n in surfaces.items():
        spellings[" ".join(surface.casefold().split())][surface] += n
    ranked = sorted(spellings.values(), key=lambda counter: (-counter.total(), min(counter)))
    return tuple(min(counter, key=lambda surface: (-counter[surface], surface)) for counter in ranked)


def _contradictory(pairs: pl.DataFrame) -> float:
    per_input = pairs.group_by("input_key").agg(n=pl.col("len").sum(), most=pl.col("len").max())
    repeated = per_input.filter(pl.col("n") >= 2)
    total, agreeing = int(repeated["n"].sum()), int(repeated["most"].sum())
    enough = total >= max(MIN_REPEATED, MIN_REPEATED_SHARE * int(per_input["n"].sum()))
    return (total - agreeing) / total if enough else 0.0
