"""Answers that were written once and may be wanted again, as a file: writing them is what takes the time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from metier.students.exports import write_bytes
from metier.students.lm.parts import Generated


def kept(path: Path, write: Callable[[], Sequence[Generated]]) -> list[Generated]:
    """The answers of the file at `path`; those that `write` gives, put there in one rename, where there is no file."""
    if not path.exists():
        # Python's own JSON, which unlike others' holds the infinite logarithm of a probability of nought.
        write_bytes(path, json.dumps([_stored(one) for one in write()], ensure_ascii=False).encode())
    return read_answers(path)


def read_answers(path: Path) -> list[Generated]:
    """The answers that `kept` wrote, every number as it was."""
    return [_read(one) for one in json.loads(path.read_bytes())]


def _stored(answer: Generated) -> dict[str, Any]:
    shares = answer.label_probabilities
    return {
        **asdict(answer),
        "logprobs": answer.logprobs.tolist(),
        "label_probabilities": None if shares is None else shares.tolist(),
    }


def _read(stored: dict[str, Any]) -> Generated:
    shares = stored["label_probabilities"]
    return Generated(
        **{
            **stored,
            "pieces": tuple(stored["pieces"]),
            "logprobs": np.array(stored["logprobs"], dtype=np.float64),
            "label_probabilities": None if shares is None else np.array(shares, dtype=np.float64),
        }
    )
