"""A disk that is full in any phase: the training stops with a word on it, and the same call goes on once there is room."""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.students.lm.preference.test_prefer import FORM, PAIRS, PLAN
from tests.students.lm.test_baking import BAKED, FULL, probe
from tests.students.lm.test_baking import PLAN as PROBED
from tests.students.lm.test_student import FIELDS, OPTIONS, base, cache, records, trained
from tests.students.lm.tiny_models import write_tiny

from metier.errors import MetierError
from metier.progress import Progress, silent
from metier.students import FitSummary, LmStudent
from metier.students.lm.baking import Baking, decide_baking
from metier.students.lm.preference import Preferred, prefer

__all__ = ["base", "cache", "trained"]
# What the student is doing when the disk is full, in the order in which it does it; the last one ends with meta.json.
PHASES = (
    "counting tokens",
    "Rehearsing the export",
    "Tuning",
    "Writing builds",
    "Comparing builds",
    "Scoring answers",
    "Learning from the tune split too",
    "Looking at what was learnt last",
)
_ROOM = 1_000


@contextmanager
def disk_that_fills() -> Iterator[Callable[[], None]]:
    """What is given fills the disk: from then on, no file may grow beyond a thousand bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def is_full(problem: BaseException | None) -> bool:
    """Whether what was raised, or what it came from, says that the disk is full."""
    if problem is None:
        return False
    said = str(problem)
    return "File too large" in said or "is full" in said or is_full(problem.__cause__ or problem.__context__)


def fit(base: str, folder: Path, progress: Progress) -> FitSummary:
    options = {**OPTIONS, "base": base, "quantisation": "q8_0", "refit": "auto"}
    return LmStudent().fit(
        records(24, 0), records(8, 1), folder, seed=0, progress=progress, options=options, task=FIELDS
    )


def test_a_full_disk_stops_the_training_and_room_lets_it_go_on(
    base: str, trained: tuple[Path, FitSummary], tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    for phase in PHASES:
        with disk_that_fills() as fill:

            def progress(description: str, done: int, total: int | None) -> None:
                if description.startswith(phase):  # noqa: B023  (called in this round alone)
                    fill()

            with pytest.raises((MetierError, OSError)) as caught:
                fit(base, folder, progress)
        assert is_full(caught.value), (phase, caught.value)
        assert not (folder / "meta.json").exists()
    summary = fit(base, folder, silent)
    assert [point.train_loss for point in summary.curve] == [point.train_loss for point in trained[1].curve]
    assert summary.tune_accuracy == trained[1].tune_accuracy
    assert not list(folder.rglob("*.part"))
    assert not (folder / "work").exists()
    LmStudent().load(folder).close()


def refused(call: Callable[[Progress], object], phase: str, done: int) -> None:
    """The call fails on a disk that is full once it says that so much of a phase is done."""
    with disk_that_fills() as fill:

        def progress(description: str, at: int, total: int | None) -> None:
            if description.startswith(phase) and at >= done:
                fill()

        with pytest.raises((MetierError, OSError)) as caught:
            call(progress)
    assert is_full(caught.value), (phase, caught.value)


def test_a_full_disk_stops_a_preference_pass_and_room_lets_it_go_on(tmp_path: Path) -> None:
    model, plan = write_tiny(tmp_path / "base"), dataclasses.replace(PLAN, checkpoint_every_s=0.0)

    def call(progress: Progress, name: str = "work") -> Preferred:
        return prefer(model, PAIRS, plan, tmp_path / name, form=FORM, recipe="r", progress=progress)

    for phase, done in (("Reading pairs", 5), ("Preference tuning", 4)):
        refused(call, phase, done)
    gone_on, whole = call(silent), call(silent, "whole")
    assert gone_on.margins == whole.margins
    weights = [load_file(made.folder / "model.safetensors") for made in (gone_on, whole)]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert not list(tmp_path.rglob("*.part"))


def test_a_full_disk_stops_the_trial_of_baking_and_room_lets_it_go_on(tmp_path: Path) -> None:
    model = write_tiny(tmp_path / "base")

    def call(progress: Progress) -> Baking:
        where, few = tmp_path / "work", dataclasses.replace(PROBED, epochs=1)
        return decide_baking(model, FULL, BAKED, probe(), few, where, max_tokens=200, recipe="r", progress=progress)

    refused(call, "", 0)
    assert "after 32 examples in either form" in call(silent).reason
    assert not (tmp_path / "work").exists()
