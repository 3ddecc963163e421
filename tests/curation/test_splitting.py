import numpy as np
import pytest

from metier.curation.given import SIDE_OF_NAME, sides
from metier.curation.splitting import Shares, split_rows
from metier.errors import BadInput

SHARES = Shares(0.1, 0.2, 0.2)
DAY = 86_400.0


def split(n=400, given=None, groups=None, times=None, time_order="auto", seed=0):
    return split_rows(
        np.array(given if given is not None else [None] * n, dtype=object),
        np.arange(n) if groups is None else groups,
        np.arange(n) % 4,
        np.full(n, np.nan) if times is None else times,
        SHARES,
        time_order,
        2.0,
        np.random.default_rng(seed),
    )


def size(splits, name):
    return int(np.sum(splits.names == name))


def test_without_times_the_split_is_at_random():
    splits = split()
    assert [size(splits, name) for name in ("train", "tune", "calibration", "test")] == pytest.approx(
        [200, 40, 80, 80], abs=6
    )
    assert "at random" in splits.rule


def test_with_times_the_newest_are_held_out():
    times = np.random.default_rng(1).permutation(400) * DAY
    splits = split(times=times)
    held = np.isin(splits.names, ["calibration", "test"])
    assert times[held].min() > times[~held].max()
    assert "newest" in splits.rule
    assert size(splits, "test") == pytest.approx(80, abs=6)


def test_calibration_and_test_are_exchangeable_in_time():
    """Their mean times differ no more than those of a random division of the same window: the p-values are uniform."""
    times = np.arange(400) * DAY
    later = []
    for seed in range(400):
        names = split(times=times, seed=seed).names
        later.append(times[names == "test"].mean() > times[names == "calibration"].mean())
    assert np.mean(later) == pytest.approx(0.5, abs=0.1)


def test_a_burst_of_calls_is_no_time_order():
    assert "at random" in split(times=np.arange(400.0)).rule
    assert "newest" in split(times=np.arange(400.0), time_order="always").rule
    assert "at random" in split(times=np.arange(400) * DAY, time_order="never").rule


def test_time_order_without_times_is_warned_about():
    splits = split(time_order="always")
    assert "only 0 of 400 examples have a time" in splits.warnings[0]


def test_groups_that_last_as_long_as_the_calls_fall_back_to_a_random_split():
    splits = split(groups=np.arange(400) % 3, times=np.arange(400) * DAY)
    assert "groups last as long" in splits.warnings[0]


def test_validation_is_halved_into_tune_and_calibration():
    splits = split(300, ["train"] * 100 + ["validation"] * 100 + ["test"] * 100)
    assert size(splits, "train") == size(splits, "test") == 100
    assert size(splits, "tune") == pytest.approx(50, abs=4)
    assert size(splits, "tune") + size(splits, "calibration") == 100


def test_validation_fills_the_one_that_is_missing():
    splits = split(400, ["train"] * 100 + ["validation"] * 100 + ["calibration"] * 100 + ["test"] * 100)
    assert (splits.names[100:200] == "tune").all()
    assert (splits.names[200:300] == "calibration").all()


def test_what_is_not_given_is_drawn_from_train():
    splits = split(400, ["test"] * 100 + [None] * 300)
    assert size(splits, "test") == 100
    assert size(splits, "calibration") == pytest.approx(60, abs=5)
    assert "records without a split count as train" in splits.rule


def test_split_names_are_read_as_people_write_them():
    meanings = sides(["Train", "val", "DEV", "out-of-scope", "oos_val", None, " "])
    assert list(meanings.values()).count("validation") == 2
    assert meanings["out-of-scope"] == "ood"
    assert meanings["oos_val"] == "ood_training"
    assert meanings[None] is meanings[" "] is None
    assert len(SIDE_OF_NAME) > 20


def test_an_unknown_split_name_is_an_error_with_a_suggestion():
    with pytest.raises(BadInput, match=r"'tets' .* Did you mean 'test'"):
        sides(["tets"])
