import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.curation.partition import draw, newest

SHARES = (0.5, 0.1, 0.2, 0.2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), min_size=1, max_size=120), st.integers(0, 100))
def test_no_group_is_parted_and_every_class_is_trained_on(rows, seed):
    groups, strata = np.array(rows, dtype=np.int64).T
    parts = draw(groups, strata, SHARES, np.random.default_rng(seed), cover=True)
    for group in np.unique(groups):
        assert len(np.unique(parts[groups == group])) == 1
    assert set(strata[parts == 0]) == set(strata)


def test_shares_hold_in_every_stratum():
    rng = np.random.default_rng(0)
    strata = rng.integers(0, 20, 10_000)
    parts = draw(np.arange(10_000), strata, SHARES, rng)
    for stratum in range(20):
        shares = np.bincount(parts[strata == stratum], minlength=4) / np.sum(strata == stratum)
        np.testing.assert_allclose(shares, SHARES, atol=0.02)


def test_each_row_has_the_same_chance_of_every_part():
    strata = np.repeat([0, 1, 2], [1, 3, 6])
    counts = np.zeros((10, 4))
    for seed in range(4_000):
        parts = draw(np.arange(10), strata, SHARES, np.random.default_rng(seed))
        counts[np.arange(10), parts] += 1
    # Standard error of a share of 0.5 over 4,000 draws is 0.008; four of them.
    np.testing.assert_allclose(counts / 4_000, np.tile(SHARES, (10, 1)), atol=0.032)


def test_a_group_that_would_make_a_part_is_trained_on():
    groups = np.r_[np.zeros(60, dtype=np.int64), np.arange(1, 41)]
    for seed in range(20):
        parts = draw(groups, np.zeros(100, dtype=np.int64), SHARES, np.random.default_rng(seed))
        assert (parts[:60] == 0).all()


def test_newest_takes_the_groups_that_began_last():
    groups = np.array([0, 1, 2, 3, 4, 0])
    times = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    taken = newest(groups, times, 0.4, np.random.default_rng(0))
    # Group 0 has the latest row of all, but began first.
    assert taken.tolist() == [False, False, False, True, True, False]


def test_newest_takes_nothing_where_groups_have_no_time():
    assert not newest(np.arange(4), np.full(4, np.nan), 0.5, np.random.default_rng(0)).any()
