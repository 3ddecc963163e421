"""Windows that are written: what each option says is so in its own windows, and the tables can be read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from metier.errors import BadInput
from metier.labs.telecom import text
from metier.labs.telecom.labelled import labelled
from metier.labs.telecom.parts import CAUSES, Windows
from metier.labs.telecom.simulator import joined, simulate
from metier.labs.telecom.written import written
from metier.views import VIEWS

VIEW = VIEWS["telelogs"]
PLACES = {feature.name: place for place, feature in enumerate(VIEW.features)}


@pytest.fixture(scope="module")
def windows() -> Windows:
    return written(400, seed=3)


@pytest.fixture(scope="module")
def values(windows: Windows) -> npt.NDArray[np.float64]:
    return np.array([VIEW.read(asked).values for asked in text.standard(windows)])


def test_the_same_seed_gives_the_same_windows_of_all_causes(windows: Windows) -> None:
    assert text.standard(written(16, seed=9)) == text.standard(written(16, seed=9))
    assert text.standard(written(16, seed=9)) != text.standard(written(16, seed=10))
    assert np.bincount(windows.cause).tolist() == [50] * 8
    assert len(set(windows.cluster.tolist())) == 400
    with pytest.raises(ValueError, match="n = 0"):
        written(0, seed=1)


def test_each_option_is_so_in_its_own_windows(windows: Windows, values: npt.NDArray[np.float64]) -> None:
    def of(name: str) -> npt.NDArray[np.float64]:
        return values[:, PLACES[name]]

    # Positions are rounded to 0.001 degrees, and the vehicle moves while it is slow.
    said = {
        "C1": (of("beyond_far_edge_low") > -0.5) & (of("distance_margin_low") < 60) & (of("rsrp_low") < -85),
        "C2": of("distance_margin_low") > -60,
        "C3": of("best_gap_low") > -2.5,
        "C4": of("apart_within_10db_low") >= 1.9,
        "C5": of("handovers") >= 3,
        "C6": of("mod30_gap_low") > -14,
        "C7": of("fast_share_low") > 0.5,
        "C8": of("rb_margin_low") < 0,
    }
    for place, cause in enumerate(CAUSES):
        assert said[cause][windows.cause == place].mean() > 0.95, cause
    assert (of("low_share") >= 0.1).all()


def test_published_thresholds_are_not_passed_by_other_causes(windows: Windows, values: npt.NDArray[np.float64]) -> None:
    def others(name: str, cause: str) -> npt.NDArray[np.float64]:
        return values[windows.cause != CAUSES.index(cause), PLACES[name]]

    assert (others("distance_margin_low", "C2") < 120).mean() > 0.98
    assert (others("fast_share_low", "C7") <= 0.5).all()
    assert (np.maximum(others("rb_margin_low", "C8"), others("rb_margin_all", "C8")) > 0).all()
    assert (others("mod30_gap_low", "C6") < -10).mean() > 0.98
    assert (others("handovers", "C5") <= 2).all()


def test_a_share_of_labelled_drives_is_written() -> None:
    none, some, only = (list(labelled(200, seed=4, written=share)) for share in (0.0, 0.25, 1.0))
    assert len(none) == len(some) == len({chat["id"] for chat in some}) == 200
    # The simulated ones come first, several a drive; a written one is a drive of its own.
    assert len({chat["group"] for chat in some[150:]}) == 50
    assert not {chat["group"] for chat in some[150:]} & {chat["group"] for chat in some[:150]}
    assert len({chat["group"] for chat in only}) == 200
    with pytest.raises(BadInput, match="written"):
        labelled(10, written=-0.1)


def test_windows_of_two_kinds_stand_one_after_the_other() -> None:
    first, second = simulate(8, seed=1), written(8, seed=1)
    both = joined([first, second], apart=True)
    assert text.standard(both) == text.standard(first) + text.standard(second)
    assert not set(both.cluster[:8].tolist()) & set(both.cluster[8:].tolist())
