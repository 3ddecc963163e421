"""vocabulary.json: how a model's vocabulary came about, beside its weights.

version            1
mode               "trim" or "keep"
reason             what was done and why, in a sentence
n_vocabulary_base, n_parameters_base, n_parameters
kept       (n,)    the base's id of every token, in the new order
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from metier.errors import BadInput
from metier.students.lm.parts import Trimmed

VOCABULARY_FILE = "vocabulary.json"
_VERSION = 1


def write_record(trimmed: Trimmed) -> None:
    """Write the file into `trimmed.folder`."""
    fields = {
        "version": _VERSION,
        "mode": trimmed.mode,
        "reason": trimmed.reason,
        "n_vocabulary_base": trimmed.n_vocabulary_base,
        "n_parameters_base": trimmed.n_parameters_base,
        "n_parameters": trimmed.n_parameters,
        "kept": trimmed.kept.tolist(),
    }
    (trimmed.folder / VOCABULARY_FILE).write_text(json.dumps(fields, ensure_ascii=False), encoding="utf-8")


def read_trimmed(folder: Path) -> Trimmed:
    """What `trim` made in `folder`. Raises BadInput where it made nothing, or an older version did."""
    path = folder / VOCABULARY_FILE
    if not path.is_file():
        raise BadInput(f"{path} is missing: the folder does not hold a model whose vocabulary was prepared here.")
    fields = json.loads(path.read_text(encoding="utf-8"))
    if fields.get("version") != _VERSION:
        raise BadInput(
            f"{path} is of version {fields.get('version')}; this metier reads version {_VERSION}. Train again."
        )
    kept = np.asarray(fields["kept"], dtype=np.int64)
    return Trimmed(
        folder=folder,
        mode=fields["mode"],
        reason=fields["reason"],
        n_vocabulary_base=fields["n_vocabulary_base"],
        n_vocabulary=len(kept),
        n_parameters_base=fields["n_parameters_base"],
        n_parameters=fields["n_parameters"],
        kept=kept,
    )
