"""Points of a learning curve: a student's error on the tune split after training on nested parts of the train split.

What is measured: each smaller part is a training of its own with the same options and seed; its error is that on the
whole tune split. The last point is the main training. Every point shares one tune split and one nesting, so the points
are correlated, and each part is drawn once: the spread of the draw itself is not in them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.artefacts.specialists import CurvePoint
from metier.progress import Progress
from metier.students.base import LABEL_TASK, FitSummary, LabelledTexts, Option, Student, TaskSpec
from metier.students.exports import recipe_of, write_json
from metier.students.viewing import use_of_task

# Parts of the train split, geometric. Together 0.44 of the main training's examples: the curve costs less than half of
# it. `linear` and `trees` are so cheap that a fourth part is worth its seconds; `lm`, so dear that the fewest that a law
# can be fitted to must do.
SHARES: Mapping[str, tuple[float, ...]] = {
    "linear": (1 / 16, 1 / 8, 1 / 4, 1 / 2),
    "trees": (1 / 16, 1 / 8, 1 / 4, 1 / 2),
    "encoder": (1 / 16, 1 / 8, 1 / 4),
    "lm": (1 / 8, 1 / 4),
}
_MIN_CLASSES_SEEN = 2


def nested_parts(labels: Sequence[str], sizes: Sequence[int], seed: int) -> list[npt.NDArray[np.int64]]:
    """Places of stratified parts of these sizes, each within the next larger one, ascending.

    Every example gets the rank (i + u) / m of its random place i among the m of its class, u uniform in [0, 1): the
    first `size` ranks hold every class in proportion, and rare classes come in with their probability.
    """
    generator = np.random.default_rng(seed)
    _, classes = np.unique(np.array(labels, dtype=object), return_inverse=True)
    rank = np.empty(len(classes))
    for k in range(int(classes.max(initial=-1)) + 1):
        places = np.flatnonzero(classes == k)
        rank[places] = (generator.permutation(len(places)) + generator.random(len(places))) / len(places)
    order = np.argsort(rank, kind="stable")
    return [np.sort(order[:size]) for size in sizes]


def measure_learning_curve(
    student: Student,
    train: LabelledTexts,
    tune: LabelledTexts,
    full: FitSummary,
    folder: Path,
    *,
    seed: int,
    progress: Progress,
    options: Mapping[str, Option],
    task: TaskSpec = LABEL_TASK,
    shares: Sequence[float] | None = None,
) -> tuple[CurvePoint, ...]:
    """Train on parts of `train` and give the points, ascending in size, with that of the main training `full` last.

    Points that were measured before a kill are read back from `folder`; a part with fewer than two classes is left out.
    Without a tune split there is nothing to measure: no points.
    """
    if not len(tune):
        return ()
    wanted = SHARES.get(student.name, SHARES["encoder"]) if shares is None else shares
    sizes = sorted({math.ceil(share * len(train)) for share in wanted if 0 < share < 1})
    points = [
        _measured(student, train.take(places), tune, folder, seed, progress, options, task)
        for places in nested_parts(train.labels, sizes, seed)
        if len({train.labels[i] for i in places}) >= _MIN_CLASSES_SEEN
    ]
    return (*points, CurvePoint(len(train), 1 - full.tune_accuracy, len(tune)))


def _measured(
    student: Student,
    part: LabelledTexts,
    tune: LabelledTexts,
    folder: Path,
    seed: int,
    progress: Progress,
    options: Mapping[str, Option],
    task: TaskSpec,
) -> CurvePoint:
    recipe = recipe_of(student.name, part, tune, seed, options, use_of_task(task))
    path = folder / f"{student.name}-{len(part)}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}.json"
    if path.exists():
        return CurvePoint(**json.loads(path.read_bytes()))

    def told(description: str, done: int, total: int | None) -> None:
        progress(f"{description} on {len(part):,} examples", done, total)

    scratch = path.with_suffix(".work")
    accuracy = student.tune_accuracy(part, tune, scratch, seed=seed, progress=told, options=options, task=task)
    point = CurvePoint(len(part), 1 - accuracy, len(tune))
    write_json(path, vars(point))
    return point
