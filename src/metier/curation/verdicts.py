"""What each call's right answer is, who says so, and which calls have none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from metier.curation import labels, reasons


@dataclass(frozen=True)
class Labelled:
    """`rows` gained `output`, `recorded` (both in one spelling per class) and `reason` (null where the row is usable);
    `answer_key` is the JSON key under which the model gives its label, `n_merged` counts outputs that were respelled."""

    rows: pl.DataFrame
    answer_key: str | None
    n_merged: int
    merged: tuple[tuple[str, str], ...]


def label_rows(rows: pl.DataFrame, max_label_chars: int) -> Labelled:
    """Give every call its output: the correction where there is one, else the response, unless it was judged wrong."""
    said = pl.coalesce(pl.col("correction"), pl.col("response"))
    corrected = pl.col("correction").is_not_null()
    approved = pl.col("feedback") == "correct"
    rows = rows.with_columns(
        said=said,
        provenance=pl.when(corrected | approved.fill_null(False))
        .then(pl.when(pl.col("provenance") == "human").then(pl.lit("human")).otherwise(pl.lit("feedback")))
        .otherwise(pl.col("provenance").fill_null("teacher")),
        is_record=pl.col("dataset").is_not_null() & (pl.col("provenance") == "human"),
        disowned=(pl.col("feedback") == "wrong").fill_null(False) & ~corrected,
    )
    texts = pl.concat([rows["said"], rows["response"]]).unique().to_list()
    answers = {text: labels.read_answer(text, max_label_chars) for text in texts}
    spelled = _spellings(rows, answers)
    return Labelled(
        rows=_judge(rows, answers, spelled),
        answer_key=labels.usual_key(
            answers[text].key for text in rows.filter(~pl.col("is_record"))["response"] if answers[text].label
        ),
        n_merged=sum(spelled.get(label, label) != label for label in _labels(rows["said"], answers)),
        merged=tuple(sorted((old, new) for old, new in spelled.items() if old != new)),
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
        for is_record, text in zip(rows["is_record"], rows["response"], strict=True)
    ]
    reason = [answers[text].reason for text in rows["said"]]
    rows = rows.with_columns(
        output=pl.Series(output, dtype=pl.String),
        recorded=pl.Series(recorded, dtype=pl.String),
        unread=pl.Series(reason, dtype=pl.String),
    )
    stray = _stray(rows)
    return rows.with_columns(
        reason=pl.when(~pl.col("found")).then(pl.lit(reasons.NOT_IN_TRAFFIC))
        .when(pl.col("input").fill_null("") == "").then(pl.lit(reasons.EMPTY_INPUT))
        .when(pl.col("disowned")).then(pl.lit(reasons.WRONG_WITHOUT_CORRECTION))
        .when(pl.col("unread").is_not_null()).then(pl.col("unread"))
        .when(pl.col("output").is_in(stray) & (pl.col("provenance") == "teacher")).then(pl.lit(reasons.STRAY_OUTPUT))
    )  # fmt: skip


def _stray(rows: pl.DataFrame) -> list[str]:
    usable = rows.filter(~pl.col("disowned") & pl.col("output").is_not_null())
    by_teacher = pl.col("provenance") == "teacher"
    teacher = Counter(usable.filter(by_teacher)["output"].to_list())
    return sorted(labels.stray_labels(teacher, usable.filter(~by_teacher)["output"].unique().to_list()))
