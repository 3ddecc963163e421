"""Trees on simulated drive tests, from the text of a question to its label."""

from __future__ import annotations

import numpy as np
import pytest

from metier.labs.telecom import questions, text
from metier.labs.telecom.parts import CAUSES, Windows
from metier.labs.telecom.simulator import simulate
from metier.progress import silent
from metier.students import STUDENTS, FitSummary, LabelledTexts, Predictor, TaskSpec
from metier.students.viewing import choose_view

N_TRAIN, N_TUNE, N_TEST = 320, 80, 80


def labelled(windows: Windows) -> LabelledTexts:
    return LabelledTexts(tuple(text.standard(windows)), tuple(text.answers(windows)))


@pytest.fixture(scope="module")
def drives() -> Windows:
    return simulate(N_TEST, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, FitSummary]:
    folder = tmp_path_factory.mktemp("telecom") / "folder"
    summary = STUDENTS["trees"].fit(
        labelled(simulate(N_TRAIN, 0)),
        labelled(simulate(N_TUNE, 1)),
        folder,
        seed=0,
        progress=silent,
        options={"iterations": 60},
        task=TaskSpec(view="telelogs"),
    )
    return STUDENTS["trees"].load(folder), summary


def test_the_questions_are_read_and_mostly_answered_rightly(
    trained: tuple[Predictor, FitSummary], drives: Windows
) -> None:
    predictor, summary = trained
    asked = labelled(drives)
    view = choose_view(asked.inputs, asked.labels)
    assert view is not None
    assert view.name == "telelogs"
    assert (summary.n_train, summary.classes) == (N_TRAIN, CAUSES)
    answers = predictor.predict(asked.inputs)
    assert answers.failures == (None,) * N_TEST
    # Blind guessing gives one in eight; what some thousand windows reach is measured by a benchmark.
    assert (answers.labels == np.array(asked.labels, dtype=object)).mean() > 0.6
    assert np.median(answers.ood_scores) < 3


def test_the_randomised_form_is_answered_by_its_own_labels(
    trained: tuple[Predictor, FitSummary], drives: Windows
) -> None:
    asked = questions.randomised(drives, 5)
    answers = trained[0].predict([one.text for one in asked])
    assert answers.failures == (None,) * N_TEST
    assert len({one.answer for one in asked}) > len(CAUSES)
    right = answers.labels == np.array([one.answer for one in asked], dtype=object)
    assert right.mean() > 0.6  # fewer options can only help


def test_a_question_that_was_cut_off_is_not_answered(trained: tuple[Predictor, FitSummary], drives: Windows) -> None:
    whole = text.standard(drives)[0]
    answers = trained[0].predict([whole[: len(whole) // 3], whole.replace("SS-RSRP", "SS-XXXX"), ""])
    assert answers.failures == ("unreadable",) * 3
    assert np.isnan(answers.gate_scores).all()
