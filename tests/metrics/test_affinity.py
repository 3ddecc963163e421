"""Proxy A-distance: its two ends, its null, its interval."""

import numpy as np
import pytest
from scipy import stats

from metier.metrics.affinity import proxy_a_distance


def test_separable_sides_reach_two_and_equal_ones_stay_within_chance():
    rng = np.random.default_rng(0)
    far = proxy_a_distance(rng.normal(size=(200, 16)), rng.normal(4, 1, (300, 16)))
    near = proxy_a_distance(rng.normal(size=(200, 16)), rng.normal(size=(300, 16)))
    assert far.distance.estimate == pytest.approx(2.0, abs=0.02)
    assert far.p_value == pytest.approx(1 / 51)
    assert near.distance.estimate <= near.null_upper + 0.1
    assert near.p_value > 0.05
    assert far.n_per_side == 200


def test_matches_the_best_linear_error_of_two_normals():
    """Two unit normals 2 apart: the best error is Phi(-1) = 15.9%, so the distance is 1.365."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2000, 4)), rng.normal(size=(2000, 4))
    second[:, 0] += 2
    found = proxy_a_distance(first, second, max_items_per_side=2000, n_null=5)
    assert found.distance.estimate == pytest.approx(2 * (1 - 2 * stats.norm.cdf(-1)), abs=0.06)
    assert found.distance.lower < found.distance.estimate < found.distance.upper


def test_more_features_than_items():
    rng = np.random.default_rng(2)
    found = proxy_a_distance(rng.normal(size=(40, 300)), rng.normal(size=(40, 300)))
    assert found.distance.estimate <= found.null_upper + 0.2


def test_null_rejects_as_often_as_promised():
    rng = np.random.default_rng(3)
    p = [proxy_a_distance(*rng.normal(size=(2, 60, 8)), n_null=19, seed=s).p_value for s in range(300)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_copies_in_groups_are_not_evidence():
    """Twelve texts a side, each fifty times: told apart by heart without groups, by chance with them."""
    rng = np.random.default_rng(4)
    first, second = (np.repeat(rng.normal(size=(12, 20)), 50, axis=0) for _ in range(2))
    copies = np.repeat(np.arange(12), 50)
    assert proxy_a_distance(first, second).distance.estimate > 1.5
    grouped = proxy_a_distance(first, second, groups_first=copies, groups_second=copies)
    assert grouped.p_value > 0.05
    assert grouped.distance.n_groups == 24


def test_refusals():
    with pytest.raises(ValueError, match="same width"):
        proxy_a_distance(np.zeros((5, 2)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="at least 5 a side"):
        proxy_a_distance(np.zeros((3, 2)), np.zeros((50, 2)))
    with pytest.raises(ValueError, match="NaN"):
        proxy_a_distance(np.full((10, 2), np.nan), np.zeros((10, 2)))
