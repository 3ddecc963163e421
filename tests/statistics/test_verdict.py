"""Verdicts: what each means, and that trying many candidates costs no false promotions."""

import functools

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from metier.artefacts.evaluations import Verdict
from metier.statistics.multiplicity import holm, holm_adjust
from metier.statistics.paired import PairedComparison, compare
from metier.statistics.verdict import judge, judge_candidates


@functools.cache
def comparison(b: int, c: int, n: int = 400, margin: float = 0.03) -> PairedComparison:
    candidate, reference = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    candidate[:c], reference[c : b + c] = False, False
    return compare(candidate, reference, margin=margin)


@pytest.mark.parametrize(
    ("b", "c", "verdict"),
    [(40, 5, Verdict.SUPERIOR), (6, 5, Verdict.NON_INFERIOR), (5, 40, Verdict.INFERIOR), (20, 25, Verdict.NOT_PROVEN)],
)
def test_each_verdict(b, c, verdict):
    judgement = judge({"student": comparison(b, c)})["student"]
    assert judgement.verdict is verdict
    assert (judgement.items_needed is not None) == (verdict is Verdict.NOT_PROVEN)


def test_worse_but_within_the_margin_is_non_inferior():
    """McNemar rejects equality, yet the loss is proven smaller than what was declared tolerable."""
    judgement = judge({"student": comparison(20, 45, n=4500, margin=0.02)})["student"]
    assert judgement.adjusted_p_different < 0.05
    assert judgement.verdict is Verdict.NON_INFERIOR


def test_trying_more_candidates_raises_the_bar():
    alone = judge({"good": comparison(10, 9)})["good"]
    tried = judge({"good": comparison(10, 9), **{f"bad {i}": comparison(5, 40) for i in range(20)}})["good"]
    assert alone.verdict is Verdict.NON_INFERIOR
    assert tried.adjusted_p_non_inferior == pytest.approx(min(1.0, 21 * alone.adjusted_p_non_inferior))
    assert tried.n_candidates == 21


def test_holm_agrees_with_a_hand_calculation():
    """Holm (1979): 0.01, 0.02, 0.03, 0.04 of four give 0.04, 0.06, 0.06, 0.06."""
    assert list(holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.02}).values()) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm({}) == {}


def test_holm_agrees_with_statsmodels():
    p_values = np.random.default_rng(0).random(12) ** 3
    assert holm_adjust(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


def test_holm_refuses_a_candidate_without_a_score():
    with pytest.raises(ValueError, match="lost"):
        holm({"kept": 0.01, "lost": float("nan")})


def test_judge_candidates_works_on_arrays_with_groups():
    rng = np.random.default_rng(0)
    reference = rng.random(900) < 0.9
    verdicts = judge_candidates(
        {"same": reference, "noise": rng.random(900) < 0.4}, reference, margin=0.05, groups=np.repeat(np.arange(300), 3)
    )
    assert verdicts["same"].verdict is Verdict.NON_INFERIOR
    assert verdicts["noise"].verdict is Verdict.INFERIOR
    assert verdicts["same"].comparison.counts.n_groups == 300


def test_family_wise_error_of_promotions_holds():
    """Four candidates exactly at the margin: any promotion is an error, allowed in 5% of families."""
    rng = np.random.default_rng(1)
    n, draws = 400, 2000
    n_right = rng.binomial(n, 0.9, draws)
    b = rng.binomial((n - n_right)[:, None], 0.1, (draws, 4))
    c = rng.binomial(n_right[:, None], 0.04 / 0.9, (draws, 4))
    p = np.array([comparison(int(x), int(y)).p_non_inferior for x, y in zip(b.ravel(), c.ravel(), strict=True)])
    p = p.reshape(draws, 4)
    adjusted = holm_adjust(p)
    promoted = (adjusted <= 0.05).any(axis=1)
    assert promoted.mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / draws)
    assert (p <= 0.05).any(axis=1).mean() > 0.1  # without Holm the promise would be broken
    family = judge({str(i): comparison(int(b[0, i]), int(c[0, i])) for i in range(4)})
    assert [family[str(i)].adjusted_p_non_inferior for i in range(4)] == pytest.approx(adjusted[0])
