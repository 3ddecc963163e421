"""The tune split is put to the served build once: what it was compared on is not asked again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from metier.artefacts.tasks import OutputKind
from metier.progress import silent
from metier.students import LabelledTexts, TaskSpec
from metier.students.lm import building
from metier.students.lm.building import compared_places, make_builds
from metier.students.lm.keeping import kept
from metier.students.lm.parts import Base, Constraint, Generated, PromptForm
from metier.students.lm.phases import open_phases
from metier.students.lm.predictor import Asking, asking_of
from metier.students.lm.scoring import tune_answers
from metier.students.lm.settings import LmSettings
from metier.students.lm.standing import Standing
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


@pytest.mark.parametrize(
    ("n", "coarse", "fine", "served", "asked"),
    [
        (30, "right", "right", "q8_0", ["q8_0"]),  # few items show nothing: the coarse build is not asked
        (30, "right", "wrong", "q4", ["q8_0", "q4"]),  # unless the fine one does not keep to the margin
        (250, "right", "right", "q4", ["q4", "q8_0"]),
        (250, "wrong", "right", "q8_0", ["q4", "q8_0"]),
    ],
)
def test_a_coarse_build_is_asked_where_that_can_show_something(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n: int,
    coarse: str,
    fine: str,
    served: str,
    asked: list[str],
) -> None:
    job, asking = job_of(tmp_path / "work", n)
    says = {"q4": coarse, "q8_0": fine, "training": "right"}
    order: list[str] = []

    def answers(name: str, inputs: Sequence[str]) -> list[Generated]:
        text = {"right": lambda item: item, "wrong": lambda _: "nothing alike"}[says[name]]
        return [Generated(text(item), (), np.empty(0), "stop", 1, 0, 0.0) for item in inputs]

    def answers_of(job: Job, asking: Asking, build: str, inputs: Sequence[str], stem: str = "build") -> list[Generated]:
        order.append(build)
        return answers(build, inputs)

    class Trained:
        def __init__(self, model: Path, n_context: int) -> None:
            pass

        def write(self, prompts: Sequence[str], constraint: Constraint, **more: object) -> list[Generated]:
            return answers("training", [prompt.removesuffix("?") for prompt in prompts])

    def write_builds(*given: object) -> tuple[tuple[str, int], ...]:
        return (("q4", 1), ("q8_0", 2))

    monkeypatch.setattr(building, "answers_of", answers_of)
    monkeypatch.setattr(building, "TorchWriter", Trained)
    monkeypatch.setattr(building, "write_builds", write_builds)
    monkeypatch.setattr(building, "coder_for", lambda model, form: Mock())
    monkeypatch.setattr(building, "check_reading", lambda *given: None)
    base = Base("b", "b", "apache-2.0", "", "0" * 64, tmp_path)
    built = make_builds(job, base, asking, tmp_path, Standing(tmp_path, ()))
    assert (built.served, order) == (served, asked)
    untried = "q4: not asked: answers all alike to 30 tune items would not show it to keep to the declared margin"
    assert (untried in built.parity) == ("q4" not in order)


def test_a_build_that_was_not_compared_is_asked_everything(tmp_path: Path) -> None:
    job, asking = job_of(tmp_path / "work", 5)
    writer = Echo()
    assert len(tune_answers(job, asking, writer, "q8_0")) == len(writer.asked) == 5
