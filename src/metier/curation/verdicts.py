"""What each call's right answer is, who says so, and which calls have none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from metier.artefacts.outcomes import CANCELLED, CUT_OFF, FAILED
from metier.curation import labels, reasons
from metier.curation.answered import frontier_answers
from metier.curation.forms import Answered

_REASON_OF_FAULT = {
    FAILED: reasons.FAILED_CALL,
    CANCELLED: reasons.CANCELLED_CALL,
    CUT_OFF: reasons.CUT_OFF_ANSWER,
}


@dataclass(frozen=True)
class Labelled:
    """`rows` gained `output`, `recorded` (both in one spelling per class) and `reason` (null where the row is usable);
    `answer_key` is the JSON key under which the model gives its label, `n_merged` counts outputs that were respelled,
    `answered` are the frontier model's answers, for their form; `notes` say what came from calls that specialists kept."""

    rows: pl.DataFrame
    answer_key: str | None
    n_merged: int
    merged: tuple[tuple[str, str], ...]
    answered: tuple[Answered, ...] = ()
    notes: tuple[str, ...] = ()


def label_rows(rows: pl.DataFrame, max_label_chars: int) -> Labelled:
    """Give every call its output: the correction where there is one, else the response, unless it was judged wrong.

    What a specialist answered is an output only where a person confirmed it; else the frontier model's answer to the same
    call (`reference`) is, and where nobody else answered, the call has none: a student must not learn from its own kind.
    """
    rows = _sources(rows)
    texts = pl.concat([rows["said"], rows["frontier"], rows["response"]]).unique().to_list()
    answers = {text: labels.read_answer(text, max_label_chars) for text in texts}
    spelled = _spellings(rows, answers)
    judged = _judge(rows, answers, spelled)
    return Labelled(
        rows=judged.drop("parameters", "reference", "frontier", "is_frontier", "is_kept", "disowns"),
        answer_key=labels.usual_key(
            answers[text].key for text in rows.filter(~pl.col("is_record"))["frontier"] if answers[text].label
        ),
        n_merged=sum(spelled.get(label, label) != label for label in _labels(rows["said"], answers)),
        merged=tuple(sorted((old, new) for old, new in spelled.items() if old != new)),
        answered=frontier_answers(rows, answers, spelled),
        notes=_kept_notes(judged),
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
        is_record=pl.col("dataset").is_not_null() & (given == "human"),
        disowned=wrong & ~corrected & ~pl.col("is_kept"),
        # A reference that says what was judged wrong is as wrong.
        disowns=pl.when(wrong & ~corrected & pl.col("is_kept")).then("response"),
    )


def _labels(texts: pl.Series, answers: dict[str | None, labels.Answer]) -> list[str]:
    return [label for text in texts if (label := answers[text].label) is not None]


def _spellings(rows: pl.DataFrame, answers: dict[str | None, labels.Answer]) -> dict[str, str]:
    return labels.merge_spellings(Counter(_labels(rows["said"], answers)))


def _judge(rows: pl.DataFrame, answers: dict[str | None, labels.Answer], spelled: dict[str, str]) -> pl.DataFrame:
    def respelled(text: str | None) -> str | None:
        label = answers[text].label
        return None if label is None else spelled.get(label, label)

    output = [respelled(text) for text in rows["said"]]
    # What was answered stays on record even where it is no label: against a label it is a wrong answer.
    recorded = [
        None if is_record or text is None else (respelled(text) or text.strip())
        for is_record, text in zip(rows["is_record"], rows["frontier"], strict=True)
    ]
    disowned = [
        is_disowned or (wrong is not None and (text is None or (label is not None and respelled(wrong) == label)))
        for is_disowned, wrong, text, label in zip(rows["disowned"], rows["disowns"], rows["said"], output, strict=True)
    ]
    reason = [answers[text].reason for text in rows["said"]]
    rows = rows.with_columns(
        output=pl.Series(output, dtype=pl.String),
        recorded=pl.Series(recorded, dtype=pl.String),
        unread=pl.Series(reason, dtype=pl.String),
        disowned=pl.Series(disowned, dtype=pl.Boolean),
    )
    unsaid = pl.col("said").is_null()
    stray = _stray(rows)
    return rows.with_columns(
        reason=pl.when(~pl.col("found")).then(pl.lit(reasons.NOT_IN_TRAFFIC))
        .when(pl.col("input").fill_null("") == "").then(pl.lit(reasons.EMPTY_INPUT))
        .when(pl.col("disowned")).then(pl.lit(reasons.WRONG_WITHOUT_CORRECTION))
        .when(unsaid & pl.col("is_kept")).then(pl.lit(reasons.UNJUDGED_SPECIALIST))
        .when(unsaid & pl.col("fault").is_not_null()).then(pl.col("fault").replace_strict(_REASON_OF_FAULT, default=None))
        .when(pl.col("unread").is_not_null()).then(pl.col("unread"))
        .when(pl.col("output").is_in(stray) & (pl.col("provenance") == "teacher")).then(pl.lit(reasons.STRAY_OUTPUT))
    )  # fmt: skip


def _stray(rows: pl.DataFrame) -> list[str]:
    usable = rows.filter(~pl.col("disowned") & pl.col("output").is_not_null())
    by_teacher = pl.col("provenance") == "teacher"
    teacher = Counter(usable.filter(by_teacher)["output"].to_list())
    return sorted(labels.stray_labels(teacher, usable.filter(~by_teacher)["output"].unique().to_list()))


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
