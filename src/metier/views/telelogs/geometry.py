"""Plane geometry around a drive, and where a user stands in a cell's beam."""

from __future__ import annotations

import numpy as np

from metier.views.base import FloatArray

# Mean earth radius (IUGG), and the height of a user's antenna in 3GPP TR 38.901, table 7.4.1-1 (outdoor, at street level).
EARTH_RADIUS_M = 6_371_008.8
USER_HEIGHT_M = 1.5


def offsets_m(
    longitude: FloatArray, latitude: FloatArray, from_longitude: FloatArray, from_latitude: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Metres east and north from one place (degrees) to another, on the plane that touches the earth there.

    On the sphere the error is below 0.1% within 10 km; against the WGS 84 ellipsoid it is at most 0.6%. Shapes broadcast.
    """
    turn = (longitude - from_longitude + 180.0) % 360.0 - 180.0
    middle = np.radians((latitude + from_latitude) / 2)
    east = np.radians(turn) * np.cos(middle) * EARTH_RADIUS_M
    north = np.radians(latitude - from_latitude) * EARTH_RADIUS_M
    return east, north


def off_azimuth_deg(east_m: FloatArray, north_m: FloatArray, azimuth_deg: FloatArray) -> FloatArray:
    """How far (0 to 180 degrees) the direction of an offset is from an azimuth (degrees clockwise from north)."""
    bearing = np.degrees(np.arctan2(east_m, north_m))
    return np.abs((bearing - azimuth_deg + 180.0) % 360.0 - 180.0)


def depression_deg(distance_m: FloatArray, height_m: FloatArray) -> FloatArray:
    """The angle below the horizon under which an antenna sees a user at a horizontal distance."""
    return np.degrees(np.arctan2(height_m - USER_HEIGHT_M, distance_m))


def far_edge_m(tilt_deg: FloatArray, beamwidth_deg: FloatArray, height_m: FloatArray) -> FloatArray:
    """Where the upper edge of the beam (tilt minus half the vertical beamwidth) meets a user's height.

    Infinite where that edge points to the horizon or above it: the beam then has no far end.
    """
    edge = np.radians(tilt_deg - beamwidth_deg / 2)
    return np.where(edge > 0, (height_m - USER_HEIGHT_M) / np.tan(np.maximum(edge, 1e-9)), np.inf)
