"""Windows: what they hold, that they can be made again, and that each cause is what made its windows low."""

from __future__ import annotations

import numpy as np
import pytest

from metier.labs.telecom.antenna import total_tilt
from metier.labs.telecom.compose import compose
from metier.labs.telecom.draft import draft
from metier.labs.telecom.drive import drive, radio_beside, radio_of, sampled
from metier.labs.telecom.evidence import THRESHOLD_MBPS, evidence, literal
from metier.labs.telecom.measurement import cells as table
from metier.labs.telecom.network import networks, planned_tilt
from metier.labs.telecom.parts import CAUSES, Windows
from metier.labs.telecom.scenario import FIELDS, take, without
from metier.labs.telecom.simulator import attempt, is_cause, restored, simulate

N = 240


@pytest.fixture(scope="module")
def made() -> Windows:
    return simulate(N, 5)


def test_the_same_seed_makes_the_same_windows(made: Windows) -> None:
    again, other = simulate(N, 5), simulate(N, 6)
    for name, values in vars(made.drives).items():
        np.testing.assert_array_equal(values, getattr(again.drives, name))
    for name, values in vars(made.cells).items():
        np.testing.assert_array_equal(values, getattr(again.cells, name))
    assert not np.array_equal(made.drives.rsrp_dbm, other.drives.rsrp_dbm)


def test_causes_come_in_the_shares_asked_for(made: Windows) -> None:
    assert np.bincount(made.cause).tolist() == [N // 8] * 8
    some = simulate(40, 1, causes=[0, 0, 0, 0, 0, 0, 3, 1])
    assert np.bincount(some.cause, minlength=8).tolist() == [0, 0, 0, 0, 0, 0, 30, 10]


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"difficulty": 1.5}, {"per_cluster": 0}, {"causes": [1.0]}, {"causes": [0.0] * 8}]
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="="):
        simulate(**{"n": 8, "seed": 1, **wrong})  # type: ignore[arg-type]


def test_values_are_in_the_ranges_and_decimals_of_drive_tests(made: Windows) -> None:
    drives = made.drives
    low = (drives.throughput_mbps < THRESHOLD_MBPS).sum(axis=1)
    assert low.min() >= 2
    assert 0.0 < (low == 10).mean() < 0.3
    assert ((drives.rsrp_dbm > -130.0) & (drives.rsrp_dbm < -45.0)).all()
    assert ((drives.sinr_db >= -20.0) & (drives.sinr_db <= 35.0)).all()
    assert ((drives.throughput_mbps >= 0.0) & (drives.throughput_mbps < 2200.0)).all()
    assert ((drives.n_rb > 0.0) & (drives.n_rb <= 273.0)).all()
    assert ((drives.speed_km_h >= 0.0) & (drives.speed_km_h <= 100.0) & (drives.speed_km_h % 1.0 == 0.0)).all()
    assert ((drives.serving_pci >= 0) & (drives.serving_pci <= 1007)).all()
    for shown in (drives.rsrp_dbm, drives.sinr_db, drives.throughput_mbps, drives.n_rb):
        np.testing.assert_array_equal(shown, np.round(shown, 2))


def test_neighbours_come_strongest_first_and_none_is_the_serving_cell(made: Windows) -> None:
    drives = made.drives
    absent = drives.neighbour_pci < 0
    assert (np.isnan(drives.neighbour_rsrp_dbm) == absent).all()
    filled = np.where(absent, -999.0, drives.neighbour_rsrp_dbm)
    assert (np.diff(filled, axis=2) <= 0.0).all()
    assert (drives.neighbour_pci != drives.serving_pci[:, :, None]).all()


def test_the_serving_cell_is_in_the_table_and_codes_are_unique(made: Windows) -> None:
    cells = made.cells
    listed = (cells.pci[:, None, :] == made.drives.serving_pci[:, :, None]) & cells.exists[:, None, :]
    assert (listed.sum(axis=2) == 1).all()
    assert ((cells.mechanical_downtilt >= 0.0) & (cells.mechanical_downtilt <= 20.0)).all()
    assert ((cells.digital_tilt == 255.0) | ((cells.digital_tilt >= 0.0) & (cells.digital_tilt <= 20.0))).all()
    assert ((cells.beam >= 0) & (cells.beam <= 17)).all()
    assert (np.diff(made.cells.longitude[0]) != 0.0).any()


def test_windows_of_a_cluster_share_the_drive_under_several_causes(made: Windows) -> None:
    several = 0
    for cluster in np.unique(made.cluster):
        rows = np.flatnonzero(made.cluster == cluster)
        latitude = made.drives.latitude[rows]
        assert np.ptp(latitude) < 0.03
        several += len(np.unique(made.cause[rows])) > 1
    assert several > 10
    firsts = made.drives.latitude[np.unique(made.cluster, return_index=True)[1], 0]
    assert len(np.unique(np.round(firsts, 2))) > 0.9 * len(firsts)


def test_removing_a_window_s_own_cause_restores_it_and_removing_any_other_does_not() -> None:
    """The counterfactual, cause by cause, with the same draws."""
    rng = np.random.default_rng(3)
    cause = np.repeat(np.arange(8), 60)
    scenario_draft = draft(rng, networks(rng, 120).take(rng.integers(0, 120, cause.size)), cause, 0.5)
    scenario, mechanisms, plan = compose(rng, scenario_draft)
    run = drive(scenario, mechanisms)
    found = evidence(scenario_draft, scenario, mechanisms, run)
    whole = scenario, mechanisms, cause
    rows = np.flatnonzero((found.low.sum(axis=1) >= 2) & literal(found, cause, 0.5))
    scenario, mechanisms, low, cause = take(scenario, rows), take(mechanisms, rows), found.low[rows], cause[rows]
    proven = is_cause(scenario, mechanisms, cause, low)
    heard = take(radio_beside(plan, *whole), rows)
    np.testing.assert_array_equal(proven, is_cause(scenario, mechanisms, cause, low, (take(plan, rows), heard)))
    kept = np.flatnonzero(proven)
    scenario, mechanisms, low, cause = take(scenario, kept), take(mechanisms, kept), low[kept], cause[kept]
    assert set(cause) == set(range(8))
    for removed, name in enumerate(CAUSES):
        back = restored(scenario, without(mechanisms, scenario, name), low)
        assert (back[cause == removed] >= 0.5).all(), name
        assert back[cause == removed].mean() > 0.7, name
        assert back[cause != removed].max() <= 0.34, name


def test_an_unharmed_network_runs_above_the_threshold() -> None:
    rng = np.random.default_rng(4)
    cause = rng.integers(0, 8, 400)
    planned = draft(rng, networks(rng, 100).take(rng.integers(0, 100, 400)), cause, 0.5)
    scenario, mechanisms, _ = compose(rng, planned)
    for name in FIELDS:
        mechanisms = without(mechanisms, scenario, name)
    rate = sampled(drive(scenario, mechanisms).throughput_mbps)
    assert (rate > THRESHOLD_MBPS).mean() > 0.6
    assert (rate > THRESHOLD_MBPS).mean() > 2.0 * (
        sampled(drive(scenario, mechanisms).throughput_mbps * 0.5) > 600.0
    ).mean()


def test_the_engineering_table_shows_the_tilt_in_force() -> None:
    rng = np.random.default_rng(8)
    cause = np.zeros(64, dtype=np.int64)
    planned = draft(rng, networks(rng, 64), cause, 0.5)
    scenario, mechanisms, _ = compose(rng, planned)
    shown = table(rng, planned, mechanisms, drive(scenario, mechanisms))
    in_force = planned_tilt(planned.network) + mechanisms.steep
    for window in range(len(cause)):
        by_pci = dict(zip(mechanisms.pci[window], in_force[window], strict=True))
        tilts = total_tilt(shown.mechanical_downtilt[window], shown.digital_tilt[window])
        for pci, tilt in zip(shown.pci[window], tilts, strict=True):
            assert tilt == pytest.approx(by_pci[pci])


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_windows_can_be_made_at_either_end_of_the_difficulty(difficulty: float) -> None:
    windows = simulate(80, 2, difficulty=difficulty)
    speed = windows.drives.speed_km_h.max(axis=1)
    others = windows.cause != CAUSES.index("C7")
    passing = (speed[others] > 40.0).mean()
    assert passing == 0.0 if difficulty == 0.0 else passing < 0.35


def test_a_round_of_candidates_gives_the_windows_that_it_says_are_good() -> None:
    rng = np.random.default_rng(9)
    cause = rng.integers(0, 8, 200)
    windows, good = attempt(rng, cause, rng.integers(0, 50, 200), 50, 0.5)
    assert len(windows) == good.sum() > 20
    assert windows.cause.tolist() == cause[good].tolist()


def test_what_a_cause_cannot_change_is_what_the_plan_has() -> None:
    rng = np.random.default_rng(10)
    cause = np.sort(rng.integers(0, 8, 160))
    scenario, mechanisms, plan = compose(rng, draft(rng, networks(rng, 160), cause, 1.0))
    some, whole = radio_beside(plan, scenario, mechanisms, cause), radio_of(scenario, mechanisms)
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(values, getattr(some, name))
    assert not np.array_equal(plan.ratio, whole.ratio)
