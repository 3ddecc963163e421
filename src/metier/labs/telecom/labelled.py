"""A large labelled data set of drive tests, as chats with groups and splits: what a specialist is trained on in earnest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from metier.errors import BadInput
from metier.labs.telecom import questions, text
from metier.labs.telecom.draft import DEFAULT_DIFFICULTY
from metier.labs.telecom.parts import CAUSES
from metier.labs.telecom.rationales import rationale
from metier.labs.telecom.simulator import simulate
from metier.labs.telecom.traffic import PER_DRIVE

# Shares of the drives.
_SPLITS = {"train": 0.72, "tune": 0.08, "calibration": 0.10, "test": 0.10}
_BLOCK = 2_000


def labelled(
    n_windows: int,
    seed: int = 0,
    *,
    difficulty: float = DEFAULT_DIFFICULTY,
    randomised: float = 0.0,
    rationales: bool = False,
) -> Iterator[dict[str, Any]]:
    """`n_windows` questions with their true cause in a box, as records of source `openai-chat`.

    A share `randomised` of them is asked in the randomised form. With `rationales`, two sentences on the true cause stand
    before each box. `group` is the drive, and `split` that of the drive: 72%
    train, 8% tune, 10% calibration, 10% test. The same arguments give the same records. Raises BadInput on values out of
    range.
    """
    if n_windows < 1:
        raise BadInput(f"n_windows is {n_windows}; it must be 1 or more")
    for name, value in (("difficulty", difficulty), ("randomised", randomised)):
        if not 0 <= value <= 1:
            raise BadInput(f"{name} is {value}; it must lie in [0, 1]")
    return _records(n_windows, seed, difficulty, randomised, rationales)


def _records(
    n_windows: int, seed: int, difficulty: float, randomised: float, rationales: bool
) -> Iterator[dict[str, Any]]:
    first = 0
    for block in range(0, n_windows, _BLOCK):
        # Other numbers than those of the log's windows (telecom.traffic), so that both never share a drive.
        made = np.random.SeedSequence([seed, block, 2])
        rng = np.random.default_rng(made)
        windows = simulate(
            min(_BLOCK, n_windows - block),
            int(made.generate_state(1)[0]),
            difficulty=difficulty,
            per_cluster=PER_DRIVE,
        )
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


def _chat(id_: str, asked: str, answer: str, split: str, group: str) -> dict[str, Any]:
    return {
        "id": id_,
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}],
        "split": split,
        "group": group,
        "provenance": "simulator",
    }
