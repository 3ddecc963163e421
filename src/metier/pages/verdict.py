"""The one sentence on top: what to do, with the figures that decide it. Says no more than was shown."""

from __future__ import annotations

import math

from metier.artefacts.economics import Economics
from metier.artefacts.evaluations import CandidateScore, Comparison, Evaluation, Verdict
from metier.artefacts.policies import Policy
from metier.artefacts.tasks import OutputKind
from metier.pages import figures, words
from metier.pages.content import Headline, Outcome, Quality
from metier.pages.inputs import ReportInputs
from metier.pages.text import as_sentence, clip

_AS_GOOD = (Verdict.NON_INFERIOR, Verdict.SUPERIOR)
_NAME_CHARS = 60
# Where most of the simulated futures never pay back, "pays back in month N" would be a hope, not a finding.
_MOST = 0.5


def headline(inputs: ReportInputs) -> Headline:
    """The verdict over everything that is known of a task."""
    evaluation = inputs.evaluation
    if evaluation is None or not _specialists(evaluation):
        return _not_evaluated(inputs)
    notes = _notes(inputs, evaluation)
    against = comparisons(evaluation)
    if not against:
        return Headline(Outcome.NO_COMPARISON, _no_comparison(inputs, evaluation), notes)
    proven = champion_comparison(evaluation)
    if proven is not None:
        return _as_good(inputs, evaluation, proven, notes)
    unsettled = [item for item in against if item.verdict is Verdict.NOT_PROVEN]
    if unsettled:
        return Headline(Outcome.NOT_PROVEN, _not_proven(evaluation, max(unsettled, key=_difference)), notes)
    return Headline(Outcome.FRONTIER, _worse(evaluation, max(against, key=_difference)), notes)


def comparisons(evaluation: Evaluation) -> list[Comparison]:
    """The comparisons with a generalist: those among specialists prove nothing about the frontier model."""
    ours = {item.name for item in _specialists(evaluation)}
    return [item for item in evaluation.comparisons if item.generalist not in ours]


def champion_comparison(evaluation: Evaluation) -> Comparison | None:
    """The champion against the generalist it comes closest to losing to; None where it was not proven as good as all."""
    found = [item for item in comparisons(evaluation) if item.specialist == evaluation.champion]
    if not found or any(item.verdict not in _AS_GOOD for item in found):
        return None
    return min(found, key=_difference)


def leading_specialist(evaluation: Evaluation | Quality) -> CandidateScore | None:
    """The champion, or the most accurate specialist where none was named."""
    specialists = _specialists(evaluation)
    named = [item for item in specialists if item.name == evaluation.champion]
    return named[0] if named else max(specialists, key=lambda item: _rank(item.accuracy.value), default=None)


def never_pays(economics: Economics) -> bool:
    """Whether the specialist costs more than it saves, at the stated figures or in most simulated futures."""
    return math.isinf(economics.break_even_month.value) or economics.share_never > _MOST


def volume(economics: Economics) -> str:
    """How many calls a month the bills are for, in words."""
    calls = economics.calls_per_month
    return "an unknown number of calls a month" if math.isnan(calls) else f"{figures.count(calls)} calls a month"


def _as_good(inputs: ReportInputs, evaluation: Evaluation, proven: Comparison, notes: tuple[str, ...]) -> Headline:
    finding = _finding(evaluation, proven)
    economics, policy = inputs.economics, inputs.policy
    if economics is not None and never_pays(economics):
        return Headline(Outcome.FRONTIER, f"Stay on the frontier: {finding}, but {_payback(economics)}.", notes)
    if policy is not None and policy.certificate is None:
        return Headline(Outcome.NOT_CERTIFIED, f"Not yet: {finding}, but {_no_certificate(policy)}.", notes)
    clauses = [finding, *_coverage_clause(policy, proven.specialist), *([_payback(economics)] if economics else [])]
    return Headline(Outcome.SPECIALISE, f"Specialise: {_list(clauses)}.", notes)


def _finding(evaluation: Evaluation, item: Comparison) -> str:
    ours = figures.percent(_accuracy(evaluation, item.specialist))
    n = f"n = {figures.count(item.n)}"
    if item.basis == "teacher":
        return (
            f"the {_name(item.specialist)} specialist gives the same answer as {_name(item.generalist)} on {ours} of the "
            f"test items ({n}, at most {figures.level(item.margin)} disagreement allowed)"
        )
    theirs = figures.percent(_accuracy(evaluation, item.generalist))
    against = f"{ours} vs {theirs}{words.of_right(evaluation.kind)}, {n}, margin {_points(item.margin)}"
    return f"the {_name(item.specialist)} specialist is {item.wording} to {_name(item.generalist)} ({against})"


def _not_proven(evaluation: Evaluation, item: Comparison) -> str:
    if not item.difference.scored:
        pair = f"the {_name(item.specialist)} specialist with {_name(item.generalist)}"
        return f"Not proven: the comparison of {pair} could not be scored on any of {figures.count(item.n)} items."
    ours = figures.percent(_accuracy(evaluation, item.specialist))
    if item.basis == "teacher":
        seen = f"the {_name(item.specialist)} specialist gives the same answer as {_name(item.generalist)} on {ours} of"
        open_question = f"a disagreement on more than {figures.level(item.margin)}"
    else:
        theirs = f"{figures.percent(_accuracy(evaluation, item.generalist))}{words.of_right(evaluation.kind)}"
        seen = f"the {_name(item.specialist)} specialist scores {ours} and {_name(item.generalist)} {theirs} on"
        open_question = f"a loss of more than {_points(item.margin)}"
    sentence = f"Not proven: {seen} {figures.count(item.n)} items, which neither shows nor rules out {open_question}"
    if item.items_to_settle is None:
        return f"{sentence}; at the difference seen, no number of further items is likely to settle it."
    more = item.items_to_settle - item.n
    further = f" ({figures.count(more)} more)" if more > 0 else ""
    return f"{sentence}; about {figures.count(item.items_to_settle)} test items{further} would settle it."


def _worse(evaluation: Evaluation, item: Comparison) -> str:
    ours = figures.percent(_accuracy(evaluation, item.specialist))
    n = f"n = {figures.count(item.n)}"
    if item.basis == "teacher":
        return (
            f"Stay on the frontier: the best specialist, {_name(item.specialist)}, gives another answer than "
            f"{_name(item.generalist)} on more than {figures.level(item.margin)} of the items (same answer on {ours}, {n})."
        )
    theirs = figures.percent(_accuracy(evaluation, item.generalist))
    return (
        f"Stay on the frontier: the best specialist, {_name(item.specialist)}, is worse than {_name(item.generalist)} "
        f"by more than {_points(item.margin)} ({ours} vs {theirs}{words.of_right(evaluation.kind)}, {n}; "
        f"{figures.level(item.difference.level)} interval of the difference "
        f"{figures.span(item.difference, figures.points)})."
    )


def _no_comparison(inputs: ReportInputs, evaluation: Evaluation) -> str:
    leader = leading_specialist(evaluation)
    if leader is None:
        raise ValueError("an evaluation without specialists has no leading one")
    right = leader.accuracy
    known = (
        f"{_answers(right.value, evaluation.kind)} ({figures.level(right.level)} interval "
        f"{figures.span(right, figures.percent)}, n = {figures.count(leader.n)})"
        if right.scored
        else "was not scored"
    )
    clause = "".join(f", and {item}" for item in _coverage_clause(inputs.policy, leader.name))
    return (
        f"No comparison: the {_name(leader.name)} specialist {known}{clause}; no generalist was configured, "
        f"so whether it is as good as your frontier model is not shown."
    )


def _answers(share: float, kind: OutputKind) -> str:
    written = words.of_right(kind)
    return f"scores {figures.percent(share)}{written}" if written else f"answers {figures.percent(share)} correctly"


def _not_evaluated(inputs: ReportInputs) -> Headline:
    sentence = (
        "Not evaluated: no specialist was measured on the test split yet, so nothing can be said for or against it."
    )
    audit = inputs.audit
    notes = (f"The audit of the traffic says: {audit.verdict.value}. {audit.reason}",) if audit else ()
    return Headline(Outcome.NOT_EVALUATED, sentence, notes)


def _notes(inputs: ReportInputs, evaluation: Evaluation) -> tuple[str, ...]:
    notes = [*_judged_by(evaluation), *evaluation.notes]
    if inputs.policy is None:
        notes.append("How many calls it may keep, and at what risk, is not known: it has not been calibrated.")
    elif inputs.policy.certificate is None:
        notes.append(as_sentence(inputs.policy.reason))
    economics = inputs.economics
    if economics is None:
        notes.append("Whether it pays is not known: nothing has been priced.")
    elif not never_pays(economics) and economics.share_never > 0:
        notes.append(
            f"In {figures.percent(economics.share_never)} of {economics.n_draws:,} simulated futures it never pays back."
        )
    return tuple(note for note in notes if note)


def _judged_by(evaluation: Evaluation) -> list[str]:
    if evaluation.basis == "teacher":
        said = "Judged against the generalist's own recorded answers: it shows agreement, not that either of them is right."
        return [] if evaluation.notes else [said]
    return (
        [f"Judged against {words.expected(evaluation.kind)} given by: {evaluation.truth}."] if evaluation.truth else []
    )


def _coverage_clause(policy: Policy | None, specialist: str) -> list[str]:
    if policy is None or policy.certificate is None:
        return []
    given = policy.certificate
    subject = "" if policy.student == specialist else f"the {_name(policy.student)} specialist "
    return [
        f"{subject}keeps {figures.percent(given.coverage.value, 0)} of calls with at most {figures.level(given.alpha)} "
        f"wrong (confidence {figures.level(1 - given.delta)})"
    ]


def _no_certificate(policy: Policy) -> str:
    if policy.labels_needed is None:
        return "no share of its answers could be certified, and no number of labels is known to change that"
    more = figures.count(policy.labels_needed)
    return f"no share of its answers could be certified: about {more} more calibration labels are needed"


def _payback(economics: Economics) -> str:
    when = economics.break_even_month
    if never_pays(economics):
        return f"at {volume(economics)} it does not pay back"
    if math.isnan(when.value):
        return f"when it pays back at {volume(economics)} could not be computed"
    return f"pays back in {figures.month(when.value)} ({figures.level(when.level)} range {figures.month_span(when)})"


def _list(clauses: list[str]) -> str:
    if len(clauses) < 3:
        return " and ".join(clauses)
    return f"{', '.join(clauses[:-1])}, and {clauses[-1]}"


def _points(share: float) -> str:
    text = figures.significant(100 * share)
    return f"{text} point{'' if text == '1' else 's'}"


def _specialists(evaluation: Evaluation | Quality) -> list[CandidateScore]:
    return [item for item in evaluation.candidates if item.role == "specialist"]


def _accuracy(evaluation: Evaluation, name: str) -> float:
    return next((item.accuracy.value for item in evaluation.candidates if item.name == name), math.nan)


def _difference(item: Comparison) -> float:
    return _rank(item.difference.value)


def _rank(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _name(name: str) -> str:
    return clip(name, _NAME_CHARS)
