"""Calibration: temperature by a known answer, and a score that keeps its promises of order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from metier.students.confidence import ScoreModel, fit_score_model, fit_temperature


def draw(n: int, k: int, temperature: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose labels are drawn from their softmax at `temperature`: that temperature is the right answer."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 6, (n, k))
    p = softmax(logits / temperature, axis=1)
    return logits, (p.cumsum(axis=1) > generator.random((n, 1))).argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(temperature: float) -> None:
    logits, y = draw(20_000, 5, temperature, seed=1)
    assert fit_temperature(logits, y) == pytest.approx(temperature, rel=0.05)


def test_temperature_without_known_labels_is_one() -> None:
    assert fit_temperature(np.zeros((3, 2)), np.array([-1, -1, -1])) == 1.0


def test_confidence_at_the_fitted_temperature_is_calibrated() -> None:
    logits, y = draw(20_000, 5, 2.0, seed=2)
    model = ScoreModel(fit_temperature(logits, y), 0.0, 1.0, 0.0, 0.0, 1.0)
    p = model.probabilities(logits)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    for low in np.arange(0.5, 1.0, 0.1):
        inside = (confidence >= low) & (confidence < low + 0.1)
        assert right[inside].mean() == pytest.approx(confidence[inside].mean(), abs=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_score_never_falls_with_confidence_nor_rises_with_foreignness(seed: int, all_right: bool, upside: bool) -> None:
    generator = np.random.default_rng(seed)
    n = 60
    confidence, ood = generator.random(n), generator.normal(size=n)
    correct = np.ones(n, dtype=np.bool_) if all_right else generator.random(n) < confidence
    # `upside`: foreign inputs that look more certain than known ones must not turn the order round.
    foreign = generator.random(n) + (0.0 if not upside else 0.5)
    model = fit_score_model(1.0, confidence, ood, correct, np.clip(foreign, 0, 1), ood - upside)
    assert model.confidence_weight >= 0
    assert model.foreign_weight >= 0
    assert model.confidence_weight + model.foreign_weight > 0
    grid = np.linspace(0, 1, 21)
    assert (np.diff(model.scores(grid, np.zeros(21))) >= 0).all()
    assert (np.diff(model.scores(np.full(21, 0.7), np.linspace(-3, 3, 21))) <= 0).all()


def test_foreignness_is_used_where_it_helps() -> None:
    generator = np.random.default_rng(0)
    n = 2000
    confidence = generator.uniform(0.6, 1.0, n)
    correct = generator.random(n) < confidence
    model = fit_score_model(1.0, confidence, generator.normal(0, 1, n), correct, confidence, generator.normal(4, 1, n))
    known = model.scores(np.array([0.9]), np.array([0.0]))
    foreign = model.scores(np.array([0.9]), np.array([4.0]))
    assert foreign < 0.3 < known
