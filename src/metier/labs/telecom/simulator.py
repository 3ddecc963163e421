"""`simulate`: as many windows as asked, each made by one cause, in clusters that share a drive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from metier.labs.telecom import measurement
from metier.labs.telecom.compose import compose
from metier.labs.telecom.draft import DEFAULT_DIFFICULTY, draft
from metier.labs.telecom.drive import LEVELS, SERVICE, Radio, radio_beside, radio_of, rate, run_on, sampled
from metier.labs.telecom.evidence import THRESHOLD_MBPS, evidence, literal, share_of_low
from metier.labs.telecom.network import networks
from metier.labs.telecom.parts import CAUSES, Cells, Drives, Windows
from metier.labs.telecom.scenario import Mechanisms, Scenario, alone, own_removed, take

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]

_CANDIDATES = 1024
# Causes in such an order that those whose physics takes the same path lie together.
_BY_WORK = np.array([*LEVELS, *SERVICE, *(p for p in range(len(CAUSES)) if p not in LEVELS + SERVICE)])
MIN_LOW = 2
# Most windows are low in part; the shares of those kept that are low throughout, and of low samples that the counterfactual
# must bring back, or leave low.
_KEEP_ALL_LOW = 0.25
# Between what a receiver loses and what stands beside the antenna.
_RSRP_DBM = (-124.0, -48.0)
RESTORED, NOT_RESTORED = 0.6, 0.34


def simulate(
    n: int,
    seed: int,
    *,
    difficulty: float = DEFAULT_DIFFICULTY,
    causes: Sequence[float] | None = None,
    per_cluster: int = 4,
) -> Windows:
    """n windows of N_SAMPLES seconds in which throughput falls below 600 Mbit/s, with the cause of each.

    difficulty in [0, 1]: how near other causes come to their thresholds, how often one passes its threshold away from the
    low samples, how much else there is that looks like another cause, and how noisy measurements are. `causes`: the eight
    shares, equal ones by default. `per_cluster`: about how many windows share a drive (road, sites, shadowing, PCI plan).
    The same arguments give the same windows. Raises ValueError where an argument is out of its range.
    """
    if n < 1 or per_cluster < 1 or not 0.0 <= difficulty <= 1.0:
        raise ValueError(
            f"n = {n} and per_cluster = {per_cluster} must be 1 or more, difficulty = {difficulty} in [0, 1]"
        )
    rng = np.random.default_rng(seed)
    wanted = _quotas(n, causes)
    parts = list(_accepted(rng, wanted, difficulty, per_cluster))
    windows = joined(parts)
    # Clusters by their first window, windows of a cluster together: the drives were made in no order that matters.
    order = np.argsort(windows.cluster, kind="stable")
    _, numbers = np.unique(windows.cluster[order], return_inverse=True)
    shuffled = taken(windows, order)
    return Windows(shuffled.drives, shuffled.cells, shuffled.cause, numbers.astype(np.int64))


def _quotas(n: int, causes: Sequence[float] | None) -> IntArray:
    shares = np.full(len(CAUSES), 1.0) if causes is None else np.asarray(causes, dtype=np.float64)
    if shares.shape != (len(CAUSES),) or (shares < 0.0).any() or shares.sum() <= 0.0:
        raise ValueError(f"causes = {causes} must be {len(CAUSES)} shares, none negative and not all 0")
    ends = np.round(np.cumsum(shares / shares.sum()) * n).astype(np.int64)
    return np.diff(ends, prepend=0)


def _accepted(rng: np.random.Generator, wanted: IntArray, difficulty: float, per_cluster: int) -> Iterator[Windows]:
    """Windows until each cause has as many as wanted."""
    missing = wanted.copy()
    rates = np.full(len(CAUSES), 0.3)
    first = 0
    while missing.sum():
        need = np.ceil(missing / rates * 1.1 + (missing > 0) * 8)
        total = int(min(_CANDIDATES, need.sum()))
        # Each drive that is kept gives about per_cluster windows: more candidates where fewer are kept.
        k = max(1, round(total * float((missing * 1.0).sum() / need.sum()) / per_cluster))
        cause = _BY_WORK[np.sort(rng.choice(len(CAUSES), size=total, p=(need / need.sum())[_BY_WORK]))]
        cluster = rng.integers(0, k, total)
        windows, kept = attempt(rng, cause, cluster, k, difficulty)
        for place in range(len(CAUSES)):
            tried = cause == place
            if tried.sum() >= 20:
                rates[place] = np.clip(kept[tried].mean(), 0.02, 1.0)
        chosen = _first_of(windows.cause, missing)
        yield Windows(*_parts(windows, chosen, first))
        missing -= np.bincount(windows.cause[chosen], minlength=len(CAUSES))
        first += k


def _first_of(cause: IntArray, missing: IntArray) -> IntArray:
    """The places of the first so many windows of each cause."""
    chosen = [np.flatnonzero(cause == place)[: missing[place]] for place in range(len(CAUSES))]
    return np.sort(np.concatenate(chosen))


def _parts(windows: Windows, chosen: IntArray, first: int) -> tuple[Drives, Cells, IntArray, IntArray]:
    some = taken(windows, chosen)
    return some.drives, some.cells, some.cause, some.cluster + first


def attempt(
    rng: np.random.Generator, cause: IntArray, cluster: IntArray, n_clusters: int, difficulty: float
) -> tuple[Windows, BoolArray]:
    """Candidates for these causes on `n_clusters` new networks: the windows that are good, and which those are (n,)."""
    made = draft(rng, networks(rng, n_clusters).take(cluster), cause, difficulty)
    scenario, mechanisms, plan = compose(rng, made)
    heard = radio_beside(plan, scenario, mechanisms, cause)
    run = run_on(scenario, mechanisms, heard)
    found = evidence(made, scenario, mechanisms, run)
    n_low = found.low.sum(axis=1)
    partly = (n_low < found.low.shape[1]) | (rng.random(len(cause)) < _KEEP_ALL_LOW)
    usual = ((found.rsrp_dbm > _RSRP_DBM[0]) & (found.rsrp_dbm < _RSRP_DBM[1])).all(axis=1)
    good = (n_low >= MIN_LOW) & partly & usual & literal(found, cause, difficulty)
    rows = np.flatnonzero(good)
    low, levels = found.low[rows], (take(plan, rows), take(heard, rows))
    proven = is_cause(take(scenario, rows), take(mechanisms, rows), cause[rows], low, levels)
    good[rows[~proven]] = False
    rows = np.flatnonzero(good)
    made, mechanisms, run = made.take(rows), take(mechanisms, rows), take(run, rows)
    drives = measurement.drives(rng, made, mechanisms, run)
    cells = measurement.cells(rng, made, mechanisms, run)
    return Windows(drives, cells, cause[rows], cluster[rows]), good


def is_cause(
    scenario: Scenario,
    mechanisms: Mechanisms,
    cause: IntArray,
    low: BoolArray,
    radio: tuple[Radio, Radio] | None = None,
) -> BoolArray:
    """(n,): the counterfactual. Without its own cause most low samples are not low, without the others most still are.

    `radio`: what is heard without any mechanism and with all, where it is known: a window has no mechanism that changes
    it but its own, so that those are what is heard without the own cause and with it alone.
    """
    own = {name: cause == place for place, name in enumerate(CAUSES)}
    without, only = own_removed(mechanisms, scenario, own), alone(mechanisms, scenario, own)
    plan, heard = radio or (radio_of(scenario, without), radio_of(scenario, only))
    back, still = (restored(scenario, m, low, r) for m, r in ((without, plan), (only, heard)))
    return (back >= RESTORED) & (still <= NOT_RESTORED)


def restored(scenario: Scenario, mechanisms: Mechanisms, low: BoolArray, heard: Radio | None = None) -> FloatArray:
    """The share of these low samples (n, N_SAMPLES) that are above the threshold under other mechanisms, (n,)."""
    heard = radio_of(scenario, mechanisms) if heard is None else heard
    return share_of_low(sampled(rate(scenario, mechanisms, heard)) >= THRESHOLD_MBPS, low)


def taken(windows: Windows, index: IntArray) -> Windows:
    """These windows, in this order."""
    drives = Drives(**{field.name: getattr(windows.drives, field.name)[index] for field in fields(Drives)})
    cells = Cells(**{field.name: getattr(windows.cells, field.name)[index] for field in fields(Cells)})
    return Windows(drives, cells, windows.cause[index], windows.cluster[index])


def joined(parts: Sequence[Windows], *, apart: bool = False) -> Windows:
    """Windows of several parts, one after the other; `apart` where a cluster's number means another drive in each."""
    first = np.cumsum([0, *(int(part.cluster.max()) + 1 for part in parts[:-1])]) if apart else np.zeros(len(parts))
    drives = {f.name: np.concatenate([getattr(part.drives, f.name) for part in parts]) for f in fields(Drives)}
    cells = {f.name: np.concatenate([getattr(part.cells, f.name) for part in parts]) for f in fields(Cells)}
    return Windows(
        Drives(**drives),
        Cells(**cells),
        np.concatenate([part.cause for part in parts]),
        np.concatenate([part.cluster + int(more) for part, more in zip(parts, first, strict=True)]),
    )
