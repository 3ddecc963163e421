"""Drive windows: one key whatever the question around them, and near-duplicates found by what was measured."""

from __future__ import annotations

import math

import numpy as np

from metier.evaluation.telelogs.windows import near_duplicates, window_key
from metier.labs.telecom.text import OPTIONS, question

CELLS = ["0033164|1|128.194|32.583|80|6|255|0|DEFAULT|25.0|113|32T32R|34.9|NR AAU 1"]
OTHER_CELLS = [*CELLS, "0033165|1|128.2|32.6|80|6|255|0|DEFAULT|25.0|114|32T32R|34.9|NR AAU 1"]


def drive(seed: int, *, shift: float = 0.0, n_rows: int = 10, n_shifted: int = 10) -> list[str]:
    """Rows of one window; the RSRP of the first `n_shifted` is moved by `shift`."""
    rng = np.random.default_rng(seed)
    rows = []
    for place in range(n_rows):
        rsrp, sinr, rate, rbs = rng.normal(-90, 8), rng.normal(8, 5), rng.uniform(50, 1200), rng.uniform(100, 270)
        moved = rsrp + (shift if place < n_shifted else 0)
        cells = [f"2025-05-07 15:11:{place:02}.000000", "128.1", "32.5", str(rng.integers(5, 60)), "113"]
        cells += [f"{moved:.2f}", f"{sinr:.2f}", f"{rate:.2f}", *["-"] * 10, f"{rbs:.2f}"]
        rows.append("|".join(cells))
    return rows


def asked(rows: list[str], **changes: bool) -> str:
    return question(list(OPTIONS.items()), rows, CELLS, **changes)


def test_one_window_in_many_questions() -> None:
    rows = drive(0)
    standard = window_key(asked(rows))
    renamed = [(f"Z{place}", text) for place, text in enumerate(reversed(OPTIONS.values()), 1)]
    assert window_key(question(renamed[:4], rows, OTHER_CELLS, cells_first=True)) == standard
    assert window_key("\n".join(rows)) == standard
    assert window_key(asked([f"| {row.replace('|', '  | ')} |" for row in rows])) == standard
    assert window_key(asked(drive(1))) != standard
    assert window_key(asked(rows[:-1])) != standard


def test_texts_without_a_window_are_their_own() -> None:
    assert window_key("what is a PCI?") == window_key("what  is a\nPCI? ")
    assert window_key("what is a PCI?") != window_key("what is a TCI?")


def test_the_same_and_nearly_the_same_windows_are_found() -> None:
    test = [asked(drive(seed)) for seed in range(20)]
    training = [asked(drive(seed)) for seed in range(100, 200)]
    none = near_duplicates(test, training)
    assert (none.n_windows, none.n_training, none.n_near, none.largest_share) == (20, 100, 0, 0.0)
    same = near_duplicates(test, [*training, asked(drive(3)), asked(drive(4, shift=0.02), cells_first=True)])
    assert (same.n_near, same.largest_share) == (2, 1.0)
    moved = near_duplicates(test, [*training, asked(drive(3, shift=3.0))])
    assert (moved.n_near, moved.largest_share) == (0, 0.0)
    half = near_duplicates(test, [*training, asked(drive(3, shift=3.0, n_shifted=5))])
    assert (half.n_near, half.largest_share) == (1, 0.5)
    less = near_duplicates(test, [*training, asked(drive(3, shift=3.0, n_shifted=6))])
    assert (less.n_near, less.largest_share) == (0, 0.4)


def test_questions_about_one_window_are_one_window() -> None:
    rows = drive(0)
    found = near_duplicates([asked(rows), asked(rows, cells_first=True)], [asked(rows)])
    assert (found.n_windows, found.n_training, found.n_near) == (1, 1, 1)


def test_nothing_to_compare_is_not_scored() -> None:
    assert math.isnan(near_duplicates([asked(drive(0))], ["no table"]).largest_share)
    assert math.isnan(near_duplicates([], []).largest_share)
    assert near_duplicates([asked(drive(0, n_rows=2))], [asked(drive(0))]).n_windows == 0
