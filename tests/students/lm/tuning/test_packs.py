from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.errors import BadInput
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.packs import FILL, answer_tokens, check, pack, packs_of, steps_of, steps_per_epoch


@st.composite
def splits(draw: st.DrawFn) -> list[Encoded]:
    sizes = draw(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 30)), min_size=1, max_size=60))
    return [Encoded(tuple(range(1, n + a + 1)), n) for n, a in sizes]


@given(splits(), st.integers(1, 500), st.integers(0, 5))
def test_an_epoch_shows_every_example_once(encoded: list[Encoded], step_tokens: int, seed: int) -> None:
    steps = steps_of(encoded, step_tokens, seed, 0)
    assert len(steps) == steps_per_epoch(encoded, step_tokens)
    assert sorted(i for step in steps for i in step) == list(range(len(encoded)))


def test_steps_have_about_the_tokens_that_were_asked_for() -> None:
    rng = np.random.default_rng(0)
    encoded = [Encoded(tuple(range(n + 10)), 10) for n in rng.integers(50, 110, 400).tolist()]
    counts = [sum(answer_tokens(encoded[i]) for i in step) for step in steps_of(encoded, 1000, 0, 3)]
    assert np.mean(counts) == pytest.approx(1000, rel=0.05)
    assert max(counts) < 1120
    assert min(counts) > 880


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    encoded = [Encoded(tuple(range(20)), 10)] * 50
    assert steps_of(encoded, 50, 1, 2) == steps_of(encoded, 50, 1, 2)
    assert steps_of(encoded, 50, 1, 2) != steps_of(encoded, 50, 1, 3)
    assert steps_of(encoded, 50, 1, 2) != steps_of(encoded, 50, 2, 2)


@given(splits(), st.integers(16, 300))
def test_packs_hold_everything_within_bounds(encoded: list[Encoded], most: int) -> None:
    packs = packs_of(encoded, range(len(encoded)), most)
    assert sorted(i for one in packs for i in one.examples) == list(range(len(encoded)))
    for one in packs:
        real = sum(len(encoded[i].ids) - 1 for i in one.examples)
        assert real <= most or len(one.examples) == 1
        assert len(one.ids) % FILL == 0
        assert len(one.ids) - real < FILL
        assert one.bounds[-1] == len(one.ids) == len(one.positions)


def test_rows_are_the_places_before_answer_tokens() -> None:
    encoded = [Encoded((7, 8, 9, 10), 2), Encoded((1, 2, 3), 2)]
    one = pack(encoded, [0, 1])
    assert one.ids.tolist() == [7, 8, 9, 1, 2]
    assert one.positions.tolist() == [0, 1, 2, 0, 1]
    assert one.bounds == (0, 3, 5)
    assert one.rows.tolist() == [1, 2, 4]
    assert one.targets.tolist() == [9, 10, 3]


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (Encoded((1, 2), 2), "2 prompt tokens of 2"),
        (Encoded((1, 2), 0), "0 prompt tokens"),
        (Encoded((1, 2, 3), 1), "the model reads 2"),
        (Encoded((1, 99), 1), "token 99; the model has 50"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(one: Encoded, said: str) -> None:
    with pytest.raises(BadInput, match=f"Example 1 of the train split.*{said}"):
        check([Encoded((1, 2), 1), one], 50, 2, "train")
