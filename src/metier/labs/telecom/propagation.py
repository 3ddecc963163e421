"""Path loss, line of sight and shadowing: 3GPP TR 38.901 (UMa, UMi street canyon) and TR 36.814 (suburban macro).

Distances in metres, frequency in GHz, losses in dB. The vehicle's antenna is UE_HEIGHT_M above ground.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.geometry import UE_HEIGHT_M

Array = npt.NDArray[np.floating]

URBAN_MACRO, URBAN_MICRO, SUBURBAN = 0, 1, 2
LIGHT_SPEED_M_S = 299_792_458.0
# Shadow fading in dB with line of sight and without (TR 38.901 Table 7.4.1-1; TR 36.814 Table B.1.2.1-1 for SMa)
# and its correlation distance in metres (TR 38.901 Table 7.5-6; TR 36.814 Table B.1.2.2.1-4).
SHADOW_LOS_DB = (4.0, 4.0, 4.0)
SHADOW_NLOS_DB = (6.0, 7.82, 8.0)
CORRELATION_LOS_M = (37.0, 10.0, 40.0)
CORRELATION_NLOS_M = (50.0, 13.0, 50.0)
# Heights of the surroundings: the effective environment height (TR 38.901 Table 7.4.1-1, note 1), and the suburban
# buildings and street width that TR 36.814 Table B.1.2.1-1 assumes.
ENVIRONMENT_HEIGHT_M = 1.0
SUBURBAN_BUILDING_M = 10.0
STREET_WIDTH_M = 20.0


def breakpoint_m(height_m: Array, frequency_ghz: Array) -> Array:
    """d'_BP = 4 h'_BS h'_UT f / c (TR 38.901 Table 7.4.1-1, note 1)."""
    return (
        4.0
        * (height_m - ENVIRONMENT_HEIGHT_M)
        * (UE_HEIGHT_M - ENVIRONMENT_HEIGHT_M)
        * frequency_ghz
        * (1e9 / LIGHT_SPEED_M_S)
    )


def urban_macro(log_d3d: Array, d2d: Array, height_m: Array, frequency_ghz: Array) -> tuple[Array, Array]:
    """(LOS, NLOS) loss, UMa of TR 38.901 Table 7.4.1-1. `log_d3d` is log10 of the 3D distance."""
    frequency = 20.0 * np.log10(frequency_ghz)
    turn = breakpoint_m(height_m, frequency_ghz)
    beyond = 9.0 * np.log10(turn**2 + (height_m - UE_HEIGHT_M) ** 2)
    los = 28.0 + frequency + np.where(d2d <= turn, 22.0 * log_d3d, 40.0 * log_d3d - beyond)
    return los, np.maximum(los, 13.54 + 39.08 * log_d3d + frequency - 0.6 * (UE_HEIGHT_M - 1.5))


def urban_micro(log_d3d: Array, d2d: Array, height_m: Array, frequency_ghz: Array) -> tuple[Array, Array]:
    """(LOS, NLOS) loss, UMi street canyon of TR 38.901 Table 7.4.1-1."""
    log_f = np.log10(frequency_ghz)
    turn = breakpoint_m(height_m, frequency_ghz)
    beyond = 9.5 * np.log10(turn**2 + (height_m - UE_HEIGHT_M) ** 2)
    los = 32.4 + 20.0 * log_f + np.where(d2d <= turn, 21.0 * log_d3d, 40.0 * log_d3d - beyond)
    return los, np.maximum(los, 22.4 + 35.3 * log_d3d + 21.3 * log_f - 0.3 * (UE_HEIGHT_M - 1.5))


def suburban_macro(log_d3d: Array, d2d: Array, height_m: Array, frequency_ghz: Array) -> tuple[Array, Array]:
    """(LOS, NLOS) loss, SMa of TR 36.814 Table B.1.2.1-1 (buildings of 10 m, streets of 20 m)."""
    log_f = np.log10(frequency_ghz)
    rise = SUBURBAN_BUILDING_M**1.72
    slope = 20.0 + min(0.03 * rise, 10.0)
    offset = 20.0 * np.log10(40.0 * np.pi / 3.0) + 20.0 * log_f - min(0.044 * rise, 14.77)
    bend = 0.002 * np.log10(SUBURBAN_BUILDING_M)
    d3d = 10.0**log_d3d
    turn = 2.0 * np.pi * height_m * UE_HEIGHT_M * frequency_ghz * (1e9 / LIGHT_SPEED_M_S)
    near = slope * log_d3d + offset + bend * d3d
    far = slope * np.log10(turn) + offset + bend * turn + 40.0 * (log_d3d - np.log10(turn))
    los = np.where(d2d <= turn, near, far)
    log_h = np.log10(height_m)
    nlos = (
        161.04
        - 7.1 * np.log10(STREET_WIDTH_M)
        + 7.5 * np.log10(SUBURBAN_BUILDING_M)
        - (24.37 - 3.7 * (SUBURBAN_BUILDING_M / height_m) ** 2) * log_h
        + (43.42 - 3.1 * log_h) * (log_d3d - 3.0)
        + 20.0 * log_f
        - (3.2 * np.log10(11.75 * UE_HEIGHT_M) ** 2 - 4.97)
    )
    return los, np.maximum(los, nlos)


def los_probability(environment: int, d2d: Array) -> Array:
    """TR 38.901 Table 7.4.2-1 for UMa (vehicle below 13 m) and UMi; TR 36.814 Table B.1.2.1-2 for SMa."""
    if environment == SUBURBAN:
        sight: Array = np.exp(-np.maximum(d2d - 10.0, 0.0) / 200.0)
        return sight
    scale = 63.0 if environment == URBAN_MACRO else 36.0
    near = np.minimum(18.0 / np.maximum(d2d, 1.0), 1.0)
    found: Array = near + np.exp(-d2d / scale) * (1.0 - near)
    return found


MODELS = (urban_macro, urban_micro, suburban_macro)


def path_gain(
    environment: npt.NDArray[np.integer],
    d2d: Array,
    height_m: Array,
    frequency_ghz: Array,
    sight: Array,
    shadow: Array,
) -> Array:
    """Minus path loss and shadowing in dB, (n, s, t) as `d2d`; `environment` and `frequency_ghz` are (n,),
    `height_m` (n, s).

    `sight` is a uniform field in [0, 1]: there is line of sight where it is below the LOS probability, with a soft edge
    because a vehicle does not leave it from one wavelength to the next (TR 38.901 section 7.6.3.3). `shadow` is a standard
    normal field.
    """
    gain = np.empty_like(d2d)
    for one, model in enumerate(MODELS):
        (rows,) = np.nonzero(environment == one)
        if not len(rows):
            continue
        distance = d2d[rows]
        height = height_m[rows][:, :, None]
        frequency = frequency_ghz[rows][:, None, None]
        log_d3d = 0.5 * np.log10(distance**2 + (height - UE_HEIGHT_M) ** 2)
        los, nlos = model(log_d3d, distance, height, frequency)
        share = np.clip((los_probability(one, distance) - sight[rows]) * 10.0 + 0.5, 0.0, 1.0)
        spread = share * SHADOW_LOS_DB[one] + (1.0 - share) * SHADOW_NLOS_DB[one]
        gain[rows] = -(share * los + (1.0 - share) * nlos) - spread * shadow[rows]
    return gain


def field_along_road(
    rng: np.random.Generator, n: int, n_sites: int, n_points: int, step_m: float, correlation_m: Array
) -> npt.NDArray[np.float32]:
    """Standard normal fields (n, points, sites) along a road, correlated as exp(-d / correlation_m) (n,).

    TR 38.901 section 7.4.4. Sites share half of the variance, as TR 36.814 Table A.2.1.1-2 has it (0.5 between sites).
    """
    draws = rng.standard_normal((n_points, n, n_sites + 1), dtype=np.float32)
    keep = np.exp(-step_m / correlation_m).astype(np.float32)[:, None]
    renew = np.sqrt(1.0 - keep**2)
    for i in range(1, n_points):
        draws[i] = keep * draws[i - 1] + renew * draws[i]
    mixed = (draws[:, :, 1:] + draws[:, :, :1]) * np.float32(np.sqrt(0.5))
    return np.ascontiguousarray(mixed.transpose(1, 0, 2))


def to_uniform(normal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A standard normal field as a uniform one, by the logistic approximation of its distribution (error below 0.01)."""
    found: npt.NDArray[np.float32] = 1.0 / (1.0 + np.exp(np.float32(-1.702) * normal))
    return found
