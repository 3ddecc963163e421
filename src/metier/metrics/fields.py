"""Scores of records: per field, pooled over fields (micro), meaned over fields (macro), and of whole records.

A field's value counts as one prediction, of a list each of its values as one; two values are the same where they are after
normalisation (`metrics.records`). A record that could not be read gives no value: it lowers recall, not precision. The
formulas are those of van Rijsbergen (1979): precision = right / given, recall = right / wanted, F1 = 2 right / (given +
wanted); micro F1 pools the counts of all fields, macro F1 is the mean F1 of the fields that occur in the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metier.metrics.grounding import count_ungrounded
from metier.metrics.records import identical, normalised, same_value
from metier.metrics.writing import exact_rate
from metier.statistics.arrays import FloatArray, Groups, group_codes, group_sums
from metier.statistics.bootstrap import N_RESAMPLES, Statistic, bootstrap_interval, ratio
from metier.statistics.intervals import Interval, proportion
from metier.statistics.paired import paired_statistic_bootstrap

BoolArray = NDArray[np.bool_]
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Doubt:
    """How intervals are made: `groups` (n,) of items that belong together, level, resamples and seed."""

    groups: Groups | None = None
    level: float = 0.95
    n_resamples: int = N_RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class FieldCounts:
    """n records against the truth, over k fields: values right, given and wanted (n, k), whether a field is written exactly
    as in the truth and is the same after normalisation (n, k), and values given outside the k fields (n,)."""

    names: tuple[str, ...]
    right: FloatArray
    given: FloatArray
    wanted: FloatArray
    exact: BoolArray
    same: BoolArray
    outside: FloatArray

    @property
    def whole(self) -> BoolArray:
        """(n,) whether every field is right after normalisation and nothing was added."""
        return np.asarray(self.same.all(axis=1) & (self.outside == 0))


def field_names(truth: Sequence[Record], schema: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The fields that are scored: the schema's in its order, then others of the truth, sorted."""
    known = tuple((schema or {}).get("properties", {}))
    return (*known, *sorted({name for record in truth for name in record} - set(known)))


def count_fields(truth: Sequence[Record], given: Sequence[Record | None], names: Sequence[str]) -> FieldCounts:
    """Compare records (n,) with the truth (n,), field by field; None is a record that could not be read, wrong in every
    field, wanted or not. Raises ValueError on a length mismatch."""
    n, k = len(truth), len(names)
    right, wanted, held = np.zeros((n, k)), np.zeros((n, k)), np.zeros((n, k))
    exact, same, outside = np.zeros((n, k), dtype=np.bool_), np.zeros((n, k), dtype=np.bool_), np.zeros(n)
    for i, (good, record) in enumerate(zip(truth, given, strict=True)):
        answer = record or {}
        for j, name in enumerate(names):
            ours, theirs = _values(answer.get(name)), _values(good.get(name))
            right[i, j], held[i, j], wanted[i, j] = (ours & theirs).total(), ours.total(), theirs.total()
            exact[i, j] = record is not None and identical(answer.get(name), good.get(name))
            same[i, j] = record is not None and same_value(answer.get(name), good.get(name))
        outside[i] = sum(_values(value).total() for name, value in answer.items() if name not in names)
    return FieldCounts(tuple(names), right, held, wanted, exact, same, outside)


def precision(counts: FieldCounts, field: int, doubt: Doubt) -> Interval:
    """Right values of those given, of one field; NaN where none was given."""
    return _ratio(counts.right[:, field], counts.given[:, field], doubt)


def recall(counts: FieldCounts, field: int, doubt: Doubt) -> Interval:
    """Right values of those wanted, of one field; NaN where the truth never has it."""
    return _ratio(counts.right[:, field], counts.wanted[:, field], doubt)


def field_f1(counts: FieldCounts, field: int, doubt: Doubt) -> Interval:
    """F1 of one field; NaN where the truth never has it."""
    if not counts.wanted[:, field].any():
        return _undefined(len(counts.right), doubt)
    return _ratio(2 * counts.right[:, field], counts.given[:, field] + counts.wanted[:, field], doubt)


def micro_f1(counts: FieldCounts, doubt: Doubt) -> Interval:
    """F1 over the values of all fields, those outside the known fields among what was given."""
    hits, either = _pooled(counts)
    return _ratio(hits, either, doubt)


def macro_f1(counts: FieldCounts, doubt: Doubt) -> Interval:
    """Mean F1 over the fields that the truth has; a field absent from a resample is left out of its mean."""
    n = len(counts.right)
    codes, n_groups = group_codes(doubt.groups, n)
    columns = np.concatenate([2 * counts.right, counts.given + counts.wanted, counts.wanted], axis=1)
    sums = group_sums(columns, codes, n_groups)
    rated = counts.wanted.any(axis=0)
    settled = np.asarray(counts.same[:, rated].all(axis=1) if rated.any() else np.zeros(n, dtype=np.bool_))
    return _settled_at_ends(
        _bootstrap(sums, _mean_f1, n, doubt), settled, np.asarray((counts.right > 0).any(axis=1)), doubt
    )


def micro_f1_difference(ours: FieldCounts, theirs: FieldCounts, doubt: Doubt) -> Interval:
    """Micro F1 of one set of records minus that of another on the same items, paired over groups."""
    codes, n_groups = group_codes(doubt.groups, len(ours.right))
    sums = [group_sums(np.stack(_pooled(counts), axis=1), codes, n_groups) for counts in (ours, theirs)]
    return paired_statistic_bootstrap(
        sums[0], sums[1], ratio, n=len(codes), level=doubt.level, n_resamples=doubt.n_resamples, seed=doubt.seed
    )


def share(hits: BoolArray, doubt: Doubt) -> Interval:
    """Share of True, Wilson's interval (on the effective sample size where groups repeat)."""
    return proportion(hits, doubt.groups, doubt.level)


def ungrounded_rate(
    given: Sequence[Record | None], sources: Sequence[str], doubt: Doubt, schema: Mapping[str, Any] | None = None
) -> Interval:
    """Share of the values given in records (n,) that do not occur in their source (n,); NaN where no value was given.

    Where none or all are ungrounded, the bounds are exact ones over the records with a value.
    """
    counts = [count_ungrounded(record or {}, source, schema) for record, source in zip(given, sources, strict=True)]
    made_up, values = (np.array(column, dtype=np.float64) for column in zip(*counts, strict=True))
    found = _bootstrap_ratio(made_up, values, doubt)
    if found.estimate not in (0.0, 1.0):
        return found
    held = values > 0
    groups = None if doubt.groups is None else np.asarray(doubt.groups)[held]
    return replace(exact_rate(made_up[held] > 0, groups, doubt.level), n=found.n)


def _values(value: object) -> Counter[str]:
    """The values of a field after normalisation, with their counts; a scalar is one, what is absent none."""
    items = value if isinstance(value, list) else [value]
    return Counter(form for item in items if (form := normalised(item)))


def _pooled(counts: FieldCounts) -> tuple[FloatArray, FloatArray]:
    """(n,) twice the values right, and the values given and wanted, over all fields."""
    either = counts.given.sum(axis=1) + counts.wanted.sum(axis=1) + counts.outside
    return np.asarray(2 * counts.right.sum(axis=1)), np.asarray(either)


def _mean_f1(totals: FloatArray) -> FloatArray:
    hits, either, wanted = np.split(totals, 3, axis=1)
    f1 = np.divide(hits, either, out=np.zeros_like(hits), where=either > 0)
    rated = wanted > 0
    n_rated = rated.sum(axis=1)
    return np.asarray(np.where(n_rated > 0, np.where(rated, f1, 0.0).sum(axis=1) / np.maximum(n_rated, 1), np.nan))


def _ratio(above: FloatArray, below: FloatArray, doubt: Doubt) -> Interval:
    """Sum over sum with its interval; at 0 and 1, where nothing varies to resample, that of the share of items right."""
    return _settled_at_ends(_bootstrap_ratio(above, below, doubt), above == below, above > 0, doubt, below > 0)


def _bootstrap_ratio(above: FloatArray, below: FloatArray, doubt: Doubt) -> Interval:
    codes, n_groups = group_codes(doubt.groups, len(above))
    return _bootstrap(group_sums(np.stack([above, below], axis=1), codes, n_groups), ratio, len(above), doubt)


def _bootstrap(sums: FloatArray, statistic: Statistic, n: int, doubt: Doubt) -> Interval:
    return bootstrap_interval(sums, statistic, n=n, level=doubt.level, n_resamples=doubt.n_resamples, seed=doubt.seed)


def _settled_at_ends(
    found: Interval, all_right: BoolArray, any_right: BoolArray, doubt: Doubt, counted: BoolArray | None = None
) -> Interval:
    if found.estimate not in (0.0, 1.0):
        return found
    hits = all_right if found.estimate == 1.0 else any_right
    used = np.ones(len(hits), dtype=np.bool_) if counted is None else counted
    groups = None if doubt.groups is None else np.asarray(doubt.groups)[used]
    bounds = proportion(hits[used], groups, doubt.level)
    return replace(bounds, estimate=found.estimate, method=f"{bounds.method}, as nothing varies to resample")


def _undefined(n: int, doubt: Doubt) -> Interval:
    return Interval(float("nan"), float("nan"), float("nan"), doubt.level, n, n, "the truth never has it")
