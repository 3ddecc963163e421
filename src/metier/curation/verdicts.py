"""What each call's right answer is, who says so, and which calls have none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from metier.artefacts.outcomes import CANCELLED, CUT_OFF, FAILED
from metier.artefacts.tasks import Task
from metier.curation import reasons
from metier.curation.answered import frontier_answers
from metier.curation.forms import Answered
from metier.curation.kinds import Reading, read_outputs

_REASON_OF_FAULT = {
    FAILED: reasons.FAILED_CALL,
    CANCELLED: reasons.CANCELLED_CALL,
    CUT_OFF: reasons.CUT_OFF_ANSWER,
}


@dataclass(frozen=True)
class Labelled:
    """`rows` gained `output`, `recorded` (both in one form), `rationale` (what stands before a boxed label, null where
    nothing does) and `reason` (null where the row is usable); `answered` are the frontier model's answers, for their form.
    `answer_key`, `output_schema` and `notes` are the dataset's."""

    rows: pl.DataFrame
    answer_key: str | None
    output_schema: dict[str, Any] | None
    answered: tuple[Answered, ...] = ()
    notes: tuple[str, ...] = ()


def label_rows(rows: pl.DataFrame, task: Task, max_label_chars: int) -> Labelled:
    """Give every call its output: the correction where there is one, else the response, unless it was judged wrong.

    What a specialist answered is an output only where a person confirmed it; else the frontier model's answer to the same
    call (`reference`) is, and where nobody else answered, the call has none: a student must not learn from its own kind.
    Raises BadInput where the requests state a JSON Schema that is none.
    """
    rows = _sources(rows)
    reading = read_outputs(rows, task, max_label_chars)
    judged = _judge(rows, reading)
    return Labelled(
        rows=judged.drop("parameters", "reference", "frontier", "is_frontier", "is_kept", "disowns"),
        answer_key=reading.answer_key,
        output_schema=reading.output_schema,
        answered=frontier_answers(rows, reading),
        notes=(*reading.notes, *_kept_notes(judged)),
    )


def _sources(rows: pl.DataFrame) -> pl.DataFrame:
    """Where each call's labels come from.

    said is the text that the output is read from, frontier what the frontier model answered (`is_frontier`: it was that
    one), is_kept marks calls that a specialist answered, disowned those judged wrong with nothing put in the answer's
    place; disowns is the text of a specialist that was judged wrong. A specialist's own measurements are dropped.
    """
    given = pl.col("provenance").fill_null("teacher")
    rows = rows.with_columns(is_kept=given == "specialist")
    corrected = pl.col("correction").is_not_null()
    approved = (pl.col("feedback") == "correct").fill_null(False)
    wrong = (pl.col("feedback") == "wrong").fill_null(False)
    whole = pl.when(pl.col("fault").is_null()).then("response")
    frontier = pl.when("is_kept").then("reference").otherwise(whole)
    said = pl.when(pl.col("is_kept") & approved).then("response").otherwise(frontier)
    vouched = pl.when(given == "human").then(pl.lit("human")).otherwise(pl.lit("feedback"))
    measured = ("input_tokens", "output_tokens", "latency_s", "cost_usd")
    return rows.with_columns(
        *(pl.when(~pl.col("is_kept")).then(name).alias(name) for name in measured),
        said=pl.coalesce("correction", said),
        frontier=frontier,
        is_frontier=given.is_in(["teacher", "specialist"]),
        provenance=pl.when(corrected | approved).then(vouched).when("is_kept").then(pl.lit("teacher")).otherwise(given),
        is_record=pl.col("dataset").is_not_null() & given.is_in(["human", "simulator"]),
        disowned=wrong & ~corrected & ~pl.col("is_kept"),
        # A reference that says what was judged wrong is as wrong.
        disowns=pl.when(wrong & ~corrected & pl.col("is_kept")).then("response"),
    )


def _judge(rows: pl.DataFrame, reading: Reading) -> pl.DataFrame:
    output = [reading.output(text) for text in rows["said"]]
    # What was answered stays on record even where it is no output: against one it is a wrong answer.
    recorded = [
        None if is_record or text is None else (reading.output(text) or text.strip())
        for is_record, text in zip(rows["is_record"], rows["frontier"], strict=True)
    ]
    disowned = [
        is_disowned or (wrong is not None and (text is None or (found is not None and reading.output(wrong) == found)))
        for is_disowned, wrong, text, found in zip(rows["disowned"], rows["disowns"], rows["said"], output, strict=True)
    ]
    rows = rows.with_columns(
        output=pl.Series(output, dtype=pl.String),
        rationale=pl.Series([reading.answers[text].rationale for text in rows["said"]], dtype=pl.String),
        recorded=pl.Series(recorded, dtype=pl.String),
        unread=pl.Series([reading.answers[text].reason for text in rows["said"]], dtype=pl.String),
        disowned=pl.Series(disowned, dtype=pl.Boolean),
        refused=pl.Series([None if text is None else reading.refused.get(text) for text in output], dtype=pl.String),
    )
    unsaid = pl.col("said").is_null()
    return rows.with_columns(
        reason=pl.when(~pl.col("found")).then(pl.lit(reasons.NOT_IN_TRAFFIC))
        .when(pl.col("input").fill_null("") == "").then(pl.lit(reasons.EMPTY_INPUT))
        .when(pl.col("disowned")).then(pl.lit(reasons.WRONG_WITHOUT_CORRECTION))
        .when(unsaid & pl.col("is_kept")).then(pl.lit(reasons.UNJUDGED_SPECIALIST))
        .when(unsaid & pl.col("fault").is_not_null()).then(pl.col("fault").replace_strict(_REASON_OF_FAULT, default=None))
        .when(pl.col("unread").is_not_null()).then(pl.col("unread"))
        .when(pl.col("provenance") == "teacher").then(pl.col("refused"))
    ).drop("refused")  # fmt: skip


def _kept_notes(rows: pl.DataFrame) -> tuple[str, ...]:
    """What became of the calls that a specialist answered."""
    kept = rows.filter(pl.col("is_kept"))
    if kept.is_empty():
        return ()
    usable = kept.filter(pl.col("reason").is_null())
    n_people = int((usable["provenance"] != "teacher").sum())
    return (
        f"{kept.height:,} calls were answered by a specialist: {n_people:,} labels come from people's judgement of its"
        f" answer, {usable.height - n_people:,} from the frontier model's answer to the same call, and"
        f" {kept.height - usable.height:,} have none",
    )
