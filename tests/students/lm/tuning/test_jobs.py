"""A job comes out of its file as it went in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.jobs import TuningJob, read_job, write_job
from metier.students.lm.tuning.loop import Material
from metier.students.lm.tuning.plan import SoftLabels, TuningPlan

TRAIN = [Encoded((1, 2, 3, 4), 2), Encoded((7, 8, 9), 1)]
PLAN = TuningPlan(rate=1 / 3, rank=4, processes=2, seed=2**40)


def _back(job: TuningJob, folder: Path) -> TuningJob:
    write_job(job, folder / "job")
    return read_job(folder / "job")


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    job = TuningJob(tmp_path / "model", Material(TRAIN, [Encoded((5, 6), 1)], None), PLAN, tmp_path / "work", "r")
    assert _back(job, tmp_path) == job
    alone = replace(job, material=Material(TRAIN, [], None))
    assert _back(alone, tmp_path) == alone


def test_soft_labels_are_read_with_their_shapes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = (2, 3), (2, 5)
    tokens = tuple(rng.integers(0, 100, shape) for shape in shapes)
    logprobs = tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)
    material = Material(TRAIN, [], SoftLabels(tokens, logprobs, 0.3))
    soft = _back(TuningJob(tmp_path, material, PLAN, tmp_path, "r"), tmp_path).material.soft
    assert soft is not None
    assert soft.weight == 0.3
    for found, wanted in zip((*soft.tokens, *soft.logprobs), (*tokens, *logprobs), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
