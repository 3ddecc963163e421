"""The measurements in a few lines of text, for a student that reads words."""

from __future__ import annotations

import numpy as np

from metier.views.base import FloatArray
from metier.views.telelogs.features import FEATURES
from metier.views.telelogs.measures import FAR_M, FAST_KM_H, FEW_RB, LOW_THROUGHPUT_MBPS

_PLACES = {feature.name: place for place, feature in enumerate(FEATURES)}


def statement(values: FloatArray, n_samples: int) -> str:
    """One fact a line, low samples against the others, with units; `values` as `features` gives them."""
    said = _Said(values)
    n_low = round(said.value("low_share") * n_samples)
    return "\n".join(
        [
            f"Low throughput (<600 Mbit/s): {n_low} of {n_samples} samples, "
            f"{said.both('throughput_margin', 0, LOW_THROUGHPUT_MBPS)} Mbit/s",
            f"Speed: {said.both('speed_margin', 0, FAST_KM_H)} km/h, {said.share('fast_share_low')} above 40",
            f"RBs: {said.both('rb_margin', 0, FEW_RB)}, {said.share('few_rb_share_low')} below 160",
            f"Distance: {said.both('distance_margin', 0, FAR_M)} m, {said.share('far_share_low')} above 1000",
            f"Downtilt: {said.one('tilt_low', 0)} deg; beyond the far edge {said.both('beyond_far_edge', 1)} deg",
            f"RSRP: {said.both('rsrp', 0)} dBm; SINR: {said.both('sinr', 0)} dB",
            f"Handovers: {said.one('handovers', 0)}, ping-pongs {said.one('ping_pongs', 0)}, "
            f"throughput change {said.one('handover_gain', 0)} Mbit/s",
            f"Strongest neighbour over serving: {said.both('best_gap', 0)} dB",
            f"Other sites' cells within 6 dB: {said.both('apart_within_6db', 1)}",
            f"Same PCI mod 30 over serving: {said.both('mod30_gap', 0)} dB (-40: none)",
        ]
    )


class _Said:
    """Numbers as the statement writes them; "none" for those that do not exist."""

    def __init__(self, values: FloatArray) -> None:
        self._values = values

    def value(self, name: str) -> float:
        return float(self._values[_PLACES[name]])

    def one(self, name: str, decimals: int, plus: float = 0.0) -> str:
        return _number(self.value(name) + plus, decimals)

    def both(self, name: str, decimals: int, plus: float = 0.0) -> str:
        low = self.value(f"{name}_low") + plus
        others = low - self.value(f"{name}_drop")
        return f"low {_number(low, decimals)}, others {_number(others, decimals)}"

    def share(self, name: str) -> str:
        value = self.value(name)
        return "none" if np.isnan(value) else f"{100 * value:.0f}%"


def _number(value: float, decimals: int) -> str:
    return "none" if np.isnan(value) else f"{round(value, decimals) + 0.0:.{decimals}f}"
