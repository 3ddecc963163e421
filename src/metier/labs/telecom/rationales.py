"""Why a drive test is slow, in two sentences that cite its measurements: what a language model learns to write first.

The true cause says which finding is told, the view's numbers fill it in: nothing is cited that the tables do not hold. A
rationale names its cause by what it is and by no option's label, as labels differ between questions.
"""

from __future__ import annotations

import numpy as np

from metier.views import VIEWS
from metier.views.base import FloatArray

_VIEW = VIEWS["telelogs"]
_PLACES = {feature.name: place for place, feature in enumerate(_VIEW.features)}
_FAST_KM_H, _FEW_RB, _FAR_M = 40.0, 160.0, 1000.0
_UNKNOWN = "unknown"

_CHECKS = "Where throughput is low: {speed} km/h (limit 40), {rb} RBs (160), {distance} m (1000)."
_FINDINGS = {
    "C1": "The site is near, but its downtilt of {tilt} deg leaves the vehicle {beyond} deg beyond the beam's far edge, "
    "RSRP {rsrp} dBm: weak coverage at the far end.",
    "C2": "The serving cell is {distance} m away, beyond 1000 m: over-shooting.",
    "C3": "The strongest neighbour lies {gap} dB over the serving cell, which is kept{gained}: "
    "a neighbour would do better.",
    "C4": "{apart} cells of other sites lie within 6 dB, SINR {sinr} dB: severe overlap.",
    "C5": "The serving PCI changes {handovers} times in the window, {ping_pongs} times back: frequent handovers.",
    "C6": "A neighbour of the same PCI mod 30 lies {mod30} dB over the serving cell, SINR {sinr} dB: interference.",
    "C7": "{fast}% of the low samples are above 40 km/h: too fast.",
    "C8": "{few_rb}% of the low samples are below 160 RBs: too few resource blocks.",
}


def rationale(asked: str, cause: str) -> str:
    """Two sentences on a question of the lab whose true cause is `cause` ("C1" to "C8")."""
    return _written(_VIEW.read(asked).values, cause)


def _written(values: FloatArray, cause: str) -> str:
    def said(name: str, plus: float = 0.0, times: float = 1.0, decimals: int = 0) -> str:
        value = float(values[_PLACES[name]])
        # Adding zero keeps a rounded -0.4 from being written as -0.
        return _UNKNOWN if np.isnan(value) else f"{round(times * value + plus, decimals) + 0.0:.{decimals}f}"

    facts = {
        "speed": said("speed_margin_low", _FAST_KM_H),
        "rb": said("rb_margin_low", _FEW_RB),
        "distance": said("distance_margin_low", _FAR_M),
        "tilt": said("tilt_low"),
        "beyond": said("beyond_far_edge_low", decimals=1),
        "rsrp": said("rsrp_low"),
        "sinr": said("sinr_low"),
        "gap": said("best_gap_low"),
        "gained": ""
        if (gain := said("handover_gain")) == _UNKNOWN
        else f", and a handover changes throughput by {gain} Mbit/s",
        "apart": said("apart_within_6db_low", decimals=1),
        "handovers": said("handovers"),
        "ping_pongs": said("ping_pongs"),
        "mod30": said("mod30_gap_low"),
        "fast": said("fast_share_low", times=100),
        "few_rb": said("few_rb_share_low", times=100),
    }
    return f"{_CHECKS} {_FINDINGS[cause]}".format(**facts)
