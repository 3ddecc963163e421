"""What a tuning is asked to do with the material that it gets."""

from __future__ import annotations

from metier.students.lm.material import Material
from metier.students.lm.parts import Encoded
from metier.students.lm.training import fitting_steps
from metier.students.lm.tuning.packs import steps_per_epoch
from metier.students.lm.tuning.plan import TuningPlan


def material(n: int, n_answer: int) -> Material:
    return Material(tuple(Encoded(tuple(range(10 + n_answer)), 10) for _ in range(n)), (), tuple(range(n)), ())


def test_steps_hold_no_more_than_32_examples_where_answers_are_short() -> None:
    given, plan = material(320, 3), TuningPlan()
    found = fitting_steps(plan, given)
    assert found.step_tokens == 96
    assert steps_per_epoch(given.train, found.step_tokens) == 10
    assert steps_per_epoch(given.train, plan.step_tokens) == 1


def test_steps_of_long_answers_stay_as_they_are() -> None:
    assert fitting_steps(TuningPlan(), material(20, 100)) == TuningPlan()
