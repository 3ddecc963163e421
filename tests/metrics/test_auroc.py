"""Two scores on the same items: DeLong's paired interval against its definition, its coverage, and groups."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from metier.metrics.auroc import auroc_difference
from metier.statistics.intervals import normal_quantile


def drawn(n: int, seed: int, worth: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two scores with a common part, the first telling by `worth` more than the second, with ties."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.6
    positive[:2] = True, False
    common = rng.normal(size=n) + positive
    return np.round(common + worth * positive, 1), np.round(common + rng.normal(size=n), 1), positive


def by_definition(first: np.ndarray, second: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Difference and standard error by every pair (DeLong et al. 1988, eq. 4 to 7)."""

    def pairs(score: np.ndarray) -> np.ndarray:
        high, low = score[positive][:, None], score[~positive][None, :]
        return (high > low) + 0.5 * (high == low)

    matrix = pairs(first) - pairs(second)
    of_high, of_low = matrix.mean(axis=1), matrix.mean(axis=0)
    variance = of_high.var(ddof=1) / len(of_high) + of_low.var(ddof=1) / len(of_low)
    return float(matrix.mean()), float(np.sqrt(variance))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_delongs(seed: int) -> None:
    first, second, positive = drawn(80, seed)
    found = auroc_difference(first, second, positive, level=0.9)
    difference, error = by_definition(first, second, positive)
    assert found.estimate == pytest.approx(difference)
    assert found.estimate == pytest.approx(roc_auc_score(positive, first) - roc_auc_score(positive, second))
    assert found.upper - found.lower == pytest.approx(2 * normal_quantile(0.95) * error)
    back = auroc_difference(second, first, positive, level=0.9)
    assert (back.lower, back.upper) == pytest.approx((-found.upper, -found.lower))


def test_scores_that_rank_alike_do_not_differ() -> None:
    first, _, positive = drawn(50, 0)
    found = auroc_difference(first, 3 * first - 1, positive)
    assert (found.estimate, found.lower, found.upper) == (0.0, 0.0, 0.0)


def test_a_gain_that_is_none_is_seldom_shown() -> None:
    """Two scores of equal worth: the lower end of a 90% interval is above 0 in about one of twenty samples."""
    shown = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        positive = np.arange(64) < 40
        common = rng.normal(size=64) + positive
        first, second = common + rng.normal(size=64), common + rng.normal(size=64)
        shown += auroc_difference(first, second, positive, level=0.9).lower > 0
    assert 8 <= shown <= 34


def test_copies_in_a_group_tell_nothing_new() -> None:
    first, second, positive = drawn(60, 3)
    groups = [str(place) for place in range(60)]
    alone = auroc_difference(first, second, positive, groups=groups)
    copied = auroc_difference(np.tile(first, 4), np.tile(second, 4), np.tile(positive, 4), groups=groups * 4)
    assert copied.estimate == pytest.approx(alone.estimate)
    assert copied.upper - copied.lower == pytest.approx(alone.upper - alone.lower, rel=0.05)
    loose = auroc_difference(np.tile(first, 4), np.tile(second, 4), np.tile(positive, 4))
    assert loose.upper - loose.lower < 0.6 * (copied.upper - copied.lower)


def test_one_kind_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="3 positive items of 3"):
        auroc_difference([1, 2, 3], [1, 2, 3], [True, True, True])
