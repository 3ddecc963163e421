"""How many calibration labels a certificate takes: planning, before and after a walk that certified nothing."""

import functools
import math
from dataclasses import dataclass

from scipy import special

from metier.statistics.arrays import FloatArray, IntArray, in_unit_interval

# The true risk that a good student's surest answers are planned to have, as a share of alpha.
LIKELY_RISK_SHARE = 0.25
_MAX_LABELS = 10_000_000
_LEAST_HOPE = 3  # answers without an error that a hope can stand on


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """Calibration labels in all with which a threshold would pass with the power asked for.

    ``is_hoped``: none of the risks seen here lets a threshold pass with any number; the plan takes the ``n_kept`` surest
    answers, none of them wrong, to have a quarter of alpha, as too few are labelled to tell.
    """

    labels: int
    n_kept: int
    is_hoped: bool


def plan_labels(
    errors: IntArray, kept: IntArray, effects: FloatArray, n: int, *, alpha: float, delta: float, power: float,
    may_hope: bool = False,
) -> LabelPlan | None:  # fmt: skip
    """The smallest plan over thresholds, (t,) each with its errors among the kept and their design effect, of ``n`` labels;
    None when no number of labels would do. A plan, not a promise.

    A threshold's risk is taken as (errors + 1/2) / (kept + 1), so that a spotless handful is not mistaken for no risk.
    Where no risk is then below alpha, thresholds without an error are planned on at a quarter of alpha if we ``may_hope``:
    with too few labels for any test to pass.
    """
    seen, hoped = [], []
    comfortable = kept_needed(alpha * LIKELY_RISK_SHARE, alpha, delta, power)
    for n_errors, n_kept, effect in zip(errors.tolist(), kept.tolist(), effects.tolist(), strict=True):
        needed = kept_needed((n_errors + 0.5) / (n_kept + 1), alpha, delta, power)
        if needed is not None:
            seen.append(LabelPlan(max(math.ceil(needed * effect * n / n_kept), n + 1), n_kept, is_hoped=False))
        elif may_hope and n_errors == 0 and n_kept >= _LEAST_HOPE and comfortable is not None:
            hoped.append(LabelPlan(max(math.ceil(comfortable * effect * n / n_kept), n + 1), n_kept, is_hoped=True))
    options = seen or hoped
    return min(options, key=lambda plan: plan.labels) if options else None


def min_labels(alpha: float, delta: float) -> int:
    """Fewest kept answers, all right, that reject risk > alpha at level delta: (1 - alpha)^n <= delta."""
    in_unit_interval(alpha=alpha, delta=delta)
    return math.ceil(math.log(delta) / math.log1p(-alpha))


@functools.lru_cache(maxsize=4096)
def kept_needed(risk: float, alpha: float, delta: float, power: float) -> int | None:
    """Kept answers with which a true ``risk`` passes the exact test with probability ``power``; None when risk >=
    alpha.

    Found by doubling and bisection on n; power is a saw-tooth in n, so the answer may exceed the very smallest n by
    one tooth.
    """
    in_unit_interval(alpha=alpha, delta=delta, power=power)
    if risk >= alpha:
        return None

    def passes(n: int) -> bool:
        allowed = largest_passing_errors(n, alpha, delta)
        return allowed >= 0 and float(special.bdtr(allowed, n, risk)) >= power

    high = min_labels(alpha, delta)
    while not passes(high):
        high *= 2
        if high > _MAX_LABELS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def largest_passing_errors(n: int, alpha: float, delta: float) -> int:
    """Most errors among ``n`` kept answers at which the exact test still rejects; -1 when even none is too many."""
    low, high = -1, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if float(special.bdtr(middle, n, alpha)) <= delta else (low, middle)
    return low
