"""The tune split is put to the served build once: what it was compared on is not asked again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from metier.artefacts.tasks import OutputKind
from metier.progress import silent
from metier.students import LabelledTexts, TaskSpec
from metier.students.lm.building import compared_places, tune_answers
from metier.students.lm.keeping import kept
from metier.students.lm.parts import Constraint, Generated, PromptForm
from metier.students.lm.phases import open_phases
from metier.students.lm.predictor import Asking, asking_of
from metier.students.lm.settings import LmSettings
from metier.students.lm.training import Job

FORM = PromptForm("", "?", "", is_baked=True)


class Echo:
    """A writer whose answer is the prompt; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def write(
        self,
        prompts: Sequence[str],
        constraint: Constraint,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]:
        self.asked += prompts
        return [Generated(prompt, (), np.empty(0), "stop", 1, 0, 0.0) for prompt in prompts]


def job_of(folder: Path, n: int) -> tuple[Job, Asking]:
    task = TaskSpec(OutputKind.TEXT)
    inputs = tuple(f"item {i}" for i in range(n))
    split = LabelledTexts(inputs, inputs, inputs)
    job = Job(split, split, task, (), LmSettings(), 3, open_phases(folder, "a"), silent, 64)
    return job, asking_of(task, (), FORM, 16)


@pytest.mark.parametrize(("n", "n_known"), [(8, 8), (260, 200)])
def test_only_items_that_were_not_compared_are_asked(tmp_path: Path, n: int, n_known: int) -> None:
    job, asking = job_of(tmp_path / "work", n)
    places = compared_places(job)
    assert len(places) == len(set(places.tolist())) == n_known
    (tmp_path / "work" / "parity").mkdir()
    before, after = Echo(), Echo()
    inputs = [job.tune.inputs[place] for place in places]
    kept(tmp_path / "work" / "parity" / "q4.json", lambda: asking.write(before, inputs))

    answers = tune_answers(job, asking, after, "q4")
    assert [one.text for one in answers] == [f"item {i}?" for i in range(n)]
    assert sorted(before.asked + after.asked) == sorted(one.text for one in answers)
    assert len(after.asked) == n - n_known


def test_a_build_that_was_not_compared_is_asked_everything(tmp_path: Path) -> None:
    job, asking = job_of(tmp_path / "work", 5)
    writer = Echo()
    assert len(tune_answers(job, asking, writer, "q8_0")) == len(writer.asked) == 5
