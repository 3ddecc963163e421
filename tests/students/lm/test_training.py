"""What a tuning is asked to do with the material that it gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metier.students.lm.material import Material
from metier.students.lm.parts import Encoded
from metier.students.lm.settings import LmSettings
from metier.students.lm.training import fitting_steps, in_passes, plan_of, shares_of
from metier.students.lm.tuning.packs import steps_per_epoch
from metier.students.lm.tuning.plan import TuningPlan


def material(n: int, n_answer: int) -> Material:
    return Material(tuple(Encoded(tuple(range(10 + n_answer)), 10) for _ in range(n)), (), tuple(range(n)), ())


def test_steps_hold_no_more_than_32_examples_where_answers_are_short() -> None:
    given, plan = material(6_400, 3), TuningPlan()
    found = fitting_steps(plan, given)
    assert found.step_tokens == 96
    assert steps_per_epoch(given.train, found.step_tokens) == 200
    assert found.rate == plan.rate


def test_a_small_split_is_read_in_a_hundred_steps() -> None:
    given, plan = material(800, 3), TuningPlan()
    found = fitting_steps(plan, given)
    assert steps_per_epoch(given.train, found.step_tokens) == 100
    assert found.rate == pytest.approx(plan.rate / 2)  # steps of a quarter of the size


def test_steps_hold_at_least_four_examples() -> None:
    found = fitting_steps(TuningPlan(), material(20, 100))
    assert found.step_tokens == 400
    assert found.rate == pytest.approx(TuningPlan().rate * (400 / 1024) ** 0.5)


def test_steps_of_long_answers_stay_as_they_are() -> None:
    assert fitting_steps(TuningPlan(), material(20, 300)) == TuningPlan()


def test_variants_make_one_pass_of_all() -> None:
    plain = material(20, 100)
    varied = replace(plain, variants=plain.train * 2)
    plan = TuningPlan(epochs=3)
    assert in_passes(plan, plain) == plan
    assert in_passes(plan, varied) == replace(plan, epochs=1, evaluations=3, patience=0)


def test_processes_do_the_same_work_in_another_way() -> None:
    several = LmSettings(processes=3)
    assert plan_of(several, 0) == replace(plan_of(LmSettings(), 0), processes=3)
    assert several.shaping() == LmSettings().shaping()
    assert LmSettings.of_options(several.options()) == several


def test_variants_are_read_in_more_passes_unless_a_number_is_asked_for() -> None:
    assert plan_of(LmSettings(), 0).epochs == 3
    assert plan_of(LmSettings(), 0, is_varied=True).epochs == 6
    assert plan_of(LmSettings(epochs=2), 0, is_varied=True).epochs == 2


def test_every_training_reads_the_train_split_and_rounds_of_variants_of_its_own() -> None:
    one = material(4, 10)
    # Three rounds of five variants; the second of the first round and the last of the third were too long.
    kept = tuple(place for place in range(15) if place not in (1, 14))
    varied = replace(one, variants=one.train[:1] * len(kept), variants_kept=kept)
    first, second = shares_of(varied, 5, 2)

    assert first == [0, 1, 2, 3, *(4 + kept.index(place) for place in (0, 2, 3, 4, 10, 11, 12, 13))]
    assert second == [0, 1, 2, 3, *(4 + kept.index(place) for place in (5, 6, 7, 8, 9))]


def test_without_variants_every_training_reads_the_train_split() -> None:
    assert shares_of(material(3, 10), 4, 2) == [[0, 1, 2]] * 2
