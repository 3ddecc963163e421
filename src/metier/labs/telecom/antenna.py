"""Sector antennas: patterns, beam scenarios and what tilt is in force."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.parts import DEFAULT_TILT

Array = npt.NDArray[np.floating]

# TR 38.901 Table 7.3-1: half-power width of a sector, and the floor of its pattern. (TR 36.814 has 70 degrees and 25 dB.)
HORIZONTAL_WIDTH_DEG = 65.0
FLOOR_DB = 30.0
# What the published question says of a digital tilt of 255.
DEFAULT_TILT_DEG = 6.0
# Gain in dBi of the broad beams that carry the synchronisation signals, in the order of text.TXRX_MODES (32T32R,
# 64T64R, 8T8R, 4T4R): the element's 8 dBi of TR 38.901 Table 7.3-1 and the part of 10 log10 n that such a beam uses.
MODE_GAIN_DBI = (20.0, 22.0, 16.0, 14.0)
MODE_CHANNELS = (32, 64, 8, 4)


def vertical_width(beam: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Degrees of vertical beamwidth of a beam scenario, as the published question gives them.

    0 stands for Default: up to SCENARIO_5 6 degrees, to SCENARIO_11 12, above 25.
    """
    return np.where(beam <= 5, 6.0, np.where(beam <= 11, 12.0, 25.0)).astype(np.float32)


def total_tilt(mechanical: Array, digital: Array) -> Array:
    """Degrees below the horizon of the main lobe: mechanical plus digital, where a digital DEFAULT_TILT is 6 degrees."""
    return mechanical + np.where(digital == DEFAULT_TILT, DEFAULT_TILT_DEG, digital)


def horizontal_loss(off_axis_deg: Array) -> Array:
    """dB below the main lobe, `off_axis_deg` from it: min(12 (phi / 65)^2, 30), the form of TR 36.814 Table A.2.1.1-2."""
    loss = np.square(off_axis_deg)
    loss *= 12.0 / HORIZONTAL_WIDTH_DEG**2
    found: Array = np.minimum(loss, FLOOR_DB, out=loss)
    return found


def vertical_loss(depression_deg: Array, tilt_deg: Array, width_deg: Array) -> Array:
    """dB below the main lobe in elevation: min(12 ((theta - tilt) / width)^2, 30), as in TR 36.814 Table A.2.1.1-2."""
    off = depression_deg - tilt_deg
    off *= np.sqrt(np.float32(12.0)) / width_deg
    np.square(off, out=off)
    found: Array = np.minimum(off, FLOOR_DB, out=off)
    return found


def pattern_loss(horizontal_db: Array, vertical_db: Array) -> Array:
    """Both patterns together, never more than the floor (TR 36.814 Table A.2.1.1-2, combining method)."""
    loss = horizontal_db + vertical_db
    found: Array = np.minimum(loss, FLOOR_DB, out=loss)
    return found


def radiated(gain: Array, depression: Array, horizontal: Array, tilt: Array, width: Array) -> Array:
    """Gain of path and pattern, dB (n, c, t): gain and depression (n, s, t) of the sites, the rest of their sectors."""
    n, n_sites, n_steps = gain.shape
    n_cells = horizontal.shape[1]
    by_site = (n, n_sites, n_cells // n_sites)
    vertical = vertical_loss(depression[:, :, None], tilt.reshape(*by_site, 1), width.reshape(*by_site, 1))
    loss = pattern_loss(horizontal.reshape(*by_site, n_steps), vertical)
    found: Array = np.subtract(gain[:, :, None], loss, out=loss).reshape(n, n_cells, n_steps)
    return found
