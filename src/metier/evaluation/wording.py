"""The evaluation in sentences: what was proven, what was not, and what a careful reader must know."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl

from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import PASSING_FAILURES, CandidateScore, Comparison, Verdict
from metier.artefacts.tasks import OutputKind
from metier.evaluation.answers import Job
from metier.evaluation.reference import Reference
from metier.evaluation.written import records
from metier.metrics.correctness import ACCEPTABLE_ROUGE_L
from metier.metrics.fields import Doubt, ungrounded_rate

# What "right" means where the answer is no label.
RIGHT = {
    OutputKind.FIELDS: "whole records right",
    OutputKind.TEXT: f"texts with ROUGE-L of {ACCEPTABLE_ROUGE_L:g} or more",
}
# Above this share of failed calls the comparison says more about the connection than about the model.
_MANY_FAILURES = 0.02
_ASK_AGAIN = " Where the connection is to blame, run evaluate again: answers already bought are kept."


def summary(
    reference: Reference,
    candidates: Sequence[CandidateScore],
    comparisons: Sequence[Comparison],
    champion: str | None,
    margin: float,
    kind: OutputKind = OutputKind.LABEL,
) -> str:
    """One short paragraph, verdict first."""
    parts = [_comparison_sentence(comparison, kind) for comparison in comparisons]
    if not comparisons:
        parts = [_alone_sentence(reference, candidates, kind)]
    return " ".join([*parts, champion_sentence(reference, comparisons, champion, candidates, margin)])


def champion_sentence(
    reference: Reference,
    comparisons: Sequence[Comparison],
    champion: str | None,
    candidates: Sequence[CandidateScore],
    margin: float,
) -> str:
    """Which specialist is the champion and by which rule."""
    n_specialists = sum(candidate.role == "specialist" for candidate in candidates)
    if not n_specialists:
        return "No specialist was evaluated, so there is no champion."
    if champion is None:
        return "No champion: no specialist has been shown to be good enough."
    if not comparisons and n_specialists == 1:
        return f"Champion: {champion}, the only specialist there is; nothing here says that it is good enough."
    if not comparisons:
        return (
            f"Champion: {champion}, the cheapest that is not worse than the most accurate specialist by {points(margin)} "
            "or more."
        )
    against = "agrees with the teacher within the margin" if reference.basis == "teacher" else "is proven non-inferior"
    return f"Champion: {champion}, the cheapest that {against}."


def notes_for(candidates: Sequence[CandidateScore], unseen: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Warnings about failures, items not asked, and labels nobody could learn."""
    notes = []
    for candidate in candidates:
        total = candidate.n + candidate.n_not_asked
        if candidate.n_not_asked:
            notes.append(
                f"{candidate.name} was not asked about {candidate.n_not_asked:,} of {total:,} items (budget reached or "
                "nothing recorded); it is compared on the others only."
            )
        if candidate.n and candidate.n_failed / candidate.n > _MANY_FAILURES:
            kinds = ", ".join(f"{kind} {n:,}" for kind, n in candidate.failures)
            notes.append(
                f"{candidate.name} failed on {candidate.n_failed:,} of {candidate.n:,} items ({kinds}); they count as "
                "wrong." + (_ASK_AGAIN if any(kind in PASSING_FAILURES for kind, _ in candidate.failures) else "")
            )
    if unseen:
        n = sum(count for _, count in unseen)
        named = ", ".join(f"{label!r} ({count})" for label, count in unseen[:5])
        more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
        notes.append(
            f"{n:,} test items have labels that never occur in training, so no specialist that answers with labels of "
            f"training is right on them: {named}{more}."
        )
    return tuple(notes)


def notes_on_truth(reference: Reference, job: Job) -> tuple[str, ...]:
    """What a reader must know of the truth itself, where records are judged: values that people took from elsewhere."""
    if job.kind is not OutputKind.FIELDS:
        return ()
    items = reference.items
    doubt = Doubt(items.select(pl.coalesce("group", "id"))["group"].to_list())
    found = ungrounded_rate(records(items["output"].to_list()), items["input"].to_list(), doubt, job.schema)
    if math.isnan(found.estimate) or found.estimate == 0:
        return ()
    return (
        f"{found.estimate:.1%} of the values in the expected records do not occur in their own input (written by people "
        "who read better than the text given here, or in error): no candidate that only copies can be right on them, and "
        "an ungrounded rate is to be read against this.",
    )


def points(share: float) -> str:
    """0.02 -> "2 points"."""
    return f"{100 * share:.3g} point{'' if round(100 * share, 6) == 1 else 's'}"


def percent(estimate: Estimate) -> str:
    """0.9632 [0.957, 0.968] -> "96.3% (95.7 to 96.8)"."""
    return f"{estimate.value:.1%} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _comparison_sentence(comparison: Comparison, kind: OutputKind) -> str:
    interval = comparison.difference
    of_what = f" in {RIGHT[kind]}" if kind in RIGHT else ""
    spread = f"{interval.level:.0%} interval {100 * interval.low:+.1f} to {100 * interval.high:+.1f}"
    if comparison.basis == "teacher":
        sentence = (
            f"{comparison.specialist}: {comparison.wording}; it gives the teacher's answer on {1 + interval.value:.1%} of "
            f"{comparison.n:,} items ({interval.level:.0%} interval {100 + 100 * interval.low:.1f} to "
            f"{100 + 100 * interval.high:.1f}), margin {points(comparison.margin)}"
        )
    else:
        sentence = (
            f"{comparison.specialist} against {comparison.generalist}: {comparison.wording}; difference{of_what} "
            f"{100 * interval.value:+.1f} points on {comparison.n:,} items ({spread}), margin {points(comparison.margin)}"
            + "".join(f"; {name} {_signed(difference)}" for name, difference in comparison.secondary)
        )
    if comparison.verdict is not Verdict.NOT_PROVEN:
        return sentence + "."
    if comparison.items_to_settle is None:
        return sentence + "; more items of this kind would not settle it."
    return sentence + f"; about {comparison.items_to_settle:,} items would settle it."


def _signed(difference: Estimate) -> str:
    """0.04 [0.01, 0.07] -> "+4.0 points (+1.0 to +7.0)"."""
    value, low, high = (100 * share for share in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"


def _alone_sentence(reference: Reference, candidates: Sequence[CandidateScore], kind: OutputKind) -> str:
    scores = [
        f"{candidate.name} {percent(candidate.accuracy)}"
        for candidate in candidates
        if candidate.role == "specialist" and candidate.accuracy.scored
    ]
    measured = "; ".join(scores) or "nothing"
    return (
        "There are no generalist's answers to compare with, so there is no verdict. "
        f"{RIGHT.get(kind, 'accuracy').capitalize()} on "
        f"{reference.items.height:,} test items (judged against: {reference.truth}): {measured}."
    )
