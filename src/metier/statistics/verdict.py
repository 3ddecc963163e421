"""From paired comparisons to verdicts, with Holm's correction over everything that was tried.

The order of testing, fixed beforehand:

1. *non-inferior*: Holm over all candidates on the one-sided p-values for difference <= -margin.
2. *superior*: only for candidates that passed 1: Holm over all candidates on the two-sided McNemar p-values, with the
difference above 0.
3. *inferior*: Holm over all candidates on the one-sided p-values for difference >= -margin: worse by more than the
margin.
4. *not proven*: none of these.

A promotion (non-inferior or superior) always rests on step 1, so the chance that any candidate truly worse by the
margin or more is promoted is at most alpha. The chance of any false "superior" is at most alpha, and so is that of any
false "inferior".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike

from metier.artefacts.evaluations import Verdict
from metier.statistics.arrays import Groups, in_unit_interval
from metier.statistics.multiplicity import holm
from metier.statistics.paired import PairedComparison, compare
from metier.statistics.power import ItemsNeeded, items_needed


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the comparison and the Holm-adjusted p-values behind it; ``items_needed`` only when not proven."""

    candidate: str
    verdict: Verdict
    comparison: PairedComparison
    adjusted_p_different: float
    adjusted_p_non_inferior: float
    adjusted_p_inferior: float
    n_candidates: int
    alpha: float
    items_needed: ItemsNeeded | None


def judge(
    comparisons: Mapping[str, PairedComparison], *, alpha: float = 0.05, power: float = 0.8
) -> dict[str, Judgement]:
    """Give each comparison its verdict; pass every candidate and task that was tried, or the error rate is not the one
    promised.
    """
    in_unit_interval(alpha=alpha, power=power)
    different = holm({name: comparison.p_different for name, comparison in comparisons.items()})
    non_inferior = holm({name: comparison.p_non_inferior for name, comparison in comparisons.items()})
    inferior = holm({name: comparison.p_inferior for name, comparison in comparisons.items()})
    judgements = {}
    for name, comparison in comparisons.items():
        verdict = _verdict(comparison, different[name], non_inferior[name], inferior[name], alpha)
        needed = None
        if verdict is Verdict.NOT_PROVEN:
            needed = items_needed(
                comparison.counts,
                comparison.margin,
                alpha=alpha / len(comparisons),
                power=power,
                design_effect=comparison.design_effect,
            )
        judgements[name] = Judgement(
            name,
            verdict,
            comparison,
            different[name],
            non_inferior[name],
            inferior[name],
            len(comparisons),
            alpha,
            needed,
        )
    return judgements


def judge_candidates(
    candidates: Mapping[str, ArrayLike],
    reference: ArrayLike,
    *,
    margin: float,
    alpha: float = 0.05,
    power: float = 0.8,
    groups: Groups | None = None,
    level: float = 0.95,
) -> dict[str, Judgement]:
    """Compare and judge several binary arrays (n,) against one reference on the same items."""
    comparisons = {
        name: compare(correct, reference, margin=margin, groups=groups, level=level)
        for name, correct in candidates.items()
    }
    return judge(comparisons, alpha=alpha, power=power)


def _verdict(
    comparison: PairedComparison, different: float, non_inferior: float, inferior: float, alpha: float
) -> Verdict:
    if non_inferior <= alpha:
        better = different <= alpha and comparison.difference.estimate > 0
        return Verdict.SUPERIOR if better else Verdict.NON_INFERIOR
    return Verdict.INFERIOR if inferior <= alpha else Verdict.NOT_PROVEN
