"""Which split each example goes to: the user's own splits where given, else the newest held out, else at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from metier.curation.partition import FloatArray, IntArray, draw, newest

TimeOrder = Literal["auto", "always", "never"]
ObjectArray = npt.NDArray[np.object_]

_SECONDS_A_DAY = 86_400.0
# Time order means little when many calls have no time, or all came in a few bursts.
_TIMED_SHARE = 0.9
_DISTINCT_TIMES = 10
# Fewer than this share of the rows wanted for the newest window: the groups live too long for a time order.
_WINDOW_FILLED = 0.5


@dataclass(frozen=True)
class Shares:
    """Shares of the examples that tune, calibration and test get; train gets the rest."""

    tune: float
    calibration: float
    test: float


@dataclass(frozen=True)
class Splits:
    """The split of each row; `rule` says how it was chosen, `warnings` what did not go as one would wish."""

    names: ObjectArray
    rule: str
    warnings: tuple[str, ...] = ()


def split_rows(
    sides: ObjectArray,
    groups: IntArray,
    classes: IntArray,
    times: FloatArray,
    shares: Shares,
    time_order: TimeOrder,
    min_span_days: float,
    rng: np.random.Generator,
    by: str = "label",
) -> Splits:
    """Divide rows into train, tune, calibration and test.

    Args:
        sides: the side each row was given to (train, validation, tune, calibration, test), None where none was.
        groups: rows of one group stay together; a group lies on one side only.
        classes: class number of each row, for stratification.
        times: seconds since 1970, NaN where unknown.
        shares: see Shares.
        time_order: hold out the newest groups where times allow ("auto"), wherever there are times, or never.
        min_span_days: the shortest span of time in which "auto" holds out the newest.
        rng: source of randomness.
        by: what `classes` number, for the rule; "" where all rows are of one class.
    """
    told = f", stratified by {by}" if by else ""
    if any(side is not None for side in sides):
        return _given(sides, groups, classes, shares, rng, told)
    if time_order != "never":
        reason = _no_time_order(times, 0.0 if time_order == "always" else min_span_days)
        if not reason:
            return _by_time(groups, classes, times, shares, rng, told)
        if time_order == "always":
            warning = f"time order was asked for, but {reason}: examples were split at random instead"
            return _at_random(groups, classes, shares, rng, told, (warning,))
    return _at_random(groups, classes, shares, rng, told)


def _no_time_order(times: FloatArray, min_span_days: float) -> str:
    known = times[~np.isnan(times)]
    if len(known) < _TIMED_SHARE * len(times):
        return f"only {len(known)} of {len(times)} examples have a time"
    if len(np.unique(known)) < _DISTINCT_TIMES:
        return f"there are fewer than {_DISTINCT_TIMES} different times"
    span_days = (known.max() - known.min()) / _SECONDS_A_DAY
    return "" if span_days >= min_span_days else f"they span {span_days:.2f} days only"


def _at_random(
    groups: IntArray,
    classes: IntArray,
    shares: Shares,
    rng: np.random.Generator,
    stratified: str,
    warnings: tuple[str, ...] = (),
) -> Splits:
    names = np.array(["train", "tune", "calibration", "test"], dtype=object)
    portions = (1 - shares.tune - shares.calibration - shares.test, shares.tune, shares.calibration, shares.test)
    parts = draw(groups, classes, portions, rng, cover=True)
    rule = f"at random, whole groups{stratified}"
    return Splits(names[parts], rule, warnings)


def _by_time(
    groups: IntArray,
    classes: IntArray,
    times: FloatArray,
    shares: Shares,
    rng: np.random.Generator,
    stratified: str,
) -> Splits:
    """Calibration and test are drawn at random from one window, the newest: so they are exchangeable, which the
    certificate rests on, and both are later than all that was trained on, as the calls to come will be."""
    held_out = shares.calibration + shares.test
    window = newest(groups, times, held_out, rng)
    if window.sum() < _WINDOW_FILLED * held_out * len(times):
        told = "groups last as long as the calls do, so the newest cannot be held out: examples were split at random"
        return _at_random(groups, classes, shares, rng, stratified, (told,))
    names = np.full(len(groups), "train", dtype=object)
    halves = draw(groups[window], classes[window], (shares.calibration / held_out, shares.test / held_out), rng)
    names[window] = np.where(halves == 0, "calibration", "test")
    rest = ~window
    part = draw(
        groups[rest], classes[rest], (1 - shares.tune / (1 - held_out), shares.tune / (1 - held_out)), rng, cover=True
    )
    names[rest] = np.where(part == 0, "train", "tune")
    start = times[window].min()
    late = int(np.sum(times[rest] >= start))
    rule = (
        f"newest groups held out: calibration and test drawn at random{stratified}, from the groups that began"
        f" at {_utc(start)} or later; train and tune at random from the groups that began before"
        f" ({late} of their {int(rest.sum())} examples are later themselves)"
    )
    return Splits(names, rule)


def _utc(seconds: float) -> str:
    return f"{np.datetime64(round(seconds), 's')}Z"


def _given(
    sides: ObjectArray,
    groups: IntArray,
    classes: IntArray,
    shares: Shares,
    rng: np.random.Generator,
    stratified: str,
) -> Splits:
    names = np.array([side or "train" for side in sides], dtype=object)
    present = {side for side in sides if side is not None}
    told = [f"as given ({', '.join(sorted(present))})"]
    if "validation" in present:
        chosen = names == "validation"
        lacking = [name for name in ("tune", "calibration") if name not in present] or ["tune", "calibration"]
        if len(lacking) == 2:
            part = draw(groups[chosen], classes[chosen], (0.5, 0.5), rng)
            names[chosen] = np.array(lacking, dtype=object)[part]
        else:
            names[chosen] = lacking[0]
        told.append(f"validation became {' and '.join(lacking)}" + (", half each" if len(lacking) == 2 else ""))
        present |= set(lacking)
    missing = [name for name in ("tune", "calibration", "test") if name not in present]
    train = names == "train"
    if missing and train.any():
        portions = [getattr(shares, name) for name in missing]
        part = draw(groups[train], classes[train], (1 - sum(portions), *portions), rng, cover=True)
        names[train] = np.array(["train", *missing], dtype=object)[part]
        told.append(f"{', '.join(missing)} drawn at random from train, whole groups{stratified}")
    if any(side is None for side in sides):
        told.append("records without a split count as train")
    return Splits(names, "; ".join(told))
