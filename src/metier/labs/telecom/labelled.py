"""A large labelled data set of drive tests, as chats with groups and splits: what a specialist is trained on in earnest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from metier.errors import BadInput
from metier.labs.telecom import questions, text
from metier.labs.telecom.draft import DEFAULT_DIFFICULTY
from metier.labs.telecom.parts import CAUSES, Windows
from metier.labs.telecom.rationales import rationale
from metier.labs.telecom.simulator import joined, simulate
from metier.labs.telecom.traffic import PER_DRIVE
from metier.labs.telecom.written import written as write_windows

# The share of windows that are written: with it a specialist reads drives of other hands far better (docs/telecom.md), and
# simulated ones about as well as without.
WRITTEN = 0.2
# Shares of the drives.
_SPLITS = {"train": 0.72, "tune": 0.08, "calibration": 0.10, "test": 0.10}
_BLOCK = 2_000


def labelled(
    n_windows: int,
    seed: int = 0,
    *,
    difficulty: float = DEFAULT_DIFFICULTY,
    randomised: float = 0.0,
    written: float = WRITTEN,
    rationales: bool = False,
) -> Iterator[dict[str, Any]]:
    """`n_windows` questions with their true cause in a box, as records of source `openai-chat`.

    A share `written` of them is written by the options' texts instead of simulated, a drive each. A share `randomised` is
    asked in the randomised form. With `rationales`, two sentences on the true cause stand before each box. `group` is the
    drive, and `split` that of the drive: 72% train, 8% tune, 10% calibration, 10% test. The same arguments give the same
    records. Raises BadInput on values out of range.
    """
    if n_windows < 1:
        raise BadInput(f"n_windows is {n_windows}; it must be 1 or more")
    for name, value in (("difficulty", difficulty), ("randomised", randomised), ("written", written)):
        if not 0 <= value <= 1:
            raise BadInput(f"{name} is {value}; it must lie in [0, 1]")
    return _records(n_windows, seed, difficulty, randomised, written, rationales)


def _records(
    n_windows: int, seed: int, difficulty: float, randomised: float, written: float, rationales: bool
) -> Iterator[dict[str, Any]]:
    first = 0
    for block in range(0, n_windows, _BLOCK):
        # Other numbers than those of the log's windows (telecom.traffic), so that both never share a drive.
        made = np.random.SeedSequence([seed, block, 2])
        rng = np.random.default_rng(made)
        windows = _windows(min(_BLOCK, n_windows - block), made.generate_state(2).tolist(), difficulty, written)
        n_drives = int(windows.cluster.max()) + 1
        splits = rng.choice(list(_SPLITS), n_drives, p=list(_SPLITS.values())).tolist()
        is_randomised = rng.random(len(windows)) < randomised
        standard = zip(text.standard(windows), text.answers(windows), strict=True)
        shuffled = questions.randomised(windows, int(rng.integers(2**31)))
        for place, (asked, answer) in enumerate(standard):
            if is_randomised[place]:
                asked, answer = shuffled[place].text, shuffled[place].answer
            drive = int(windows.cluster[place])
            boxed = f"\\boxed{{{answer}}}"
            if rationales:
                boxed = f"{rationale(asked, CAUSES[windows.cause[place]])} {boxed}"
            yield _chat(f"{seed}-{block + place:07d}", asked, boxed, splits[drive], f"drive-{seed}-{first + drive:06d}")
        first += n_drives


def _windows(n: int, seeds: Sequence[int], difficulty: float, written: float) -> Windows:
    """Simulated windows, and after them the share that is written."""
    n_written = round(written * n)
    parts = [simulate(n - n_written, seeds[0], difficulty=difficulty, per_cluster=PER_DRIVE)] if n > n_written else []
    parts += [write_windows(n_written, seeds[1])] if n_written else []
    return parts[0] if len(parts) == 1 else joined(parts, apart=True)


def _chat(id_: str, asked: str, answer: str, split: str, group: str) -> dict[str, Any]:
    return {
        "id": id_,
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}],
        "split": split,
        "group": group,
        "provenance": "simulator",
    }
