"""Labels that are reasoned for: what is learnt, how the box is read, choices, draws, and the whole student."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.students.trees.meters import CLASSES, Meters

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput, NotEnoughData
from metier.progress import silent
from metier.students import LabelledTexts, LmStudent, TaskSpec
from metier.students.lm.foreignness import fit_character_model
from metier.students.lm.parts import Constraint, Generated, PromptForm
from metier.students.lm.predictor import LmPredictor, asking_of
from metier.students.lm.reasoned import answered, boxed_answer, concluded, rationales_digest, spread, with_rationales
from metier.students.lm.scores import FEATURES, AnswerScore
from metier.students.lm.viewed import ViewedPredictor, read_texts

FORM = PromptForm("", "\n", "<eos>", is_baked=True)
READING = "meter reading\nload: 8.2\nflow: -\nheat: 300.0"
K = len(FEATURES)
PLAIN_SCORE = AnswerScore(0.0, (1 / K,) * K, (0.0,) * K, (1.0,) * K)


@dataclass
class Recorded:
    """A writer that gives the answers it was made with, one after the other."""

    answers: Sequence[str]
    asked: list[tuple[Constraint, float, int]] = field(default_factory=list)

    def write(
        self,
        prompts: Sequence[str],
        constraint: Constraint,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]:
        assert len(prompts) == len(self.answers)
        self.asked.append((constraint, temperature, seed))
        return [Generated(text, (text,), np.log([0.6]), "stop", 5, 1, 0.0) for text in self.answers]


def predictor(*answers: str) -> tuple[LmPredictor, Recorded]:
    writer = Recorded(answers)
    asking = asking_of(TaskSpec(), CLASSES, FORM, 64, is_reasoned=True)
    return LmPredictor(CLASSES, asking, writer, fit_character_model(["load 8, no flow"]), PLAIN_SCORE), writer


def test_an_answer_is_the_rationale_and_the_box() -> None:
    assert boxed_answer("No flow.", "leak") == "No flow. \\boxed{leak}"
    assert boxed_answer(None, "leak") == "\\boxed{leak}"
    assert concluded("\\boxed{calm}? No: \\boxed{leak}.") == "leak"
    assert concluded("a leak") is None
    with pytest.raises(BadInput, match="cannot stand in a box"):
        boxed_answer("", "le}ak")


def test_examples_without_a_rationale_are_left_out_of_training_alone() -> None:
    texts = LabelledTexts(("a", "b", "c"), ("leak", "calm", "leak"), None, ("No flow.", None, ""))
    kept, notes = with_rationales(texts)
    assert (kept.inputs, len(notes)) == (("a",), 1)
    assert "2 of 3 train examples were left out" in notes[0]
    assert answered(texts).labels == ("No flow. \\boxed{leak}", "\\boxed{calm}", "\\boxed{leak}")
    assert with_rationales(kept) == (kept, ())
    with pytest.raises(NotEnoughData, match="none of 1 train examples"):
        with_rationales(texts.take([1]))
    assert rationales_digest(texts) != rationales_digest(replace(texts, rationales=None))


def test_a_view_keeps_rationales_beside_its_classes() -> None:
    given = LabelledTexts((READING + "\nchoices: A = leak", "hello"), ("A", "A"), ("g", "h"), ("No flow.", "x"))
    found = read_texts(Meters(), OutputKind.LABEL, given, "train", silent).texts
    assert (found.labels, found.rationales) == (("leak",), ("No flow.",))


def test_the_label_is_read_from_the_last_box() -> None:
    model, writer = predictor(
        "No flow. \\boxed{leak}", "It is calm.", "\\boxed{flood}", "\\boxed{calm} or \\boxed{surge}"
    )
    answers = model.predict(["one", "two", "three", "four"])
    assert answers.labels[[0, 3]].tolist() == ["leak", "surge"]
    assert answers.failures == (None, "invalid", "invalid", None)
    assert (answers.scores > 0).tolist() == [True, False, False, True]
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-6)
    assert answers.probabilities[0, CLASSES.index("leak")] == pytest.approx(answers.scores[0], abs=1e-6)
    assert writer.asked == [(Constraint(), 0.0, 0)]


def test_samples_are_written_warm_with_their_seed() -> None:
    model, writer = predictor("\\boxed{leak}")
    assert model.sample(["one"], 3).labels.tolist() == ["leak"]
    assert [(temperature, seed) for _, temperature, seed in writer.asked] == [(0.7, 3)]


@pytest.mark.parametrize("seed", [None, 5])
def test_choices_of_the_input_are_honoured(seed: int | None) -> None:
    model, writer = predictor("No flow. \\boxed{leak}", "\\boxed{leak}", "\\boxed{calm}", "none")
    viewed = ViewedPredictor(Meters(), model)
    choices = "\nchoices: A = surge, B = leak"
    inputs = [READING, READING + choices, READING + choices, "hello", READING]
    answers = viewed.predict(inputs) if seed is None else viewed.sample(inputs, seed)
    assert answers.labels[:2].tolist() == ["leak", "B"]
    assert answers.failures == (None, None, "invalid", "unreadable", "invalid")
    assert (answers.scores > 0).tolist() == [True, True, False, False, False]
    assert [given for _, _, given in writer.asked] == [seed or 0]


def test_what_is_not_concluded_shares_the_rest() -> None:
    labels = np.array(["leak", "nothing"], dtype=object)
    found = spread(labels, np.array([0.9, 0.0]), CLASSES)
    np.testing.assert_allclose(found, [[0.05, 0.9, 0.05], [1 / 3] * 3], atol=1e-6)
    assert spread(labels[:0], np.empty(0), CLASSES).shape == (0, 3)


@pytest.fixture
def base(tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("torch", reason="needs the [train] extra")
    pytest.importorskip("xllamacpp", reason="needs the [lm] extra")
    monkeypatch.setenv("METIER_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_model("llama"), folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    return str(folder)


def examples(n: int) -> LabelledTexts:
    labels = tuple("north" if place % 2 else "south" for place in range(n))
    inputs = tuple(f"shop {label} {place}" for place, label in enumerate(labels))
    return LabelledTexts(inputs, labels, inputs, tuple(f"Shop {label}." for label in labels))


def test_the_student_learns_to_reason_and_says_so_in_its_files(base: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "base": base, "epochs": 1, "trainings": 1, "max_tokens": 128, "max_output_tokens": 64, "parity_margin": 0.9,
        "rationale": "on", "quantisation": "q8_0", "vocabulary": "keep",
    }  # fmt: skip
    train, folder = examples(16), tmp_path / "made"

    def fit(texts: LabelledTexts) -> Any:
        return LmStudent().fit(texts, examples(6), folder, seed=0, progress=silent, options=options)

    summary = fit(train)
    assert summary.classes == ("north", "south")
    assert 0 <= summary.tune_accuracy <= 1
    assert json.loads((folder / "meta.json").read_text())["is_reasoned"] is True
    assert fit(train) == summary
    model = LmStudent().load(folder)
    answers = model.predict(["shop north 3"])
    assert answers.probabilities.shape == (1, 2)
    # Without a training worth the name the tiny model boxes nothing; it must say so rather than pass its text for a label.
    assert answers.failures is not None
    assert answers.failures[0] is not None or answers.labels[0] in summary.classes
    model.close()
    shutil.rmtree(folder)
    with pytest.raises(NotEnoughData, match="reasoned before its label"):
        fit(replace(train, rationales=None))
