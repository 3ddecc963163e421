"""The checks every function on this floor makes of its arrays: shapes, values, groups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Groups = Sequence[Any] | NDArray[Any]


def as_correct(correct: ArrayLike, name: str = "correct") -> BoolArray:
    """Return a 1-d boolean array from booleans or 0/1 numbers.

    Raises ValueError on NaN (an item not scored must be left out, or counted as wrong, on purpose) and on any other
    value.
    """
    values = np.asarray(correct)
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}; give a 1-d array, one entry an item")
    if values.dtype == np.bool_:
        return values
    numbers = values.astype(np.float64)
    n_missing = int(np.isnan(numbers).sum())
    if n_missing:
        raise ValueError(
            f"{name} has {n_missing} of {len(numbers)} items not scored (NaN); leave them out or count them as wrong"
        )
    if not np.isin(numbers, (0.0, 1.0)).all():
        raise ValueError(
            f"{name} holds values other than 0 and 1, for example {numbers[~np.isin(numbers, (0.0, 1.0))][0]}"
        )
    return np.asarray(numbers == 1.0, dtype=np.bool_)


def as_finite(values: ArrayLike, name: str = "values") -> FloatArray:
    """Return a 1-d float array; raises ValueError when an entry is NaN or infinite."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        raise ValueError(f"{name} has shape {numbers.shape}; give a 1-d array, one entry an item")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} has {int((~np.isfinite(numbers)).sum())} of {len(numbers)} entries NaN or infinite")
    return numbers


def same_length(**arrays: Any) -> int:
    """Return the common length; raises ValueError naming the arrays that differ."""
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"arrays differ in length: {lengths}")
    return next(iter(lengths.values()))


def in_unit_interval(**numbers: float) -> None:
    """Raise ValueError unless every number lies strictly between 0 and 1."""
    for name, number in numbers.items():
        if not 0.0 < number < 1.0:
            raise ValueError(f"{name} = {number}; it must lie strictly between 0 and 1")


def group_codes(groups: Groups | None, n: int) -> tuple[IntArray, int]:
    """Return (codes 0 … m-1 of shape (n,), m). Without groups every item is its own group."""
    if groups is None:
        return np.arange(n, dtype=np.int64), n
    if len(groups) != n:
        raise ValueError(f"groups has {len(groups)} entries for {n} items")
    names = np.asarray(groups)
    n_missing = sum(name is None or name != name for name in names.tolist())  # NaN alone differs from itself
    if n_missing:
        raise ValueError(
            f"groups has {n_missing} of {n} entries missing; give every item a group, its own if it has none"
        )
    unique, codes = np.unique(names, return_inverse=True)
    return codes.astype(np.int64), len(unique)


def group_sums(values: FloatArray, codes: IntArray, n_groups: int) -> FloatArray:
    """Sum ``values`` (n,) or (n, p) within groups; returns (n_groups,) or (n_groups, p)."""
    if values.ndim == 1:
        return np.asarray(np.bincount(codes, weights=values, minlength=n_groups), dtype=np.float64)
    columns = [np.bincount(codes, weights=column, minlength=n_groups) for column in values.T]
    return np.asarray(np.stack(columns, axis=1), dtype=np.float64)
