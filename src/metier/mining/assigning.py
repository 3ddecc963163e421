"""The second pass over the traffic: every call goes to a unit, with its input, its cost and what its answer looks like."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import polars as pl

from metier.artefacts.outcomes import read_outcomes
from metier.artefacts.traffic import Traffic
from metier.metrics.schemas import schema_fault, stated_schema
from metier.mining.answers import Answer, Form, arguments_of, drawn_share, parse_json, read_answer
from metier.mining.costs import COST_COLUMNS, Priced, add_costs
from metier.mining.matching import Matcher, build_matcher
from metier.mining.prompts import Prompt, input_key, read_prompt, text_key
from metier.mining.units import Grouping
from metier.progress import Progress

_COLUMNS = (
    "id", "messages", "parameters", "response", "feedback", "correction", "provenance", "dataset", "reference", "evidence",
    *COST_COLUMNS,
)  # fmt: skip
UNASSIGNED = -1
_IS_SPECIALIST = (pl.col("provenance") == "specialist").fill_null(False)
_MAX_DISTINCT = 50_000
_N_OBJECTS = 2_000
_N_TEXTS = 300

CALL_SCHEMA = pl.Schema(
    {
        "trace_id": pl.String(),
        "unit": pl.Int32(),
        "input": pl.String(),
        "input_key": pl.UInt64(),
        "answer_key": pl.UInt64(),
        "is_human": pl.Boolean(),
        "is_judged": pl.Boolean(),
        "has_image": pl.Boolean(),
        "n_answer_chars": pl.Int64(),
        "form": pl.String(),
        "time": pl.Float64(),
        "cost_usd": pl.Float64(),
        "cost_basis": pl.Int8(),
    }
)


@dataclass
class Tally:
    """What is counted of a unit's answers while streaming.

    `labels` counts surface forms, `wrappers` JSON keys around labels, `stated` the JSON Schemas (as text) that requests
    demand. `objects` holds the first JSON answers and `vouched` whether a person gave each, for the schema; `drawn` for the
    first texts the share of their words that stand in the input.
    """

    labels: Counter[str] = field(default_factory=Counter)
    wrappers: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    stated: Counter[str] = field(default_factory=Counter)
    objects: list[Any] = field(default_factory=list)
    vouched: list[bool] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)

    def add(self, answer: Answer, text: str, asked: str, *, is_human: bool) -> None:
        """Count the answer in `text`, given to the input `asked`."""
        if answer.form is Form.SHORT and (len(self.labels) < _MAX_DISTINCT or answer.value in self.labels):
            self.labels[answer.value] += 1
        if answer.wrapper:
            self.wrappers[answer.wrapper] += 1
        if answer.form is Form.OBJECT:
            self.keys.update(answer.keys)
        if (answer.wrapper or answer.form is Form.OBJECT) and len(self.objects) < _N_OBJECTS:
            self.objects.append(arguments_of(parse_json(text)))
            self.vouched.append(is_human)
        if answer.form is Form.LONG and len(self.drawn) < _N_TEXTS:
            self.drawn.append(drawn_share(text, asked))

    def merge(self, other: Tally) -> None:
        """Add what another tally holds."""
        for mine, theirs in (
            (self.labels, other.labels),
            (self.wrappers, other.wrappers),
            (self.keys, other.keys),
            (self.stated, other.stated),
        ):
            mine.update(theirs)
        self.objects.extend(other.objects)
        self.vouched.extend(other.vouched)
        self.drawn.extend(other.drawn)


def assign_calls(
    traffic: Traffic, grouping: Grouping, price_of: Callable[[str], Priced], progress: Progress
) -> tuple[pl.DataFrame, list[Tally]]:
    """One row a call (CALL_SCHEMA, in the traffic's order) and one tally a unit. Memory grows with the inputs only."""
    match = build_matcher(grouping.templates)
    tallies = [Tally() for _ in grouping.units]
    frames = [pl.DataFrame(schema=CALL_SCHEMA)]
    done = 0
    for batch in traffic.batches(_COLUMNS):
        frames.append(_assign_batch(batch, grouping, match, tallies, price_of))
        done += batch.height
        progress("Assigning calls", done, len(traffic))
    return pl.concat(frames, rechunk=False), tallies


def _assign_batch(
    batch: pl.DataFrame, grouping: Grouping, match: Matcher, tallies: list[Tally], price_of: Callable[[str], Priced]
) -> pl.DataFrame:
    prompts = [read_prompt(messages) for messages in batch["messages"]]
    batch = batch.hstack(read_outcomes(batch["evidence"]))
    texts = _right_answers(batch)
    answers = [read_answer(text) for text in texts]
    # A specialist's own answer teaches nothing, but it tells which job it did.
    told = [
        read_answer(response) if answer.form is Form.NONE else answer
        for answer, response in zip(answers, batch["response"], strict=True)
    ]
    units, inputs = _place(prompts, told, batch["dataset"].to_list(), grouping, match)
    stated = {parameters: _stated(parameters) for parameters in batch["parameters"].unique().to_list()}
    human = (pl.col("provenance") == "human").fill_null(False)
    confirmed = (_IS_SPECIALIST & (pl.col("feedback") == "correct")).fill_null(False)
    facts = batch.select(
        trace_id="id",
        is_human=((human | confirmed) & pl.col("response").is_not_null()) | pl.col("correction").is_not_null(),
        is_judged=pl.col("feedback").is_not_null(),
    )
    for unit, answer, text, asked, is_human, parameters in zip(
        units, answers, texts, inputs, facts["is_human"].to_list(), batch["parameters"], strict=True
    ):
        if unit != UNASSIGNED:
            tallies[unit].add(answer, text, asked, is_human=bool(is_human))
            if schema := stated[parameters]:
                tallies[unit].stated[schema] += 1
    costs = add_costs(batch, np.array([prompt.n_chars for prompt in prompts]), price_of)
    columns = {
        "unit": pl.Series(units, dtype=pl.Int32),
        "input": pl.Series(inputs, dtype=pl.String),
        "input_key": pl.Series([input_key(text) for text in inputs], dtype=pl.UInt64),
        "answer_key": pl.Series([_answer_key(a, t) for a, t in zip(answers, texts, strict=True)], dtype=pl.UInt64),
        "has_image": pl.Series([prompt.has_image for prompt in prompts], dtype=pl.Boolean),
        "n_answer_chars": pl.Series([len(text) for text in texts], dtype=pl.Int64),
        "form": pl.Series([answer.form.value for answer in answers], dtype=pl.String),
    }
    return pl.concat([facts, pl.DataFrame(columns), costs], how="horizontal").select(list(CALL_SCHEMA))


def _stated(parameters: str | None) -> str:
    """The JSON Schema that a request states, as text; "" where it states none that can be used."""
    schema = stated_schema(parameters)
    return "" if schema is None or schema_fault(schema) else json.dumps(schema, ensure_ascii=False)


def _right_answers(batch: pl.DataFrame) -> list[str]:
    """What is taken for each call's right answer: the correction, else a whole answer of the frontier model, which of a
    call that a specialist answered is the reference, unless a person confirmed the specialist's; "" where there is none."""
    own = ~_IS_SPECIALIST | (pl.col("feedback") == "correct").fill_null(False)
    whole = pl.when(pl.col("fault").is_null()).then("response")
    given = pl.when(own).then(whole).otherwise("reference")
    corrected = pl.when(pl.col("correction") != "").then("correction")
    return batch.select(pl.coalesce(corrected, given).fill_null("")).to_series().to_list()


def _answer_key(answer: Answer, text: str) -> int | None:
    """What makes two answers the same answer; None where there is none."""
    if answer.form is Form.NONE:
        return None
    if answer.form is Form.OBJECT:
        return text_key(orjson.dumps(parse_json(text), option=orjson.OPT_SORT_KEYS).decode())
    return text_key(answer.key if answer.form is Form.SHORT else " ".join(text.split()))


def _place(
    prompts: list[Prompt], answers: list[Answer], datasets: list[str | None], grouping: Grouping, match: Matcher
) -> tuple[list[int], list[str]]:
    """The unit and the input of each call; where answers do not tell, inputs judge."""
    catch_all = len(grouping.templates) - 1
    units, inputs = [UNASSIGNED] * len(prompts), [""] * len(prompts)
    untold: dict[int, list[int]] = {}
    for row, (prompt, answer, dataset) in enumerate(zip(prompts, answers, datasets, strict=True)):
        if dataset is not None:
            units[row], inputs[row] = grouping.unit_of_record(dataset, prompt), _last_user_text(prompt)
            continue
        if not prompt.n_chars and not prompt.has_image:
            continue
        template, text = match(prompt) or (catch_all, _last_user_text(prompt))
        part = grouping.parts[template].of(answer)
        inputs[row] = text
        if part is None:
            untold.setdefault(template, []).append(row)
        else:
            units[row] = grouping.places[template][part]
    for template, rows in untold.items():
        for row, part in zip(rows, grouping.parts[template].judge([inputs[row] for row in rows]), strict=True):
            units[row] = grouping.places[template][int(part)]
    return units, inputs


def _last_user_text(prompt: Prompt) -> str:
    said = [text for role, text in zip(prompt.roles, prompt.texts, strict=True) if role == "user"]
    return (said or list(prompt.texts) or [""])[-1].strip()
