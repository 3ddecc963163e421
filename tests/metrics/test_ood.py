"""Out-of-distribution detection: scikit-learn's AUROC, DeLong by its definition, coverage by simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from metier.metrics.ood import auroc, fpr_at_tpr, ood_detection


def test_auroc_agrees_with_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 10, 200), rng.integers(3, 14, 80)
    expected = roc_auc_score(np.repeat([0, 1], [200, 80]), np.concatenate([inside, outside]))
    assert auroc(inside, outside).estimate == pytest.approx(expected)


def test_delong_variance_by_its_definition():
    """DeLong, DeLong & Clarke-Pearson (1988), with the placement kernel written out."""
    rng = np.random.default_rng(1)
    inside, outside = rng.normal(size=60), rng.normal(1.2, 1, 40)
    kernel = (outside[:, None] > inside[None, :]) + 0.5 * (outside[:, None] == inside[None, :])
    variance = np.var(kernel.mean(axis=1), ddof=1) / 40 + np.var(kernel.mean(axis=0), ddof=1) / 60
    interval = auroc(inside, outside)
    half = 1.959964 * np.sqrt(variance) / (interval.estimate * (1 - interval.estimate))
    logit = np.log(interval.estimate / (1 - interval.estimate))
    assert interval.lower == pytest.approx(1 / (1 + np.exp(-(logit - half))), rel=1e-6)
    assert interval.upper == pytest.approx(1 / (1 + np.exp(-(logit + half))), rel=1e-6)


def test_perfect_separation_is_not_certainty():
    interval = auroc(np.arange(30), np.arange(100, 120))
    assert interval.estimate == 1.0
    assert 0.8 < interval.lower < 1.0


def test_fpr_by_hand():
    """95 of 100 inside scores are at or below 94; 3 of 10 outside scores are let in there."""
    interval, threshold = fpr_at_tpr(np.arange(100), [10, 50, 94, 95, 96, 97, 98, 99, 100, 101])
    assert threshold == 94.0
    assert interval.estimate == 0.3
    assert interval.lower < 0.3 < interval.upper


def test_groups_widen_both():
    rng = np.random.default_rng(2)
    inside, outside = rng.normal(size=200), rng.normal(1.5, 1, 100)
    once = ood_detection(inside, outside)
    copied = ood_detection(
        np.repeat(inside, 4),
        np.repeat(outside, 4),
        groups_in=np.repeat(np.arange(200), 4),
        groups_out=np.repeat(np.arange(200, 300), 4),
    )
    assert copied.auroc.n_groups == 300
    for ours, theirs in ((copied.auroc, once.auroc), (copied.fpr_at_tpr, once.fpr_at_tpr)):
        assert ours.upper - ours.lower == pytest.approx(theirs.upper - theirs.lower, rel=0.15)


def test_an_empty_side_is_refused():
    with pytest.raises(ValueError, match="0 outside"):
        auroc([0.1], [])


@pytest.mark.parametrize(("n_in", "n_out", "shift"), [(500, 200, 1.5), (1000, 250, 2.6)])
def test_both_intervals_cover(n_in, n_out, shift):
    rng = np.random.default_rng(3)
    area, rate = stats.norm.cdf(shift / np.sqrt(2)), stats.norm.cdf(stats.norm.ppf(0.95) - shift)
    areas, rates = [], []
    for seed in range(2000):
        found = ood_detection(rng.normal(size=n_in), rng.normal(shift, 1, n_out), seed=seed)
        areas.append(found.auroc.lower <= area <= found.auroc.upper)
        rates.append(found.fpr_at_tpr.lower <= rate <= found.fpr_at_tpr.upper)
    assert np.mean(areas) == pytest.approx(0.95, abs=0.015)
    assert 0.935 <= np.mean(rates) <= 0.975  # up to two points wide by design: see fpr_at_tpr
