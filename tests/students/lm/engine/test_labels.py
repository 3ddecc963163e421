"""The label tree: the distribution that token-by-token sampling has, from as few looks as it needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.errors import BadInput
from metier.students.lm.engine.labels import draw, plant, weigh

END = 0


def _fork_of(seed: int, looks: list[tuple[int, ...]]):  # type: ignore[no-untyped-def]
    """A model that thinks something of its own after every path."""

    def fork(path: tuple[int, ...], tokens: tuple[int, ...]) -> np.ndarray:
        looks.append(path)
        logits = np.random.default_rng((seed, *path)).normal(size=8)
        weights = np.exp(logits[list(tokens)])
        return np.asarray(weights / weights.sum())

    return fork


@given(
    st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple), min_size=1, max_size=9, unique=True),
    st.integers(0, 1000),
)
def test_probabilities_are_those_of_the_paths(labels: list[tuple[int, ...]], seed: int) -> None:
    looks: list[tuple[int, ...]] = []
    fork = _fork_of(seed, looks)
    found = weigh(plant(labels, END), fork)
    closed = [(*label, END) for label in labels]
    assert found.sum() == pytest.approx(1.0)
    for label, probability in zip(closed, found, strict=True):
        expected = 1.0
        for at, token in enumerate(label):
            # dict: the order in which a label first shows each token, as in the tree.
            going_on = tuple(
                dict.fromkeys(other[at] for other in closed if other[:at] == label[:at] and len(other) > at)
            )
            expected *= fork(label[:at], going_on)[going_on.index(token)] if len(going_on) > 1 else 1.0
        # Below one in a million the tree shares evenly.
        assert probability == pytest.approx(expected, abs=2e-6)


def test_only_forks_cost_a_look() -> None:
    looks: list[tuple[int, ...]] = []
    weigh(plant([(1, 2, 3), (1, 2, 4), (1, 2)], END), _fork_of(0, looks))
    assert looks == [(1, 2)]
    looks.clear()
    assert weigh(plant([(1, 2, 3)], END), _fork_of(0, looks)).tolist() == [1.0]
    assert looks == []


def test_a_branch_that_is_never_reached_is_not_looked_at() -> None:
    def fork(path: tuple[int, ...], tokens: tuple[int, ...]) -> np.ndarray:
        assert path == ()
        return np.array([1 - 1e-9, 1e-9])

    found = weigh(plant([(1,), (2, 3), (2, 4)], END), fork)
    np.testing.assert_allclose(found, [1 - 1e-9, 5e-10, 5e-10])


def test_labels_that_cannot_be_told_apart() -> None:
    with pytest.raises(BadInput, match="labels 1 and 3 are the same"):
        plant([(1, 2), (3,), (1, 2)], END)
    with pytest.raises(BadInput, match="no labels"):
        plant([], END)


def test_draws_follow_the_temperature() -> None:
    probabilities = np.array([0.5, 0.3, 0.2])
    assert draw(probabilities, 0.0, np.random.default_rng(0)) == 0
    draws = np.random.default_rng(0)
    counts = np.bincount([draw(probabilities, 1.0, draws) for _ in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(counts, probabilities, atol=0.03)
    sharpened = probabilities**2 / (probabilities**2).sum()
    counts = np.bincount([draw(probabilities, 0.5, draws) for _ in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(counts, sharpened, atol=0.03)
