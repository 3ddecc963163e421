"""How well a score tells inputs outside the task from those inside: AUROC with DeLong's interval, and FPR at 95% TPR.

Scores are out-of-distribution scores: higher means further outside. Outside is the positive class of the AUROC. FPR at
95% TPR follows Liang, Li & Srikant (2018): of the inputs outside, the share still let in by the threshold that lets in
95% of the inputs inside.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from metier.metrics.auroc import placements, placements_variance
from metier.statistics.arrays import Groups, as_finite, group_codes, in_unit_interval
from metier.statistics.intervals import Interval, normal_quantile, wilson

_N_DRAWS = 5_000


@dataclass(frozen=True, slots=True)
class OodDetection:
    """AUROC and FPR at a TPR; ``threshold`` is the largest score still let in at that TPR."""

    auroc: Interval
    fpr_at_tpr: Interval
    tpr: float
    threshold: float
    n_in: int
    n_out: int


def ood_detection(
    scores_in: ArrayLike,
    scores_out: ArrayLike,
    *,
    groups_in: Groups | None = None,
    groups_out: Groups | None = None,
    tpr: float = 0.95,
    level: float = 0.95,
    seed: int = 0,
) -> OodDetection:
    """Score the separation of ``scores_in`` (n_in,) and ``scores_out`` (n_out,). Raises ValueError on NaN or an empty
    side.
    """
    inside, outside = as_finite(scores_in, "scores_in"), as_finite(scores_out, "scores_out")
    fpr, threshold = fpr_at_tpr(
        inside, outside, groups_in=groups_in, groups_out=groups_out, tpr=tpr, level=level, seed=seed
    )
    return OodDetection(
        auroc=auroc(inside, outside, groups_in=groups_in, groups_out=groups_out, level=level),
        fpr_at_tpr=fpr,
        tpr=tpr,
        threshold=threshold,
        n_in=len(inside),
        n_out=len(outside),
    )


def auroc(
    scores_in: ArrayLike,
    scores_out: ArrayLike,
    *,
    groups_in: Groups | None = None,
    groups_out: Groups | None = None,
    level: float = 0.95,
) -> Interval:
    """P(score outside > score inside) + half the ties, with the interval of DeLong, DeLong & Clarke-Pearson (1988) on
    the logit scale.

    Placements by mid-ranks (Sun & Xu 2014). With groups the placements are summed within groups first (Obuchowski
    1997); a group named on both sides is one unit. At an AUROC of 0 or 1 the variance is 0 and Wilson bounds on the
    smaller side stand in.
    """
    in_unit_interval(level=level)
    inside, outside = as_finite(scores_in, "scores_in"), as_finite(scores_out, "scores_out")
    n_in, n_out = len(inside), len(outside)
    if not n_in or not n_out:
        raise ValueError(f"{n_in} scores inside and {n_out} outside; both sides need at least one")
    place_out, place_in = placements(inside, outside)
    area = float(place_out.mean())
    codes, n_units = _joint_codes(groups_in, groups_out, n_in, n_out)
    shares = np.concatenate([(place_out - area) / n_out, (place_in - area) / n_in])
    variance = placements_variance(shares, codes, n_units, n_out)
    n = n_in + n_out
    if area in (0.0, 1.0) or variance == 0.0:
        small = min(len(set(codes[:n_out].tolist())), len(set(codes[n_out:].tolist())))
        lower, upper = wilson(area * small, small, level)
        return Interval(area, lower, upper, level, n, n_units, "Wilson on the smaller side: no variance to estimate")
    z = normal_quantile(0.5 + level / 2)
    half = z * np.sqrt(variance) / (area * (1 - area))
    lower, upper = (float(special.expit(special.logit(area) + sign * half)) for sign in (-1, 1))
    return Interval(area, lower, upper, level, n, n_units, "DeLong on the logit scale")


def fpr_at_tpr(
    scores_in: ArrayLike,
    scores_out: ArrayLike,
    *,
    groups_in: Groups | None = None,
    groups_out: Groups | None = None,
    tpr: float = 0.95,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, float]:
    """Return the share of outside inputs let in when a share ``tpr`` of inside ones is, with its interval, and the
    threshold.

    The interval carries both uncertainties: the threshold's (an order statistic, whose rank among new draws is
    beta-distributed) and the share's (Jeffreys posterior), by 5,000 seeded draws. With groups both count groups
    instead of items, as if the items of a group were copies. Conservative by up to two points on a few hundred outside
    inputs: the steps of their empirical distribution count twice.
    """
    in_unit_interval(tpr=tpr, level=level)
    inside, outside = np.sort(as_finite(scores_in, "scores_in")), np.sort(as_finite(scores_out, "scores_out"))
    n_in, n_out = len(inside), len(outside)
    if not n_in or not n_out:
        raise ValueError(f"{n_in} scores inside and {n_out} outside; both sides need at least one")
    rank = int(np.ceil(tpr * n_in - 1e-9))
    threshold = float(inside[rank - 1])
    estimate = float(np.searchsorted(outside, threshold, side="right") / n_out)
    units_in, units_out = group_codes(groups_in, n_in)[1], group_codes(groups_out, n_out)[1]
    rng = np.random.default_rng(seed)
    drawn = rng.beta(tpr * units_in + 0.5, (1 - tpr) * units_in + 0.5, size=_N_DRAWS)
    thresholds = inside[np.clip(np.ceil(drawn * n_in).astype(np.int64) - 1, 0, n_in - 1)]
    let_in = np.searchsorted(outside, thresholds, side="right") / n_out * units_out
    rates = rng.beta(let_in + 0.5, units_out - let_in + 0.5)
    lower, upper = (float(q) for q in np.quantile(rates, [(1 - level) / 2, (1 + level) / 2]))
    lower = 0.0 if estimate == 0.0 else min(lower, estimate)
    upper = 1.0 if estimate == 1.0 else max(upper, estimate)
    _, n_units = _joint_codes(groups_in, groups_out, n_in, n_out)
    return Interval(
        estimate, lower, upper, level, n_in + n_out, n_units, "beta draws of threshold and share"
    ), threshold


def _joint_codes(groups_in: Groups | None, groups_out: Groups | None, n_in: int, n_out: int) -> tuple[np.ndarray, int]:
    """Codes of outside then inside items; groups named on both sides coincide, ungrouped sides are items of their own."""
    names: list[tuple[str, str]] = []
    for side, groups, n in (("out", groups_out, n_out), ("in", groups_in, n_in)):
        if groups is None:
            names += [(side, str(index)) for index in range(n)]
        else:
            group_codes(groups, n)
            names += [("group", str(group)) for group in groups]
    table = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.fromiter((table[name] for name in names), dtype=np.int64, count=len(names)), len(table)
