"""A tuning as a file from which another process does it: safetensors and JSON, which cannot run code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save_file

from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.loop import Material
from metier.students.lm.tuning.plan import SoftLabels, TuningPlan

Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class TuningJob:
    """What is to be done: the model in `folder` tuned on the material by the plan, its result left in `work`. `recipe`
    stands for all of it."""

    folder: Path
    material: Material
    plan: TuningPlan
    work: Path
    recipe: str


def write_job(job: TuningJob, path: Path) -> None:
    """Raises OSError or SafetensorError where the disk is full."""
    soft = job.material.soft
    told = {
        "folder": str(job.folder.absolute()),
        "work": str(job.work.absolute()),
        "recipe": job.recipe,
        "plan": asdict(job.plan),
        "weight": None if soft is None else soft.weight,
    }
    arrays = {**_split(job.material.train, "train"), **_split(job.material.tune, "tune"), **_labels(soft)}
    save_file(arrays, path, metadata={"job": json.dumps(told)})


def read_job(path: Path) -> TuningJob:
    """What `write_job` wrote."""
    with safe_open(path, framework="np") as stored:
        told = json.loads(stored.metadata()["job"])
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    soft = None if told["weight"] is None else _soft(arrays, told["weight"])
    material = Material(_examples(arrays, "train"), _examples(arrays, "tune"), soft)
    return TuningJob(Path(told["folder"]), material, TuningPlan(**told["plan"]), Path(told["work"]), told["recipe"])


def _split(examples: Sequence[Encoded], name: str) -> dict[str, npt.NDArray[np.int64]]:
    """`<name>.ids` all sequences end to end, `<name>.sizes` (n, 2) the tokens of each, and of its prompt."""
    ids = [token for one in examples for token in one.ids]
    sizes = [(len(one.ids), one.n_prompt) for one in examples]
    return {
        f"{name}.ids": np.array(ids, dtype=np.int64),
        f"{name}.sizes": np.array(sizes, dtype=np.int64).reshape(-1, 2),
    }


def _examples(arrays: Arrays, name: str) -> list[Encoded]:
    ids, sizes = arrays[f"{name}.ids"], arrays[f"{name}.sizes"]
    ends = np.cumsum(sizes[:, 0])[:-1]
    parts = np.split(ids, ends) if len(sizes) else []
    return [Encoded(tuple(part.tolist()), int(n)) for part, n in zip(parts, sizes[:, 1], strict=True)]


def _labels(soft: SoftLabels | None) -> dict[str, npt.NDArray[np.generic]]:
    """`soft.shapes` (n, 2) those of the examples' labels, whose figures stand end to end."""
    if soft is None:
        return {}
    none = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    return {
        "soft.shapes": np.array([one.shape for one in soft.tokens], dtype=np.int64).reshape(-1, 2),
        "soft.tokens": np.concatenate([none[0], *(one.ravel() for one in soft.tokens)]),
        "soft.logprobs": np.concatenate([none[1], *(one.ravel() for one in soft.logprobs)]),
    }


def _soft(arrays: Arrays, weight: float) -> SoftLabels:
    shapes = arrays["soft.shapes"].tolist()
    ends = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
    tokens, logprobs = (
        tuple(part.reshape(shape) for part, shape in zip(np.split(arrays[name], ends), shapes, strict=True))
        for name in ("soft.tokens", "soft.logprobs")
    )
    return SoftLabels(tokens, logprobs, weight)
