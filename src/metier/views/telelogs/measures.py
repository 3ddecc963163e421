"""What an engineer reads off every sample: margins to the published thresholds, tilt geometry, neighbours' gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metier.views.base import Feature, FloatArray
from metier.views.telelogs.geometry import depression_deg, far_edge_m, off_azimuth_deg, offsets_m
from metier.views.telelogs.parser import Scene

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

# The published thresholds: what the question and its options C2, C7 and C8 name.
LOW_THROUGHPUT_MBPS = 600.0
FAR_M = 1000.0
FAST_KM_H = 40.0
FEW_RB = 160.0
# Cells nearer to one another than this stand on one mast; positions are published to 0.001 degrees, about 100 m.
COLOCATED_M = 60.0
# A far edge at or beyond the horizon counts as this many metres away.
HORIZON_M = 20_000.0
# What stands for "no such neighbour" in a gap: further below the serving cell than any that is reported.
NO_NEIGHBOUR_DB = -40.0
# Where a cell without coordinates stands among others of its PCI: behind all of them.
_NOWHERE_M = 1e9

MEASURES = (
    Feature("throughput_margin", "Mbit/s", "downlink throughput minus 600"),
    Feature("distance_margin", "m", "horizontal distance to the serving cell minus 1000"),
    Feature("speed_margin", "km/h", "vehicle speed minus 40"),
    Feature("rb_margin", "RB", "scheduled resource blocks minus 160"),
    Feature("rsrp", "dBm", "RSRP of the serving cell"),
    Feature("sinr", "dB", "SINR of the serving cell"),
    Feature("tilt", "deg", "total downtilt of the serving cell, mechanical + digital (255 is 6)"),
    Feature("beyond_far_edge", "deg", "how far above the beam's upper edge (tilt - beamwidth / 2) the user stands"),
    Feature("beyond_near_edge", "deg", "how far below the beam's lower edge (tilt + beamwidth / 2) the user stands"),
    Feature("far_edge_ratio", "", "log2 of the distance over that at which the beam's upper edge meets the ground"),
    Feature("off_azimuth", "deg", "angle between the serving cell's azimuth and the direction to the user"),
    Feature("rsrp_over_free_space", "dB", "RSRP plus 20 log10 of the distance in m: falls where coverage is weak"),
    Feature("nearest_ratio", "", "log2 of the distance to the serving cell over that to the nearest site"),
    Feature("rate_per_rb", "", "log2 of throughput per resource block over Shannon's bits/s/Hz at the SINR"),
    Feature("best_gap", "dB", "RSRP of the strongest neighbour minus that of the serving cell"),
    Feature("apart_gap", "dB", "RSRP of the strongest neighbour on another site minus that of the serving cell"),
    Feature("together_gap", "dB", "RSRP of the strongest co-located neighbour minus that of the serving cell"),
    Feature("apart_sum_gap", "dB", "summed power of the neighbours on other sites over that of the serving cell"),
    Feature("apart_within_3db", "", "neighbours on other sites at most 3 dB below the serving cell"),
    Feature("apart_within_6db", "", "neighbours on other sites at most 6 dB below the serving cell"),
    Feature("apart_within_10db", "", "neighbours on other sites at most 10 dB below the serving cell"),
    Feature("together_within_6db", "", "co-located neighbours at most 6 dB below the serving cell"),
    Feature("mod30_gap", "dB", "RSRP of the strongest neighbour of the same PCI mod 30 minus that of the serving cell"),
    Feature("mod30_within_10db", "", "neighbours of the same PCI mod 30 at most 10 dB below the serving cell"),
    Feature("mod3_gap", "dB", "RSRP of the strongest neighbour of the same PCI mod 3 minus that of the serving cell"),
    Feature("sinr_surplus", "dB", "SINR plus the summed power of all neighbours over that of the serving cell"),
)
PLACES = {measure.name: place for place, measure in enumerate(MEASURES)}


@dataclass(frozen=True)
class Measured:
    """`values` (n_measures, n_samples) in the order of MEASURES, NaN where not measured, and what they came from."""

    values: FloatArray
    scene: Scene

    def of(self, name: str) -> FloatArray:
        """One measure over the samples."""
        return np.asarray(self.values[PLACES[name]])


def measure(scene: Scene) -> Measured:
    """Every measure of every sample."""
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = _sight(scene)
        own, rest = _own(scene, seen), _neighbours(scene, seen)
        return Measured(np.array([*own, *rest]), scene)


@dataclass(frozen=True)
class _Sight:
    """Where the cells are, seen from n samples: offsets in metres and distances (n, m); `cell` (n, 1 + 5) the serving
    cell and the neighbours as places among the m cells, -1 where the engineering table does not have the PCI."""

    east_m: FloatArray
    north_m: FloatArray
    distance_m: FloatArray
    cell: IntArray


def _sight(scene: Scene) -> _Sight:
    drive, cells = scene.drive, scene.cells
    east, north = offsets_m(drive.longitude[:, None], drive.latitude[:, None], cells.longitude, cells.latitude)
    distance = np.hypot(east, north)
    pci = np.concatenate([drive.pci[:, None], drive.neighbour_pci], axis=1)
    same = pci[:, :, None] == cells.pci
    # Where a PCI is there twice, the nearest cell that has it is the one heard; one without a place comes last.
    nearest = np.where(same, np.nan_to_num(distance, nan=_NOWHERE_M)[:, None, :], np.inf).argmin(axis=2)
    return _Sight(east, north, distance, np.where(same.any(axis=2), nearest, -1))


def _own(scene: Scene, seen: _Sight) -> list[FloatArray]:
    drive, cells = scene.drive, scene.cells
    serving = seen.cell[:, 0]
    known = serving >= 0
    here = np.arange(len(serving))
    tilt, width, height, azimuth = (
        np.where(known, values[serving], np.nan)
        for values in (cells.tilt_deg, cells.beamwidth_deg, cells.height_m, cells.azimuth_deg)
    )
    distance = np.where(known, seen.distance_m[here, serving], np.nan)
    from_serving = seen.east_m[here, serving], seen.north_m[here, serving]
    depression = depression_deg(distance, height)
    edge = np.minimum(far_edge_m(tilt, width, height), HORIZON_M)
    nearest = np.fmin.reduce(seen.distance_m, axis=1)
    bits = np.log2(1 + 10 ** (drive.sinr_db / 10))
    return [
        drive.throughput_mbps - LOW_THROUGHPUT_MBPS,
        distance - FAR_M,
        drive.speed_km_h - FAST_KM_H,
        drive.n_rb - FEW_RB,
        drive.rsrp_dbm,
        drive.sinr_db,
        tilt,
        tilt - width / 2 - depression,
        depression - tilt - width / 2,
        np.log2(np.maximum(distance, 1.0) / np.maximum(edge, 1.0)),
        off_azimuth_deg(*from_serving, azimuth),
        drive.rsrp_dbm + 20 * np.log10(np.maximum(distance, 10.0)),
        np.log2(np.maximum(distance, 1.0) / np.maximum(nearest, 1.0)),
        # 1 Mbit/s, 1 RB and 0.1 bits/s/Hz keep samples without any of them finite; a resource block is 0.36 MHz wide
        # at the 30 kHz sub-carriers of the 3.5 GHz band (3GPP TS 38.211, 4.4.4).
        np.log2((drive.throughput_mbps + 1) / ((drive.n_rb + 1) * 0.36 * (bits + 0.1))),
    ]


def _neighbours(scene: Scene, seen: _Sight) -> list[FloatArray]:
    drive = scene.drive
    gap = drive.neighbour_rsrp_dbm - drive.rsrp_dbm[:, None]
    # NaN compares false: a neighbour that is not there is in no mask.
    there = gap >= -np.inf
    gap = np.where(there, np.maximum(gap, NO_NEIGHBOUR_DB), NO_NEIGHBOUR_DB)
    together = there & _together(scene, seen)
    apart = there & ~together
    away = drive.neighbour_pci - drive.pci[:, None]
    mod30, mod3 = (there & (away != 0) & (away % by == 0) for by in (30, 3))
    rows = [
        _strongest(gap, there),
        _strongest(gap, apart),
        _strongest(gap, together),
        _summed(gap, apart),
        *((apart & (gap >= -within)).sum(axis=1) for within in (3, 6, 10)),
        (together & (gap >= -6)).sum(axis=1),
        _strongest(gap, mod30),
        (mod30 & (gap >= -10)).sum(axis=1),
        _strongest(gap, mod3),
        drive.sinr_db + _summed(gap, there),
    ]
    # Without the serving cell's own level there are no gaps, which is not the same as no neighbours.
    return list(np.where(np.isnan(drive.rsrp_dbm), np.nan, np.array(rows)))


def _together(scene: Scene, seen: _Sight) -> BoolArray:
    """Which neighbours (n, 5) stand where the serving cell stands: one gNodeB, or one mast."""
    cells = scene.cells
    serving, neighbour = seen.cell[:, :1], seen.cell[:, 1:]
    east, north = offsets_m(
        cells.longitude[serving], cells.latitude[serving], cells.longitude[neighbour], cells.latitude[neighbour]
    )
    site = cells.site[serving]
    same = ((site >= 0) & (site == cells.site[neighbour])) | (np.hypot(east, north) < COLOCATED_M)
    return np.asarray((serving >= 0) & (neighbour >= 0) & same)


def _strongest(gap: FloatArray, among: BoolArray) -> FloatArray:
    return np.asarray(np.where(among, gap, NO_NEIGHBOUR_DB).max(axis=1))


def _summed(gap: FloatArray, among: BoolArray) -> FloatArray:
    power = np.where(among, 10 ** (gap / 10), 0.0).sum(axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (NO_NEIGHBOUR_DB / 10))))
