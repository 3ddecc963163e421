"""The splits that the user gave: their names, and what each means here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from metier.artefacts.datasets import OOD_SPLIT_NAMES, OOD_TRAINING_SPLIT_NAMES, folded_split
from metier.errors import BadInput

# What a record's split says -> the side it is held to. "validation" is later divided into tune and calibration.
SIDE_OF_NAME = {
    **dict.fromkeys(("train", "training", "fit"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development", "eval"), "validation"),
    **dict.fromkeys(("tune", "tuning"), "tune"),
    **dict.fromkeys(("calibration", "calib", "cal"), "calibration"),
    **dict.fromkeys(("test", "testing", "heldout", "held_out", "holdout"), "test"),
    **dict.fromkeys(OOD_SPLIT_NAMES, "ood"),
    **dict.fromkeys(OOD_TRAINING_SPLIT_NAMES, "ood_training"),
}
# A held-out side wins over one that is further from the test.
RANK_OF_SIDE = {"train": 0, "tune": 1, "validation": 2, "calibration": 3, "test": 4}


def sides(names: Iterable[str | None]) -> dict[str | None, str | None]:
    """What every split name in use means; names are read without regard to case, spaces and hyphens.

    Raises:
        BadInput: a name is not known; gives the nearest and all that are.
    """
    return {name: None if name is None or not name.strip() else _side(name) for name in set(names)}


def _side(name: str) -> str:
    folded = folded_split(name)
    if folded in SIDE_OF_NAME:
        return SIDE_OF_NAME[folded]
    near = difflib.get_close_matches(folded, SIDE_OF_NAME, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise BadInput(f"Split {name!r} in the records is not known. {hint}Known: {', '.join(sorted(SIDE_OF_NAME))}.")
