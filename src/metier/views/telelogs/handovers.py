"""What spans samples: changes of the serving cell and what they bring, the dip's length and depth."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from metier.views.base import Feature, FloatArray
from metier.views.telelogs.measures import LOW_THROUGHPUT_MBPS, BoolArray, Measured

SPANS = (
    Feature("low_share", "", "share of the samples below 600 Mbit/s"),
    Feature("longest_low_share", "", "longest run of samples below 600 Mbit/s, as a share of all"),
    Feature("low_runs", "", "runs of samples below 600 Mbit/s"),
    Feature("dip_ratio", "", "log2 of mean throughput over the low samples over that over the others"),
    Feature("handovers", "", "changes of the serving PCI"),
    Feature("handovers_at_low", "", "changes of the serving PCI into, within or out of the low samples"),
    Feature("ping_pongs", "", "changes of the serving PCI back to a cell left at most 3 samples before"),
    Feature("cells_served", "", "different serving PCIs"),
    Feature("handover_gain", "Mbit/s", "mean throughput of the 2 samples after a handover minus the 2 before; mean"),
    Feature("handover_gain_most", "Mbit/s", "the same, of the handover that gained most"),
    Feature("handover_gain_least", "Mbit/s", "the same, of the handover that gained least"),
    Feature("handover_rsrp_gain", "dB", "mean RSRP of the 2 samples after a handover minus the 2 before; mean"),
    Feature("other_cell_gain", "Mbit/s", "mean throughput on the best other cell minus that on the lowest cell"),
    Feature(
        "other_cell_gap", "dB", "that best other cell's RSRP minus the serving one's, where the lowest cell served"
    ),
    Feature("after_low_gain", "Mbit/s", "throughput after the last change of cell out of low samples, minus before"),
    Feature("top_neighbour_changes", "", "changes of the strongest neighbour's PCI"),
)


def spans(measured: Measured, low: BoolArray) -> FloatArray:
    """The values of SPANS; NaN where one does not exist (no handover has no gain)."""
    drive = measured.scene.drive
    throughput, rsrp = drive.throughput_mbps, drive.rsrp_dbm
    served = drive.pci.tolist()
    changes = handovers(served)
    gains, level_gains = _gains(throughput, changes), _gains(rsrp, changes)
    at_low = [place for place in changes if low[max(place - 1, 0) : place + 1].any()]
    gain, gap = _other_cell(measured)
    runs = _runs(low)
    top = [value for value in drive.neighbour_pci[:, 0].tolist() if value == value]
    out = [place for place in changes if low[place - 1]]
    return np.array(
        [
            low.mean(),
            max(runs, default=0) / len(low),
            len(runs),
            _dip(throughput),
            len(changes),
            len(at_low),
            _ping_pongs(served, changes),
            len({value for value in served if value == value}),
            _mean(gains),
            max(gains, default=math.nan),
            min(gains, default=math.nan),
            _mean(level_gains),
            gain,
            gap,
            _step(throughput, out[-1]) if out else math.nan,
            sum(before != after for before, after in pairwise(top)),
        ],
        dtype=float,
    )


def handovers(served: list[float]) -> list[int]:
    """The samples that a cell serves other than the one that served last, among those with a serving cell."""
    changes = []
    last = math.nan
    for place, pci in enumerate(served):
        if pci == pci:
            if last == last and pci != last:
                changes.append(place)
            last = pci
    return changes


def _ping_pongs(served: list[float], changes: list[int]) -> int:
    return sum(served[place] in served[max(place - 4, 0) : place - 1] for place in changes)


def _gains(values: FloatArray, changes: list[int]) -> list[float]:
    gains = [_step(values, place) for place in changes]
    return [gain for gain in gains if gain == gain]


def _step(values: FloatArray, place: int) -> float:
    return _mean(values[place : place + 2].tolist()) - _mean(values[max(place - 2, 0) : place].tolist())


def _mean(values: list[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else math.nan


def _dip(throughput: FloatArray) -> float:
    values = throughput.tolist()
    low = _mean([value for value in values if value < LOW_THROUGHPUT_MBPS])
    others = _mean([value for value in values if value >= LOW_THROUGHPUT_MBPS])
    return math.log2((low + 1) / (others + 1))


def _runs(low: BoolArray) -> list[int]:
    lengths = [0]
    for is_low in low.tolist():
        if is_low:
            lengths[-1] += 1
        elif lengths[-1]:
            lengths.append(0)
    return [length for length in lengths if length]


def _other_cell(measured: Measured) -> tuple[float, float]:
    """Throughput on the best other serving cell minus that on the lowest one; that best cell's RSRP gap meanwhile."""
    drive = measured.scene.drive
    known = ~np.isnan(drive.pci) & ~np.isnan(drive.throughput_mbps)
    cells = np.unique(drive.pci[known])
    if len(cells) < 2:
        return math.nan, math.nan
    means = [float(drive.throughput_mbps[known & (drive.pci == cell)].mean()) for cell in cells]
    best, lowest = cells[int(np.argmax(means))], cells[int(np.argmin(means))]
    gap = drive.neighbour_rsrp_dbm - drive.rsrp_dbm[:, None]
    heard = gap[(drive.pci == lowest)[:, None] & (drive.neighbour_pci == best)]
    return max(means) - min(means), _mean(heard.tolist())
