"""Positions: the plane tangent to the ellipsoid at a drive's origin, bearings and elevations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

# WGS 84 (NIMA TR 8350.2): semi-major axis in metres and first eccentricity squared.
SEMI_MAJOR_M = 6378137.0
ECCENTRICITY_2 = 6.69437999014e-3
UE_HEIGHT_M = 1.5


def degrees_per_metre(latitude: Array) -> tuple[Array, Array]:
    """Degrees of longitude and of latitude that one metre east and one metre north make at these latitudes (degrees)."""
    phi = np.radians(np.asarray(latitude, dtype=np.float64))
    under = 1.0 - ECCENTRICITY_2 * np.sin(phi) ** 2
    prime_vertical = SEMI_MAJOR_M / np.sqrt(under)
    meridian = SEMI_MAJOR_M * (1.0 - ECCENTRICITY_2) / under**1.5
    return np.degrees(1.0 / (prime_vertical * np.cos(phi))), np.degrees(1.0 / meridian)


def to_degrees(east_m: Array, north_m: Array, longitude: Array, latitude: Array) -> tuple[Array, Array]:
    """(longitude, latitude) in degrees of points given in metres from the origin (`longitude`, `latitude`)."""
    per_east, per_north = degrees_per_metre(latitude)
    return longitude + east_m * per_east, latitude + north_m * per_north


def to_metres(lon: Array, lat: Array, longitude: Array, latitude: Array) -> tuple[Array, Array]:
    """(east, north) in metres from the origin; the inverse of `to_degrees`."""
    per_east, per_north = degrees_per_metre(latitude)
    return (lon - longitude) / per_east, (lat - latitude) / per_north


def bearing(east: Array, north: Array) -> Array:
    """Degrees clockwise from north, in [-180, 180]."""
    return np.degrees(np.arctan2(east, north))


def wrap(angle: Array) -> Array:
    """The same angle in [-180, 180]."""
    turns = angle * (1.0 / 360.0)
    np.rint(turns, out=turns)
    turns *= 360.0
    found: Array = np.subtract(angle, turns, out=turns)
    return found


def depression(height_m: Array, distance_m: Array) -> Array:
    """Degrees below the horizon at which an antenna at `height_m` sees the vehicle `distance_m` away on the ground."""
    found: Array = np.degrees(np.arctan2(height_m - UE_HEIGHT_M, distance_m))
    return found
