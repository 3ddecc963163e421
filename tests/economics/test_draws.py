from __future__ import annotations

import math

import numpy as np
import pytest

from metier.artefacts.estimates import Estimate, not_scored
from metier.economics import draws

N = 200_000


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_first_element_is_the_stated_figure() -> None:
    for drawn in (draws.exact(3.0, 5), draws.lognormal(3.0, 0.2, 5, rng()), draws.pert(1.0, 3.0, 9.0, 5, rng())):
        assert drawn.shape == (6,)
        assert drawn[0] == 3.0


def test_lognormal_moments() -> None:
    logs = np.log(draws.lognormal(5.0, 0.4, N, rng())[1:])
    assert logs.mean() == pytest.approx(math.log(5.0), abs=0.005)
    assert logs.std() == pytest.approx(0.4, abs=0.005)


def test_pert_mean_and_variance() -> None:
    # Mean (a + 4 b + c) / 6 and variance (mu - a)(c - mu) / 7 (Malcolm et al., 1959; Vose, 2008).
    drawn = draws.pert(2.0, 3.0, 10.0, N, rng())[1:]
    mean = (2 + 4 * 3 + 10) / 6
    assert drawn.mean() == pytest.approx(mean, abs=0.01)
    assert drawn.var() == pytest.approx((mean - 2) * (10 - mean) / 7, rel=0.02)
    assert drawn.min() >= 2
    assert drawn.max() <= 10


def test_pert_of_one_point_is_exact() -> None:
    assert np.all(draws.pert(4.0, 4.0, 4.0, 10, rng()) == 4.0)


def test_pert_refuses_a_mode_outside() -> None:
    with pytest.raises(ValueError, match="low <= mode <= high"):
        draws.pert(0.0, 2.0, 1.0, 10, rng())


def test_share_between_reproduces_the_interval() -> None:
    drawn = draws.share_between(Estimate(0.8, 0.76, 0.84, 400, 0.95), N, rng())[1:]
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([0.76, 0.84], abs=0.001)


def test_share_between_stays_a_share() -> None:
    drawn = draws.share_between(Estimate(0.99, 0.9, 1.0, 30), N, rng())
    assert drawn.max() <= 1.0
    assert np.all(draws.share_between(not_scored(), 10, rng())[1:] != 0.0)


def test_quantiles_with_infinity() -> None:
    values = np.array([1.0, *range(1, 91), *[math.inf] * 10])
    low, high = draws.quantiles(values)
    assert low == 5.0
    assert math.isinf(high)
    assert draws.estimate(values).value == 1.0
    assert draws.estimate(values).n == 100


def test_quantiles_all_infinite() -> None:
    assert draws.quantiles(np.full(11, math.inf)) == (math.inf, math.inf)
