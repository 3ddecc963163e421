from __future__ import annotations

import math

import numpy as np
import pytest

from metier.views import VIEWS
from metier.views.telelogs.geometry import depression_deg, far_edge_m, off_azimuth_deg, offsets_m

VIEW = VIEWS["telelogs"]


@pytest.fixture(scope="module")
def found(question: str) -> dict[str, float]:
    names = [feature.name for feature in VIEW.features]
    assert len(set(names)) == len(names)
    return dict(zip(names, VIEW.read(question).values.tolist(), strict=True))


def test_offsets_against_great_circles() -> None:
    """One degree of a great circle is 111.195 km (pi / 180 of the mean radius); east shrinks by cos 60 degrees."""
    east, north = offsets_m(np.array([0.01]), np.array([60.0]), np.array([0.0]), np.array([60.0]))
    assert (east[0], north[0]) == pytest.approx((555.976, 0.0), abs=1e-3)
    east, _ = offsets_m(np.array([-179.99]), np.array([0.0]), np.array([179.99]), np.array([0.0]))
    assert east[0] == pytest.approx(2223.9, abs=0.01)


def test_beam_geometry_by_hand() -> None:
    """30 m above the user: 45 degrees down at 30 m; a beam of 6 at a tilt of 48 ends where it looks down by 45."""
    assert depression_deg(np.array([30.0]), np.array([31.5]))[0] == pytest.approx(45.0)
    assert far_edge_m(np.array([48.0]), np.array([6.0]), np.array([31.5]))[0] == pytest.approx(30.0)
    assert far_edge_m(np.array([3.0]), np.array([6.0]), np.array([31.5]))[0] == math.inf
    assert off_azimuth_deg(np.array([-1.0]), np.array([0.0]), np.array([350.0]))[0] == pytest.approx(80.0)


def test_margins(found: dict[str, float]) -> None:
    assert found["throughput_margin_all"] == pytest.approx(60)
    assert found["throughput_margin_low"] == pytest.approx(-250)
    assert found["throughput_margin_low_least"] == pytest.approx(-300)
    assert found["speed_margin_low"] == pytest.approx(10)
    assert found["speed_margin_drop"] == pytest.approx(20)
    assert found["rb_margin_all"] == pytest.approx(0)
    assert found["rb_margin_low_least"] == pytest.approx(-60)
    assert (found["fast_share_low"], found["few_rb_share_low"], found["far_share_low"]) == (1, 1, 1)
    assert found["distance_margin_low"] == pytest.approx(111.951, abs=1e-3)


def test_tilt_geometry(found: dict[str, float]) -> None:
    """PCI 103: tilt 12, width 6, 30 m above the user at 1111.951 m; 143: tilt 2, width 25, 20 m above."""
    first, second = (math.degrees(math.atan(height / 1111.951)) for height in (30, 20))
    assert found["tilt_low"] == pytest.approx(7)
    assert found["beyond_far_edge_low"] == pytest.approx((9 - first + (-10.5 - second)) / 2, abs=1e-4)
    assert found["beyond_near_edge_low"] == pytest.approx((first - 15 + (second - 14.5)) / 2, abs=1e-4)
    edges = 30 / math.tan(math.radians(9)), 20_000
    assert found["far_edge_ratio_low"] == pytest.approx(sum(math.log2(1111.951 / edge) for edge in edges) / 2, abs=1e-4)
    # 103 looks to 80 degrees, the user is east of it; 143 looks west, where the user is.
    assert found["off_azimuth_low"] == pytest.approx((10 + 0) / 2)


def test_neighbours(found: dict[str, float]) -> None:
    """Low samples: 103 hears 133 at +2, 143 at -2, 104 of its own mast at -5; 143 hears 103 at -2 and 133 at -2.5."""
    assert found["best_gap_low"] == pytest.approx(0)
    assert found["apart_gap_low"] == pytest.approx(0)
    assert found["together_gap_low"] == pytest.approx((-5 - 40) / 2)
    assert found["apart_within_3db_low"] == pytest.approx(2)
    assert found["together_within_6db_low"] == pytest.approx(0.5)
    # 133 and 103 differ by 30; 143 shares no remainder modulo 30 with either.
    assert found["mod30_gap_low"] == pytest.approx((2 - 40) / 2)
    assert found["mod30_within_10db_low"] == pytest.approx(0.5)
    assert found["mod3_gap_all"] == pytest.approx((4 * -40 + 2) / 5)
    sums = [10 * math.log10(sum(10 ** (gap / 10) for gap in gaps)) for gaps in ((2, -2), (-2, -2.5))]
    assert found["apart_sum_gap_low"] == pytest.approx(sum(sums) / 2)


def test_handovers(found: dict[str, float]) -> None:
    """103 103 103 143 103: there and back, the second change a ping-pong, both at a low sample."""
    assert (found["handovers"], found["handovers_at_low"], found["ping_pongs"], found["cells_served"]) == (2, 2, 1, 2)
    assert found["handover_gain"] == pytest.approx(((300 + 900) / 2 - (800 + 400) / 2 + 900 - (400 + 300) / 2) / 2)
    assert found["handover_gain_most"] == pytest.approx(550)
    assert found["after_low_gain"] == pytest.approx(550)
    assert found["other_cell_gain"] == pytest.approx(750 - 300)
    assert found["other_cell_gap"] == pytest.approx(-2)
    assert (found["low_share"], found["longest_low_share"], found["low_runs"]) == (0.4, 0.4, 1)


def test_correlations(question: str, found: dict[str, float]) -> None:
    throughput, speed = [900, 800, 400, 300, 900], [30, 30, 50, 50, 30]
    assert found["follows_speed_margin"] == pytest.approx(np.corrcoef(throughput, speed)[0, 1])
    assert found["follows_rb_margin"] == pytest.approx(-found["follows_speed_margin"])
    assert VIEW.read(question.replace("|50|", "|30|")).values[
        [feature.name for feature in VIEW.features].index("follows_speed_margin")
    ] == pytest.approx(0)


def test_statement(question: str) -> None:
    text = VIEW.read(question).text
    assert text is not None
    assert text.splitlines()[:4] == [
        "Low throughput (<600 Mbit/s): 2 of 5 samples, low 350, others 867 Mbit/s",
        "Speed: low 50, others 30 km/h, 100% above 40",
        "RBs: low 100, others 200, 100% below 160",
        "Distance: low 1112, others 1112 m, 100% above 1000",
    ]
    assert len(text) < 900


def test_places_times_and_names_do_not_matter(question: str) -> None:
    """What a tree could learn a simulator by: shifting the map, the clock, the ids and the PCIs by 30 changes nothing."""
    moved = question.replace("0033164", "0099999").replace("2025-05-07", "2031-01-01").replace("NR AAU", "XY")
    for before, after in (("|103|", "|403|"), ("|104|", "|404|"), ("|133|", "|433|"), ("|143|", "|443|")):
        # Neighbouring cells share a bar, which one replacement passes over.
        moved = moved.replace(before, after).replace(before, after)
    assert np.array_equal(VIEW.read(question).values, VIEW.read(moved).values, equal_nan=True)
