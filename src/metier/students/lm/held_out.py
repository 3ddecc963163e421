"""What a specialist answered to its tune split before it learnt from it: the only honest answers to those inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metier.students.base import Answers
from metier.students.exports import write_json

HELD_OUT_FILE = "tune-answers.json"


@dataclass(frozen=True)
class HeldOut:
    """Answers by the SHA-256 of their inputs; none where a specialist keeps none."""

    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def answers(self, inputs: Sequence[str], n_classes: int, ask: Callable[[Sequence[str]], Answers]) -> Answers:
        """The answers to all inputs, in order; `ask` is put those that are not known."""
        rows = [self.rows.get(_digest(text)) for text in inputs]
        missing = [place for place, row in enumerate(rows) if row is None]
        if missing:
            asked = _rows(ask([inputs[place] for place in missing]))
            for place, row in zip(missing, asked, strict=True):
                rows[place] = row
        found = [row for row in rows if row is not None]
        labels = np.empty(len(found), dtype=np.object_)
        labels[:] = [row["label"] for row in found]
        return Answers(
            labels,
            np.array([row["score"] for row in found], dtype=np.float64),
            np.array([row["ood_score"] for row in found], dtype=np.float64),
            np.array([row["probabilities"] for row in found], dtype=np.float32).reshape(len(found), n_classes),
            tuple(row["failure"] for row in found),
            np.array([row["input_tokens"] for row in found], dtype=np.int64),
            np.array([row["output_tokens"] for row in found], dtype=np.int64),
        )


def write_held_out(path: Path, inputs: Sequence[str], answers: Answers) -> None:
    """Keep the answers to these inputs. An input that comes more than once has the first of its answers."""
    rows: dict[str, Mapping[str, Any]] = {}
    for text, row in zip(inputs, _rows(answers), strict=True):
        rows.setdefault(_digest(text), row)
    write_json(path, {"answers": rows})


def read_held_out(path: Path) -> HeldOut:
    """What `write_held_out` wrote; nothing where there is no such file: only who learnt from the tune split has one."""
    return HeldOut(json.loads(path.read_bytes())["answers"]) if path.exists() else HeldOut()


def _rows(answers: Answers) -> list[Mapping[str, Any]]:
    n = len(answers.labels)
    none = np.zeros(n, dtype=np.int64)
    read = none if answers.input_tokens is None else answers.input_tokens
    wrote = none if answers.output_tokens is None else answers.output_tokens
    failures = answers.failures or (None,) * n
    return [
        {
            "label": str(answers.labels[place]),
            "score": float(answers.scores[place]),
            "ood_score": float(answers.ood_scores[place]),
            "probabilities": answers.probabilities[place].tolist(),
            "failure": failures[place],
            "input_tokens": int(read[place]),
            "output_tokens": int(wrote[place]),
        }
        for place in range(n)
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
