"""What a report does not show, drawn from what it was made of."""

from __future__ import annotations

import math

from metier.artefacts.evaluations import CandidateScore, Evaluation
from metier.artefacts.tasks import OutputKind
from metier.pages import figures, words
from metier.pages.inputs import ReportInputs
from metier.pages.verdict import champion_comparison, leading_specialist

_FEW_ITEMS = 500


def limits(inputs: ReportInputs) -> tuple[str, ...]:
    """Sentences for the careful reader; the general ones last."""
    found = [*_of_data(inputs), *_of_evaluation(inputs.evaluation), *_of_policy(inputs), *_of_cost(inputs)]
    found.append(
        "Everything here was measured on past inputs. When what people ask changes, these figures, and the certificate "
        "first of all, say nothing about the new inputs until they are measured again."
    )
    return tuple(found)


def _of_data(inputs: ReportInputs) -> list[str]:
    dataset = inputs.dataset
    if dataset is None:
        return []
    found = []
    if dataset.examples["time"].null_count() == dataset.examples.height:
        found.append(
            "The examples carry no times, so the test items are not later than the training items: "
            "a slow change of the inputs would not show."
        )
    if dataset.examples.filter(split="ood").height == 0:
        found.append(
            "There is no out-of-distribution split: how the specialist treats inputs of another kind is not known."
        )
    elif dataset.ood_source:
        found.append(
            f"Out-of-distribution inputs are those of one source ({dataset.ood_source}); others may be harder to tell."
        )
    return found


def _of_evaluation(evaluation: Evaluation | None) -> list[str]:
    if evaluation is None:
        return []
    found = []
    if evaluation.basis == "teacher" or "teacher" in evaluation.truth:
        found.append(
            "Some or all expected answers were given by a model, not by people: "
            "what is measured there is agreement with that model, and its mistakes count as right."
        )
    if evaluation.n_test < _FEW_ITEMS:
        found.append(
            f"The test split has {evaluation.n_test:,} items: differences of a few points cannot be told apart on so few."
        )
    if champion_comparison(evaluation) is not None:
        found.append(
            "Non-inferior means: a loss larger than the margin is ruled out. "
            "A loss smaller than the margin is not, and was accepted beforehand."
        )
    found += [sentence for item in evaluation.candidates for sentence in _of_candidate(item, evaluation.kind)]
    leader = leading_specialist(evaluation)
    if leader is not None and leader.latency.condition:
        found.append(f"Latency was measured under one condition ({leader.latency.condition}); yours may differ.")
    return found


def _of_candidate(item: CandidateScore, kind: OutputKind) -> list[str]:
    found = []
    if item.n_not_asked:
        found.append(
            f"{item.name} was not asked {item.n_not_asked:,} items (budget reached); they are in none of its scores."
        )
    if item.n_failed:
        failed = f"{item.n_failed:,} of {item.n:,}"
        found.append(f"{item.name} failed on {failed} items ({words.no_answer(kind)}); they count as wrong.")
    return found


def _of_policy(inputs: ReportInputs) -> list[str]:
    policy = inputs.policy
    if policy is None or policy.certificate is None:
        return []
    delta = figures.level(policy.certificate.delta)
    found = [
        f"The certificate itself is wrong with a probability of up to {delta}, by the luck of the calibration split."
    ]
    champion = inputs.evaluation.champion if inputs.evaluation else None
    if champion is not None and champion != policy.student:
        found.append(
            f"The certificate was given to {policy.student}, but the champion of the evaluation is {champion}."
        )
    return found


def _of_cost(inputs: ReportInputs) -> list[str]:
    economics = inputs.economics
    if economics is None:
        return []
    found = [
        f"Costs rest on stated assumptions and on list prices ({economics.price_source}); discounts are not known."
    ]
    if not math.isfinite(economics.calls_per_month):
        found.append("The number of calls a month is not known, so no monthly figure is.")
    return found
