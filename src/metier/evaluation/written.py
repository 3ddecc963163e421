"""Scores of answers that are written: records, texts, and how the writing itself went."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.evaluations import PASSING_FAILURES, FieldScore, RecordScore, TextScore, WritingScore
from metier.artefacts.tasks import OutputKind
from metier.evaluation.answers import CandidateAnswers
from metier.evaluation.comparing import estimate
from metier.metrics import fields
from metier.metrics.correctness import ACCEPTABLE_ROUGE_L
from metier.metrics.fields import Doubt, FieldCounts
from metier.metrics.generation import CUT_OFF, DEGENERATE, INVALID, TOO_LONG
from metier.metrics.records import parse_record
from metier.metrics.texts import levenshtein_ratio, rouge_l, token_f1
from metier.metrics.writing import exact_rate, mean_score
from metier.statistics.paired import paired_bootstrap

BoolArray = NDArray[np.bool_]
Record = Mapping[str, Any]

# Calls that brought back no writing at all: how writing goes is not judged by them.
_NOTHING_WRITTEN = PASSING_FAILURES | {"rejected", "not asked"}


def counted(answers: Sequence[str | None], outputs: Sequence[str], schema: Mapping[str, Any] | None) -> FieldCounts:
    """Records given (n,), None for failures, against those wanted (n,), field by field."""
    truth = records(outputs)
    return fields.count_fields(truth, given_records(answers), fields.field_names(truth, schema))


def score_records(
    answers: Sequence[str | None],
    outputs: Sequence[str],
    inputs: Sequence[str],
    schema: Mapping[str, Any] | None,
    doubt: Doubt,
) -> RecordScore:
    """Records against the truth, and against the inputs they were read from; all (n,), n >= 1."""
    counts = counted(answers, outputs, schema)
    return RecordScore(
        n=len(outputs),
        fields=tuple(_field(counts, place, doubt) for place in range(len(counts.names))),
        micro_f1=estimate(fields.micro_f1(counts, doubt)),
        macro_f1=estimate(fields.macro_f1(counts, doubt)),
        whole_record=estimate(fields.share(counts.whole, doubt)),
        ungrounded=estimate(fields.ungrounded_rate(given_records(answers), inputs, doubt, schema)),
    )


def score_texts(answers: Sequence[str | None], outputs: Sequence[str], doubt: Doubt) -> TextScore:
    """Texts against those wanted; (n,), n >= 1; a failed answer scores 0."""
    return TextScore(
        n=len(outputs),
        rouge_l=_mean(text_scores(answers, outputs, rouge_l), doubt),
        token_f1=_mean(text_scores(answers, outputs, token_f1), doubt),
        levenshtein=_mean(text_scores(answers, outputs, levenshtein_ratio), doubt),
        acceptable_from=ACCEPTABLE_ROUGE_L,
    )


def score_writing(
    one: CandidateAnswers, items: BoolArray, kind: OutputKind, groups: Sequence[str], level: float
) -> WritingScore:
    """How often the answers to `items` (n,) were valid, degenerate, cut off, either of these (never stopped) or had too
    long an input.

    Calls that brought nothing back (timeouts and the like) are left out. A text has no schema to be valid under.
    """
    written = items & np.array([failure not in _NOTHING_WRITTEN for failure in one.failures], dtype=np.bool_)
    failures = np.array([failure or "" for failure in one.failures], dtype=object)[written]
    units = np.array(groups, dtype=object)[written].tolist()

    def rate(hits: Any) -> Estimate:
        return estimate(exact_rate(np.asarray(hits, dtype=np.bool_), units, level))

    return WritingScore(
        n=int(written.sum()),
        valid=rate(~np.isin(failures, (INVALID, DEGENERATE, CUT_OFF, TOO_LONG, "empty", "refusal")))
        if kind is OutputKind.FIELDS
        else not_scored(int(written.sum())),
        degenerate=rate(failures == DEGENERATE),
        cut_off=rate(failures == CUT_OFF),
        too_long=rate(failures == TOO_LONG),
        never_stopped=rate(np.isin(failures, (DEGENERATE, CUT_OFF))),
    )


def secondary_difference(
    ours: Sequence[str | None],
    theirs: Sequence[str | None],
    outputs: Sequence[str],
    kind: OutputKind,
    schema: Mapping[str, Any] | None,
    doubt: Doubt,
) -> tuple[tuple[str, Estimate], ...]:
    """Paired differences of what accuracy does not see, on items (n,) that both answered: micro F1 of records, mean ROUGE-L
    of texts; none for labels."""
    if kind is OutputKind.FIELDS:
        sides = [counted(answers, outputs, schema) for answers in (ours, theirs)]
        return (("micro F1", estimate(fields.micro_f1_difference(sides[0], sides[1], doubt))),)
    if kind is OutputKind.TEXT:
        scores = [text_scores(answers, outputs, rouge_l) for answers in (ours, theirs)]
        found = paired_bootstrap(
            scores[0],
            scores[1],
            groups=doubt.groups,
            level=doubt.level,
            n_resamples=doubt.n_resamples,
            seed=doubt.seed,
        )
        return (("ROUGE-L", estimate(found)),)
    return ()


def text_scores(
    answers: Sequence[str | None], outputs: Sequence[str], score: Callable[[str, str], float]
) -> NDArray[np.float64]:
    """(n,) one score an answer, 0 where there is none."""
    return np.array(
        [0.0 if given is None else score(given, wanted) for given, wanted in zip(answers, outputs, strict=True)]
    )


def records(outputs: Sequence[str]) -> list[Record]:
    """The truth as records; an output that is none stands as an empty one."""
    return [parse_record(output) or {} for output in outputs]


def given_records(answers: Sequence[str | None]) -> list[Record | None]:
    """Answers as records, None for failures."""
    return [None if answer is None else parse_record(answer) for answer in answers]


def _field(counts: FieldCounts, place: int, doubt: Doubt) -> FieldScore:
    return FieldScore(
        name=counts.names[place],
        n=len(counts.right),
        n_present=int((counts.wanted[:, place] > 0).sum()),
        exact=estimate(fields.share(counts.exact[:, place], doubt)),
        normalised=estimate(fields.share(counts.same[:, place], doubt)),
        precision=estimate(fields.precision(counts, place, doubt)),
        recall=estimate(fields.recall(counts, place, doubt)),
        f1=estimate(fields.field_f1(counts, place, doubt)),
    )


def _mean(scores: NDArray[np.float64], doubt: Doubt) -> Estimate:
    found = mean_score(scores, doubt.groups, level=doubt.level, n_resamples=doubt.n_resamples, seed=doubt.seed)
    return estimate(found)
