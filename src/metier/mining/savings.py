"""What a specialist would save a month, by Monte Carlo over what is not yet known."""

from __future__ import annotations

import numpy as np

from metier.artefacts.estimates import Estimate

N_DRAWS = 4_000
# Standard deviation of the log of next month's volume over this log's: what a month's traffic varies by, and what a log
# of under a week (which holds no whole weekly cycle) can be off by. Assumed; see docs/audit.md.
VOLUME_SPREAD = 0.10
VOLUME_SPREAD_SHORT = 0.35
_SHORT_DAYS = 7.0
# What answers that are written token by token cost beyond the first machine: a rented two-core machine (US dollars a
# month), the tokens a second that a model of 100 to 300 million parameters reads and writes on it, and how busy it may
# be. Low and high ends; assumed, see docs/audit.md.
MACHINE_USD_MONTH = (30.0, 80.0)
READ_TOKENS_A_SECOND = (2_000.0, 400.0)
WRITTEN_TOKENS_A_SECOND = (150.0, 30.0)
BUSY_SHARE = 0.5
_SECONDS_A_MONTH = 30 * 86_400.0


def writing_usd_month(
    calls_per_month: float, input_tokens: float, output_tokens: float, running_usd_month: tuple[float, float]
) -> tuple[float, float]:
    """The running cost a month, in US dollars, of a specialist that writes its answers: what `running_usd_month` says, or
    the machines that this volume keeps busy, whichever is more. Tokens are means a call."""
    machines = [
        calls_per_month * (input_tokens / read + output_tokens / written) / (_SECONDS_A_MONTH * BUSY_SHARE)
        for read, written in zip(READ_TOKENS_A_SECOND, WRITTEN_TOKENS_A_SECOND, strict=True)
    ]
    low, high = (
        max(known, price * n) for known, price, n in zip(running_usd_month, MACHINE_USD_MONTH, machines, strict=True)
    )
    return low, high


def project_saving(
    cost_usd_month: float,
    span_days: float,
    coverage: tuple[float, float],
    running_usd_month: tuple[float, float],
    n_calls: int,
    seed: int,
) -> Estimate:
    """cost x volume x coverage - running cost, in US dollars a month: median and 90% range of 4,000 draws.

    Coverage, the share of calls that the specialist answers itself, is uniform within its range; its running cost
    log-uniform within its range; the volume log-normal around this log's. Escalated calls are paid as before.
    """
    rng = np.random.default_rng(seed)
    spread = VOLUME_SPREAD if span_days >= _SHORT_DAYS else VOLUME_SPREAD_SHORT
    volume = np.exp(rng.normal(0.0, np.hypot(spread, n_calls**-0.5 if n_calls else 1.0), N_DRAWS))
    covered = rng.uniform(*coverage, N_DRAWS)
    low_usd, high_usd = running_usd_month
    running = low_usd * (high_usd / low_usd) ** rng.random(N_DRAWS)
    low, middle, high = np.quantile(cost_usd_month * volume * covered - running, (0.05, 0.5, 0.95))
    return Estimate(float(middle), float(low), float(high), n_calls, 0.90, "Monte Carlo, 4,000 draws")
