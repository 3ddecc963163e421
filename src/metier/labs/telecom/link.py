"""From SINR, resource blocks and speed to throughput: NR link adaptation with multi-layer transmission."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.propagation import LIGHT_SPEED_M_S

Array = npt.NDArray[np.floating]

# 30 kHz subcarriers: 2,000 slots a second of 14 symbols, 12 subcarriers a resource block (TS 38.211, tables 4.3.2-1,
# 4.4.4.1).
SYMBOLS_PER_RB_S = 12.0 * 14.0 * 2000.0
# 256QAM at 948/1024: the highest efficiency of TS 38.214 Table 5.1.3.1-2, in bit/s/Hz.
MAX_EFFICIENCY = 7.4063
MAX_LAYERS = 4


def ageing(speed_km_h: Array, frequency_ghz: Array, delay_s: Array) -> Array:
    """rho^2 in [0, 1]: how much of the channel is still as it was measured `delay_s` ago.

    rho = J0(2 pi f_D delay), the correlation of Jakes' spectrum (Clarke 1968), with the Doppler shift f_D = v f / c; J0 by
    its series up to its first zero and 0 beyond.
    """
    doppler_hz = speed_km_h * (1.0 / 3.6) * frequency_ghz * (1e9 / LIGHT_SPEED_M_S)
    quarter = np.minimum(np.square(np.pi * doppler_hz * delay_s), 1.4458)
    series = 1.0 - quarter + quarter**2 / 4.0 - quarter**3 / 36.0 + quarter**4 / 576.0
    return np.square(series)


def aged_sinr(sinr: Array, kept: Array) -> Array:
    """Linear SINR when precoding and rate follow a channel of which `kept` (rho^2) is left.

    The rest of the signal falls between the layers: rho^2 s / (1 + (1 - rho^2) s), the form of Caire et al. (2010, IEEE
    Trans. Inf. Theory 56) for stale channel state.
    """
    return kept * sinr / (1.0 + (1.0 - kept) * sinr)


def layer_efficiency(sinr: Array, implementation: Array) -> Array:
    """bit/s/Hz of one layer: the truncated Shannon bound alpha log2(1 + SINR) of TR 36.942 annex A.1."""
    found: Array = np.minimum(implementation * np.log2(1.0 + sinr), MAX_EFFICIENCY)
    return found


def efficiency(sinr: Array, implementation: Array, layers: Array) -> Array:
    """bit/s/Hz of the best rank up to `layers`, power shared evenly between the layers."""
    best = layer_efficiency(sinr, implementation)
    for rank in range(2, MAX_LAYERS + 1):
        better = rank * layer_efficiency(sinr * np.float32(1.0 / rank), implementation)
        best = np.where(layers >= rank, np.maximum(best, better), best)
    return best


def throughput(bits_s_hz: Array, n_rb: Array, downlink_share: Array) -> Array:
    """Mbit/s: TS 38.306 section 4.1.2 with `downlink_share` of the symbols left for user data."""
    return bits_s_hz * n_rb * downlink_share * (SYMBOLS_PER_RB_S * 1e-6)
