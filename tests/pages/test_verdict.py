"""The sentence on top: every outcome, and nothing claimed that was not shown."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import CandidateScore, Comparison, Evaluation, Verdict
from metier.pages.content import Outcome
from metier.pages.inputs import ReportInputs
from metier.pages.verdict import headline


def changed(inputs: ReportInputs, stage: str, **fields: Any) -> ReportInputs:
    """The same inputs with fields of one artefact replaced."""
    return dataclasses.replace(inputs, **{stage: dataclasses.replace(getattr(inputs, stage), **fields)})


def judged(inputs: ReportInputs, verdict: Verdict, **fields: Any) -> ReportInputs:
    """The same inputs with every comparison's verdict replaced; a champion only where it was proven."""
    assert inputs.evaluation is not None
    comparisons = tuple(dataclasses.replace(item, verdict=verdict, **fields) for item in inputs.evaluation.comparisons)
    champion = "encoder" if verdict in (Verdict.SUPERIOR, Verdict.NON_INFERIOR) else None
    return changed(inputs, "evaluation", comparisons=comparisons, champion=champion)


def test_specialise(full: ReportInputs) -> None:
    found = headline(full)
    assert found.outcome is Outcome.SPECIALISE
    assert found.sentence == (
        "Specialise: the encoder specialist is superior to gpt-5-mini (97.0% vs 94.1%, n = 4,500, margin 2 points), keeps "
        "88% of calls with at most 5% wrong (confidence 95%), and pays back in month 5 (90% range 4 to 7)."
    )
    assert found.qualifications == (
        "Judged against labels given by: human.",
        "In 0.4% of 2,000 simulated futures it never pays back.",
    )


def test_what_was_not_done_is_not_claimed(full: ReportInputs) -> None:
    found = headline(dataclasses.replace(full, policy=None, economics=None))
    assert found.outcome is Outcome.SPECIALISE
    assert found.sentence == (
        "Specialise: the encoder specialist is superior to gpt-5-mini (97.0% vs 94.1%, n = 4,500, margin 2 points)."
    )
    assert any("not been calibrated" in note for note in found.qualifications)
    assert any("nothing has been priced" in note for note in found.qualifications)


def test_not_proven_says_how_many_items_would_settle_it(full: ReportInputs) -> None:
    found = headline(judged(full, Verdict.NOT_PROVEN, items_to_settle=6_000))
    assert found.outcome is Outcome.NOT_PROVEN
    assert found.sentence == (
        "Not proven: the encoder specialist scores 97.0% and gpt-5-mini 94.1% on 4,500 items, which neither shows nor "
        "rules out a loss of more than 2 points; about 6,000 test items (1,500 more) would settle it."
    )


def test_not_proven_where_no_number_settles_it(full: ReportInputs) -> None:
    assert "no number of further items" in headline(judged(full, Verdict.NOT_PROVEN, items_to_settle=None)).sentence


def test_worse_stays_on_the_frontier(full: ReportInputs) -> None:
    worse = Estimate(-0.05, -0.06, -0.04, 4_500, 0.95, "newcombe")
    found = headline(judged(full, Verdict.INFERIOR, difference=worse))
    assert found.outcome is Outcome.FRONTIER
    assert found.sentence.startswith("Stay on the frontier: the best specialist, encoder, is worse than gpt-5-mini")
    assert "95% interval of the difference −6.0 to −4.0" in found.sentence


def test_as_good_but_never_pays(full: ReportInputs) -> None:
    never = Estimate(math.inf, 40.0, math.inf, 2_000, 0.9)
    found = headline(changed(full, "economics", break_even_month=never, share_never=0.9))
    assert found.outcome is Outcome.FRONTIER
    assert found.sentence.endswith("but at 100,000 calls a month it does not pay back.")


def test_a_hope_is_not_a_finding(full: ReportInputs) -> None:
    """The stated figures pay back, most simulated futures do not."""
    assert headline(changed(full, "economics", share_never=0.51)).outcome is Outcome.FRONTIER


def test_as_good_but_not_certified(full: ReportInputs) -> None:
    policy = {"certificate": None, "labels_needed": 700, "reason": "No threshold passes."}
    found = headline(changed(full, "policy", **policy))
    assert found.outcome is Outcome.NOT_CERTIFIED
    assert "about 700 more calibration labels are needed" in found.sentence
    assert "No threshold passes." in found.qualifications
    none = headline(changed(full, "policy", **policy | {"labels_needed": None}))
    assert "no number of labels is known to change that" in none.sentence


def test_without_a_generalist_nothing_is_compared(full: ReportInputs) -> None:
    assert full.evaluation is not None
    alone = tuple(item for item in full.evaluation.candidates if item.role == "specialist")
    found = headline(changed(full, "evaluation", candidates=alone, comparisons=()))
    assert found.outcome is Outcome.NO_COMPARISON
    assert "whether it is as good as your frontier model is not shown" in found.sentence
    assert "97.0%" in found.sentence


def test_comparisons_among_specialists_prove_nothing_about_the_frontier(full: ReportInputs) -> None:
    assert full.evaluation is not None
    among = dataclasses.replace(full.evaluation.comparisons[0], generalist="linear")
    assert headline(changed(full, "evaluation", comparisons=(among,))).outcome is Outcome.NO_COMPARISON


def test_one_unproven_generalist_is_enough_to_hold_back(full: ReportInputs) -> None:
    assert full.evaluation is not None
    proven, _ = full.evaluation.comparisons
    other = dataclasses.replace(proven, generalist="opus", verdict=Verdict.NOT_PROVEN, items_to_settle=9_000)
    found = headline(changed(full, "evaluation", comparisons=(proven, other)))
    assert found.outcome is Outcome.NOT_PROVEN
    assert "opus" in found.sentence


def test_agreement_with_the_teacher_is_not_called_quality(full: ReportInputs) -> None:
    fields = {"basis": "teacher", "generalist": "teacher", "difference": Estimate(-0.012, -0.016, -0.009, 4_500)}
    for verdict in Verdict:
        inputs = judged(full, verdict, **fields)
        found = headline(changed(inputs, "evaluation", basis="teacher", truth="teacher"))
        assert "superior" not in found.sentence
        assert "inferior" not in found.sentence
        assert "scores" not in found.sentence
        assert any("not that either of them is right" in note for note in found.qualifications)


def test_the_certified_student_is_named_where_it_is_not_the_champion(full: ReportInputs) -> None:
    assert "the linear specialist keeps 88% of calls" in headline(changed(full, "policy", student="linear")).sentence


def test_nothing_evaluated(full: ReportInputs) -> None:
    found = headline(dataclasses.replace(full, evaluation=None))
    assert found.outcome is Outcome.NOT_EVALUATED
    assert "The audit of the traffic says: specialise." in found.qualifications[0]


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("missing", ["policy", "economics", "audit", "dataset"])
def test_every_combination_has_one_sentence(full: ReportInputs, verdict: Verdict, missing: str) -> None:
    found = headline(dataclasses.replace(judged(full, verdict), **{missing: None}))
    assert found.sentence.endswith(".")
    assert "nan" not in found.sentence
    assert "None" not in found.sentence


def test_notes_of_the_evaluation_come_along(full: ReportInputs) -> None:
    found = headline(changed(full, "evaluation", notes=("gpt-5-mini failed on 21 items.",)))
    assert "gpt-5-mini failed on 21 items." in found.qualifications


def test_names_have_an_end(full: ReportInputs) -> None:
    assert full.evaluation is not None
    long = "m" * 5_000

    def renamed(item: Comparison) -> Comparison:
        return dataclasses.replace(item, generalist=long)

    def of(item: CandidateScore) -> CandidateScore:
        return dataclasses.replace(item, name=long) if item.role == "generalist" else item

    evaluation: Evaluation = full.evaluation
    inputs = changed(
        full,
        "evaluation",
        comparisons=tuple(map(renamed, evaluation.comparisons)),
        candidates=tuple(map(of, evaluation.candidates)),
    )
    assert len(headline(inputs).sentence) < 400
