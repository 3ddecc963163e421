"""Formulas against hand calculations from the technical reports."""

from __future__ import annotations

import numpy as np
import pytest

from metier.labs.telecom import antenna, geometry, handover, link, mobility, propagation, radio


def test_metres_and_degrees_are_inverse_and_a_degree_of_latitude_is_111_km() -> None:
    here = np.array([128.0]), np.array([32.0])
    lon, lat = geometry.to_degrees(np.array([850.0]), np.array([-420.0]), *here)
    assert geometry.to_metres(lon, lat, *here) == (pytest.approx([850.0]), pytest.approx([-420.0]))
    # WGS 84 at the equator: 111.320 km a degree of longitude, 110.574 km a degree of latitude.
    east, north = geometry.degrees_per_metre(np.array([0.0]))
    assert 1.0 / east == pytest.approx(111_319.5, rel=1e-5)
    assert 1.0 / north == pytest.approx(110_574.3, rel=1e-5)


def test_angles_wrap_to_half_turns() -> None:
    assert geometry.wrap(np.array([0.0, 190.0, -350.0, 540.0 - 1.0])) == pytest.approx([0.0, -170.0, 10.0, 179.0])


def test_patterns_are_those_of_tr_36_814_table_a_2_1_1_2() -> None:
    assert antenna.horizontal_loss(np.array([0.0, 32.5, 65.0, 180.0])) == pytest.approx([0.0, 3.0, 12.0, 30.0])
    below, width = np.array([6.0, 9.0, 3.0, 60.0]), np.array([6.0])
    assert antenna.vertical_loss(below, np.array([6.0]), width) == pytest.approx([0.0, 3.0, 3.0, 30.0])
    assert antenna.pattern_loss(np.array([25.0]), np.array([12.0])) == pytest.approx([30.0])


def test_the_default_digital_tilt_is_six_degrees_and_beams_are_as_wide_as_the_question_says() -> None:
    assert antenna.total_tilt(np.array([4.0, 4.0]), np.array([255.0, 9.0])).tolist() == [10.0, 13.0]
    assert antenna.vertical_width(np.array([0, 5, 6, 11, 12, 17])).tolist() == [6.0, 6.0, 12.0, 12.0, 25.0, 25.0]


def test_path_loss_is_that_of_tr_38_901_table_7_4_1_1() -> None:
    # 3D distance 100 m, 3.5 GHz, 20 log10(3.5) = 10.8814. UMa LOS 28 + 44 + 10.8814; NLOS 13.54 + 78.16 + 10.8814.
    log_d3d, d2d = np.array([2.0]), np.array([97.2])
    los, nlos = propagation.urban_macro(log_d3d, d2d, np.array([25.0]), np.array([3.5]))
    assert (los[0], nlos[0]) == pytest.approx((82.881, 102.581), abs=1e-3)
    # UMi LOS 32.4 + 42 + 10.8814; NLOS 22.4 + 70.6 + 21.3 x 0.544068.
    los, nlos = propagation.urban_micro(log_d3d, d2d, np.array([10.0]), np.array([3.5]))
    assert (los[0], nlos[0]) == pytest.approx((85.281, 104.589), abs=1e-3)


def test_path_loss_beyond_the_breakpoint_falls_with_the_fourth_power() -> None:
    # d'_BP = 4 x 24 x 0.5 x 3.5e9 / c = 560.4 m; at 2 km: 28 + 40 log10 2000 + 10.8814 - 9 log10(560.4^2 + 23.5^2).
    assert propagation.breakpoint_m(np.array([25.0]), np.array([3.5])) == pytest.approx([560.39], abs=0.01)
    los, _ = propagation.urban_macro(np.log10([2000.0]), np.array([2000.0]), np.array([25.0]), np.array([3.5]))
    assert los == pytest.approx([28.0 + 132.0412 + 10.8814 - 49.4817], abs=2e-3)


def test_suburban_loss_is_that_of_tr_36_814_table_b_1_2_1_1() -> None:
    los, nlos = propagation.suburban_macro(np.array([2.0]), np.array([95.0]), np.array([35.0]), np.array([2.0]))
    # 20 log10(40 pi 100 x 2 / 3) + 0.03 x 52.48 x 2 - 0.044 x 52.48 + 0.002 x 100 = 78.462 + 3.149 - 2.309 + 0.2.
    assert los[0] == pytest.approx(79.502, abs=2e-3)
    # 161.04 - 9.237 + 7.5 - (24.37 - 3.7 / 12.25) x 1.54407 + (43.42 - 4.78661) x (-1) + 6.0206 - (3.2 x 1.24629^2 - 4.97).
    assert nlos[0] == pytest.approx(89.527, abs=2e-3)


def test_lines_of_sight_are_as_likely_as_tr_38_901_table_7_4_2_1_says() -> None:
    at = np.array([10.0, 18.0, 63.0])
    one = 18.0 / 63.0 + np.exp(-1.0) * (1.0 - 18.0 / 63.0)
    assert propagation.los_probability(propagation.URBAN_MACRO, at) == pytest.approx([1.0, 1.0, one])
    at = np.array([36.0])
    assert propagation.los_probability(propagation.URBAN_MICRO, at) == pytest.approx([0.5 + 0.5 * np.exp(-1.0)])
    at = np.array([10.0, 210.0])
    assert propagation.los_probability(propagation.SUBURBAN, at) == pytest.approx([1.0, np.exp(-1.0)])


def test_shadowing_is_standard_normal_correlated_along_the_road_and_between_sites() -> None:
    field = propagation.field_along_road(np.random.default_rng(1), 4000, 3, 20, 10.0, np.full(4000, 50.0))
    assert field.std() == pytest.approx(1.0, abs=0.02)
    # exp(-10/50) from point to point (TR 38.901 section 7.4.4), one half between sites (TR 36.814 Table A.2.1.1-2).
    assert (field[:, 1:] * field[:, :-1]).mean() == pytest.approx(np.exp(-0.2), abs=0.02)
    assert (field[:, :, 0] * field[:, :, 1]).mean() == pytest.approx(0.5, abs=0.03)


def test_channel_ages_as_bessel_s_function_says() -> None:
    from scipy.special import j0

    speed = np.array([0.0, 20.0, 40.0, 60.0])
    doppler = speed / 3.6 * 3.5e9 / 299_792_458.0
    wanted = j0(2.0 * np.pi * doppler * 1e-3) ** 2
    assert link.ageing(speed, np.array(3.5), np.array(1e-3)) == pytest.approx(wanted, abs=1e-4)
    assert link.aged_sinr(np.array([100.0]), np.array([0.9])) == pytest.approx([90.0 / 11.0])


def test_a_100_mhz_carrier_peaks_at_about_one_and_a_half_gigabits() -> None:
    bits = link.efficiency(np.array([1e6]), np.array([0.75]), np.array([4]))
    assert bits == pytest.approx([4 * 7.4063])
    # TS 38.306 section 4.1.2: 29.6252 x 273 x 12 x 14 x 2000 x 0.6.
    assert link.throughput(bits, np.array([273.0]), np.array([0.6])) == pytest.approx([1630.5], abs=0.2)


def test_rank_follows_the_sinr() -> None:
    low, high = 10.0**-0.5, 10.0**2.5
    one = link.efficiency(np.array([low, high]), np.array([0.7]), np.array([1]))
    four = link.efficiency(np.array([low, high]), np.array([0.7]), np.array([4]))
    assert four[0] / one[0] < 1.3
    assert four[1] / one[1] > 2.5


def test_handover_waits_for_offset_and_time_to_trigger() -> None:
    rsrp = np.full((2, 2, 10), -90.0)
    rsrp[:, 1, :] = -95.0
    rsrp[:, 1, 3:] = -86.0
    serving, since = handover.serve(rsrp, np.array([3.0, 5.0]), np.array([1.0, 1.0]), 0.5)
    # Entered at step 3, held at 3, 4 and 5: one second; four decibels are not five.
    assert serving[0].tolist() == [0] * 5 + [1] * 5
    assert serving[1].tolist() == [0] * 10
    # An offset below zero is no handover to the serving cell itself.
    hasty, since_hasty = handover.serve(rsrp, np.array([-1.0, -1.0]), np.zeros(2), 0.5)
    assert hasty[0].tolist() == [0] * 3 + [1] * 7
    assert (since_hasty[0, :3] > 1000).all()
    assert since[0, 5:].tolist() == [0, 1, 2, 3, 4]
    share = handover.share_after(since, np.array([0.1, 0.1]), np.array([0.5, 0.5]), np.array([1.0, 1.0]), 0.5)
    assert share[0, 4] == 1.0
    assert share[0, 5] == pytest.approx(0.5 * 0.8)
    assert share[0, 7] == pytest.approx(1.0 - 0.5 * np.exp(-1.0))


def test_the_same_pci_mod_30_disturbs_whatever_the_load() -> None:
    # Serving PCI 113; 143 = 113 + 30 collides, 115 does not, 116 shares the remainder by 3.
    active = radio.activity(np.full((1, 4), 0.1), np.array([[113, 143, 115, 116]]), np.array([[113]]))
    assert active[0, 1:, 0] == pytest.approx([1.0, 0.1, 0.13])
    power = radio.linear(np.array([-80.0, -86.0, -90.0, -90.0]))[None, :, None]
    found = radio.sinr(power, active, np.array([[0]]), np.array([1e-12]))
    wanted = 1e-8 / (10**-8.6 + 0.1e-9 + 0.13e-9 + 1e-12)
    assert found[0, 0] == pytest.approx(wanted, rel=1e-4)
    # -174 dBm/Hz over 30 kHz and 7 dB of noise figure.
    assert radio.thermal_dbm(np.array([7.0])) == pytest.approx([-122.23], abs=0.01)


def test_cars_keep_to_their_acceleration_and_roads_to_their_arc() -> None:
    speed = mobility.limited(np.array([[0.0, 100.0, 100.0, 0.0]]), 0.5)
    assert np.abs(np.diff(speed)).max() <= mobility.MAX_ACCELERATION_KM_H_S * 0.5
    assert mobility.travelled(np.full((1, 3), 36.0), 0.5)[0] == pytest.approx([0.0, 5.0, 10.0])
    zero = np.array([0.0])
    # A quarter of a circle of 100 m radius, begun northwards, bending east.
    quarter = np.array([[50.0 * np.pi]])
    east, north = mobility.along(quarter, zero, zero, zero, np.array([0.01]))
    assert (east[0, 0], north[0, 0]) == (pytest.approx(100.0), pytest.approx(100.0))
