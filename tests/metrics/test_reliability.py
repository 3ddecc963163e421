"""Brier and ECE against scikit-learn and hand calculations."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from metier.metrics.reliability import reliability


def test_brier_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    scores = rng.random(500)
    correct = rng.random(500) < scores
    found = reliability(scores, correct)
    assert found.brier.estimate == pytest.approx(brier_score_loss(correct, scores))
    assert found.brier.lower < found.brier.estimate < found.brier.upper


def test_ece_by_hand():
    """Two bins: scores 0.2 with 1 of 4 right (gap 0.05) and 0.9 with 2 of 4 right (gap 0.4)."""
    found = reliability([0.2] * 4 + [0.9] * 4, [1, 0, 0, 0, 1, 1, 0, 0], n_bins=2)
    assert found.ece == pytest.approx((0.05 + 0.4) / 2)
    assert [(b.n, b.mean_score, b.accuracy.estimate) for b in found.bins] == [
        (4, pytest.approx(0.2), 0.25),
        (4, pytest.approx(0.9), 0.5),
    ]


def test_perfect_scores_show_only_what_chance_gives():
    rng = np.random.default_rng(1)
    scores = rng.random(2000)
    honest, bold = (reliability(scores, rng.random(2000) < p) for p in (scores, scores**2))
    assert honest.ece == pytest.approx(honest.ece_if_perfect, rel=0.6)
    assert bold.ece > 4 * bold.ece_if_perfect


def test_scores_outside_the_range_are_refused():
    with pytest.raises(ValueError, match=r"1\.5"):
        reliability([0.5, 1.5], [1, 0])


def test_fewer_items_than_bins():
    assert [b.n for b in reliability([0.1, 0.9], [0, 1]).bins] == [1, 1]
