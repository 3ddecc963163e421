"""The language model behind a view: what it reads, among what it chooses, and what is not put to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from tests.students.trees.meters import CLASSES, Meters, make_readings

from metier.artefacts.tasks import OutputKind
from metier.errors import NotEnoughData
from metier.progress import silent
from metier.students.base import LabelledTexts, TaskSpec
from metier.students.confidence import ScoreModel
from metier.students.lm.foreignness import fit_character_model
from metier.students.lm.held_out import write_held_out
from metier.students.lm.parts import Constraint, Generated, PromptForm
from metier.students.lm.predictor import LmPredictor, asking_of
from metier.students.lm.viewed import ViewedPredictor, read_texts
from metier.students.viewing import UNREADABLE_OOD

FORM = PromptForm("", "\n", "<eos>", is_baked=True)
READING = "meter reading\nload: 8.2\nflow: -\nheat: 300.0"


@dataclass
class Recorded:
    """A writer that holds every prompt for a leak before a surge, and keeps what it was asked."""

    asked: list[str] = field(default_factory=list)
    closed: bool = False

    def write(
        self,
        prompts: Sequence[str],
        constraint: Constraint,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]:
        assert constraint.labels == CLASSES
        self.asked += prompts
        shares = np.array([0.1, 0.6, 0.3])
        return [Generated("leak", ("leak",), np.log([0.6]), "stop", 5, 1, 0.0, shares) for _ in prompts]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def writer() -> Recorded:
    return Recorded()


@pytest.fixture
def predictor(writer: Recorded) -> ViewedPredictor:
    inner = LmPredictor(
        CLASSES,
        asking_of(TaskSpec(), CLASSES, FORM, 8),
        writer,
        fit_character_model(["load 8, no flow", "load 3, flow"]),
        ScoreModel(1.0, 0.0, 1.0, 0.0, 0.0, 1.0),
    )
    return ViewedPredictor(Meters(), inner)


def test_what_was_answered_before_is_found_by_the_views_text(
    predictor: ViewedPredictor, writer: Recorded, tmp_path: Path
) -> None:
    known = replace(predictor.inner, held_out=tmp_path / "tune-answers.json")
    text = Meters().read(READING).text
    assert text is not None
    asked = known.predict([text])
    write_held_out(tmp_path / "tune-answers.json", [text], replace(asked, scores=np.array([0.125])))
    writer.asked.clear()
    found = ViewedPredictor(Meters(), known).predict_held_out([READING, "hello"])
    assert writer.asked == []
    assert found.scores.tolist() == [0.125, 0.0]
    assert found.failures == (None, "unreadable")
    assert found.labels[0] == "leak"


def test_examples_are_the_views_texts_and_classes() -> None:
    given = make_readings(5, 0, {"surge": "1", "calm": "2", "leak": "3"})
    texts = LabelledTexts((*given.inputs, "hello"), (*given.labels, "1"), ("a", "b", "c", "d", "e", "f"))
    found = read_texts(Meters(), OutputKind.LABEL, texts, "train", silent)
    assert found.texts.labels == make_readings(5, 0).labels
    assert found.texts.groups == ("a", "b", "c", "d", "e")
    assert all(text.startswith("load ") for text in found.texts.inputs)
    assert [note[:16] for note in found.notes] == ["1 of 6 train exa"]


@pytest.mark.parametrize("split", ["train", "tune"])
def test_a_split_that_the_view_cannot_read_is_too_few_data(split: str) -> None:
    texts = LabelledTexts(("hello", "bye"), ("calm", "leak"))
    with pytest.raises(NotEnoughData, match=rf"gives none of 2 {split} examples to learn from: 2 of 2 {split}"):
        read_texts(Meters(), OutputKind.LABEL, texts, split, silent)


def test_outputs_that_are_no_labels_stay_as_they_are() -> None:
    texts = LabelledTexts((READING + "\nchoices: A = leak",), ("because of the flow",))
    assert read_texts(Meters(), OutputKind.TEXT, texts, "train", silent).texts.labels == ("because of the flow",)


def test_the_model_reads_the_views_text(predictor: ViewedPredictor, writer: Recorded) -> None:
    answers = predictor.predict([READING, "hello", READING + "\nchoices: A = surge, B = leak"])
    assert writer.asked == ["load 8, no flow\n"] * 2
    assert answers.labels.tolist() == ["leak", "", "B"]
    assert answers.failures == (None, "unreadable", None)
    assert answers.scores[1] == 0
    assert answers.ood_scores[1] == UNREADABLE_OOD
    assert np.isnan(answers.gate_scores).tolist() == [False, True, False]
    assert answers.input_tokens is not None
    assert answers.input_tokens.tolist() == [5, 0, 5]
    np.testing.assert_allclose(answers.probabilities[2], [0, 2 / 3, 1 / 3], atol=1e-6)


def test_it_answers_among_what_the_input_offers(predictor: ViewedPredictor) -> None:
    answers = predictor.predict([READING + "\nchoices: A = surge, B = calm", READING + "\nchoices: A = other"])
    assert answers.labels.tolist() == ["A", ""]
    assert answers.failures == (None, "unreadable")
    # The favourite is not offered: the score is that of the next, which had 0.3.
    assert answers.scores[0] == pytest.approx(0.3)


def test_nothing_readable_is_nothing_asked(predictor: ViewedPredictor, writer: Recorded) -> None:
    assert predictor.predict(["hello"]).failures == ("unreadable",)
    assert len(predictor.predict([]).labels) == 0
    assert writer.asked == []
    predictor.stop()
    predictor.close()
    assert writer.closed
    assert (predictor.classes_, predictor.n_cores) == (CLASSES, 1)
    assert "loaded and warm" in predictor.condition


def test_labels_are_drawn_by_their_probabilities(predictor: ViewedPredictor) -> None:
    plain, choices = READING, READING + "\nchoices: A = surge, B = calm"
    draws = [predictor.sample([plain, choices, "hello"], seed) for seed in range(200)]
    assert {one.labels[0] for one in draws} == set(CLASSES)
    assert {one.labels[1] for one in draws} == {"A", "B"}
    assert {one.failures for one in draws} == {(None, None, "unreadable")}
    leaks = sum(one.labels[0] == "leak" for one in draws)
    assert 95 <= leaks <= 145  # 120 are expected, with a standard deviation of 7
    assert predictor.sample([plain], 3).labels.tolist() == predictor.sample([plain], 3).labels.tolist()
