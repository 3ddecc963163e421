"""The last learning: what it reads, what it leaves, and that nothing of it is kept where something broke."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.students.lm.test_student import FIELDS, OPTIONS, base, cache, labelled, records
from tests.students.lm.test_varying import SCHEMA, receipts

from metier.artefacts.tasks import OutputKind
from metier.errors import TrainingFailed
from metier.progress import Progress, silent
from metier.students import FitSummary, LabelledTexts, LmStudent, TaskSpec
from metier.students.lm import building, refitting
from metier.students.lm.exporting import Parity
from metier.students.lm.last_texts import refit_texts
from metier.students.lm.parts import Generated
from metier.students.lm.tuning.plan import PassFailed

__all__ = ["base", "cache"]


def fit(base: str, folder: Path, task: TaskSpec = FIELDS, progress: Progress = silent, **options: Any) -> FitSummary:
    chosen = {**OPTIONS, "base": base, "quantisation": "q8_0", "refit": "auto", **options}
    examples = labelled if task.kind is OutputKind.LABEL else records
    return LmStudent().fit(
        examples(24, 0), examples(8, 1), folder, seed=0, progress=progress, options=chosen, task=task
    )


def refitted(summary: FitSummary) -> str:
    assert summary.language_model is not None
    return summary.language_model.refit


def test_tune_examples_are_read_as_often_as_the_others_were_and_those_once_more() -> None:
    train, tune = records(5, 0), records(2, 1)
    found = refit_texts(train, tune, 3, 0)
    assert Counter(found.inputs) == Counter([*train.inputs, *3 * tune.inputs])
    label_of = dict(zip((*train.inputs, *tune.inputs), (*train.labels, *tune.labels), strict=True))
    assert all(label_of[text] == label for text, label in zip(found.inputs, found.labels, strict=True))


def test_records_are_read_as_variants_but_for_the_tune_examples_themselves() -> None:
    whole = receipts(30, 1)
    train, tune = whole.take(range(24)), whole.take(range(24, 30))
    found = refit_texts(train, tune, 4, 0, SCHEMA)
    assert len(found) == 24 + 4 * 6
    assert all(text in found.inputs for text in tune.inputs)
    assert sum(text in found.inputs for text in train.inputs) < 6
    towns = {json.loads(label)["street"].split(", ")[1] for label in tune.labels}
    # What the tune split's addresses are made of is put into the train split's inputs, too.
    assert any(town in label for label in found.labels[:24] for town in towns)
    assert refit_texts(train, tune, 4, 0, SCHEMA) == found != refit_texts(train, tune, 4, 1, SCHEMA)


def test_the_tune_split_is_learnt_from_in_the_end_and_its_answers_from_before_are_kept(
    base: str, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    summary, tune = fit(base, folder), records(8, 1)
    assert refitted(summary).startswith("8 tune examples were learnt from when all was chosen, in ")
    assert "All other figures of the tune split are from before." in refitted(summary)
    assert summary.language_model is not None
    before_it, after_it = summary.language_model.parity.split("; after the last learning ")
    assert before_it.startswith("q8_0: ")
    assert after_it.startswith("q8_0, on examples that it has learnt: ")
    assert " of 8 answers are those of the training-time model" in after_it
    assert (folder / "adapter-refit" / "adapter_model.safetensors").is_file()
    assert {"adapter", "adapter-refit", "model", "q4", "q8_0"} == {name for name, _ in summary.language_model.builds}
    assert "Refit: 8 tune examples" in (folder / "model" / "README.md").read_text()

    alone = fit(base, tmp_path / "alone", refit="off")
    assert (alone.tune_accuracy, refitted(alone)) == (summary.tune_accuracy, "")
    assert not (tmp_path / "alone" / "adapter-refit").exists()
    before, after = (LmStudent().load(one, threads=0) for one in (tmp_path / "alone", folder))
    given = before.predict(tune.inputs)
    held, now = (
        after.predict_held_out([*tune.inputs, "The north shop"]),
        after.predict([*tune.inputs, "The north shop"]),
    )
    before.close()
    after.close()
    assert held.labels[:8].tolist() == given.labels.tolist()
    np.testing.assert_allclose(held.scores[:8], given.scores, atol=0.02)
    assert held.labels[8] == now.labels[8]
    assert held.failures is not None
    assert now.failures is not None
    assert held.failures[:8] == given.failures
    assert not np.allclose(held.scores[:8], now.scores[:8], atol=1e-6)


def test_what_broke_is_not_kept(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: Any, asking: Any, build: str, inputs: Sequence[str], stem: str) -> list[Generated]:
        assert stem == "refit"
        return [Generated("", (), np.empty(0), "length", 1, 1, 0.0) for _ in inputs]

    def all_right(job: Any, read: Sequence[Any], wanted: Sequence[Any]) -> Any:
        return np.array([bool(one.text) for one in read])

    monkeypatch.setattr(refitting, "answers_of", broken)
    monkeypatch.setattr(refitting, "right_ones", all_right)
    folder = tmp_path / "s"
    summary = fit(base, folder)
    assert "; 0 of 8 of the tune split were answered rightly then, " in refitted(summary)
    assert refitted(summary).endswith("before: not kept")
    assert summary.language_model is not None
    assert summary.language_model.parity.startswith("q8_0: ")
    assert not (folder / "adapter-refit").exists()
    assert not (folder / "tune-answers.json").exists()
    fit(base, tmp_path / "alone", refit="off")
    same = [(one / "builds" / "q8_0.gguf").read_bytes() for one in (folder, tmp_path / "alone")]
    assert same[0] == same[1]


def test_a_build_that_loses_what_was_learnt_last_is_not_kept(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build is as good as before the last learning, and loses two of the eight answers that its model has right."""
    compared = building.compare_answers

    def lossy(training: list[Generated], served: list[Generated], wanted: Sequence[str], **more: Any) -> Parity:
        right = [replace(one, text=label, finish="stop") for one, label in zip(training, wanted, strict=True)]
        wrong = [replace(one, text="{}") for one in right[:2]]
        return compared(right, [*wrong, *right[2:]], wanted, **more)

    parity_on = building.parity_on

    def on_the_last(*given: Any) -> Parity:
        monkeypatch.setattr(building, "compare_answers", lossy)
        return parity_on(*given)

    monkeypatch.setattr(refitting, "parity_on", on_the_last)
    monkeypatch.setattr(refitting, "right_ones", lambda job, read, wanted: np.ones(len(read), dtype=np.bool_))
    folder = tmp_path / "s"
    summary = fit(base, folder, parity_margin=0.2)
    assert "; the build of what was made loses too many of its right answers: " in refitted(summary)
    assert "right: 75.0% against 100.0%" in refitted(summary)
    assert refitted(summary).endswith("; margin 20.0 points: not kept")
    assert summary.language_model is not None
    assert "after the last learning" not in summary.language_model.parity
    assert not (folder / "adapter-refit").exists()


def test_a_pass_that_the_memory_does_not_hold_leaves_the_model_before_it(base: str, tmp_path: Path) -> None:
    told = "Out of memory at step 0 with one example of up to 90 tokens at a time."

    def full(description: str, done: int, total: int | None) -> None:
        if description.startswith("Learning from the tune split too"):
            raise PassFailed(told)

    folder = tmp_path / "s"
    summary = fit(base, folder, progress=full)
    assert refitted(summary) == f"not done: {told}"
    assert not (folder / "adapter-refit").exists()
    predictor = LmStudent().load(folder)
    assert len(predictor.predict_held_out(records(8, 1).inputs).labels) == 8
    predictor.close()


def test_a_last_learning_that_found_no_memory_to_begin_with_is_done_by_the_same_command(
    base: str, tmp_path: Path
) -> None:
    def full(description: str, done: int, total: int | None) -> None:
        if description == "Learning from the tune split too":
            raise MemoryError

    with pytest.raises(TrainingFailed, match=r"Out of memory \(at: .*\): .*goes on from there"):
        fit(base, tmp_path / "s", progress=full)
    assert refitted(fit(base, tmp_path / "s")).startswith("8 tune examples were learnt from")


def test_a_kill_in_the_last_learning_is_gone_on_from(base: str, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(description: str, done: int, total: int | None) -> None:
        if description.startswith("Learning from the tune split too") and done:
            raise Killed

    with pytest.raises(Killed):
        fit(base, tmp_path / "s", progress=kill)
    assert (tmp_path / "s" / "work" / "scoring.json").exists()
    assert not (tmp_path / "s" / "work" / "refit.json").exists()
    fit(base, tmp_path / "s")
    fit(base, tmp_path / "whole")
    written = [(one / "builds" / "q8_0.gguf").read_bytes() for one in (tmp_path / "s", tmp_path / "whole")]
    assert written[0] == written[1]


def test_whole_matrices_are_refitted_without_an_adapter(base: str, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    assert "are answered rightly now" in refitted(fit(base, folder, method="full"))
    assert not list(folder.glob("adapter*"))
    assert (folder / "tune-answers.json").exists()


def test_a_shared_base_carries_the_last_adapter_on_top(base: str, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    summary = fit(base, folder, quantisation="shared", vocabulary="keep")
    assert "are answered rightly now" in refitted(summary)
    assert [path.name for path in sorted((folder / "builds").glob("adapter-*.gguf"))] == [
        "adapter-0.gguf",
        "adapter-1.gguf",
    ]
    predictor = LmStudent().load(folder)
    assert len(predictor.predict(["The north shop"]).labels) == 1
    predictor.close()


def test_what_was_not_reasoned_for_is_not_learnt_from_as_a_label_alone(base: str, tmp_path: Path) -> None:
    whole = labelled(24, 0)
    reasoned = LabelledTexts(whole.inputs, whole.labels, whole.inputs, ("It says so.",) * 24)
    few = labelled(8, 1)
    tune = LabelledTexts(few.inputs, few.labels, few.inputs, (None,) * 5 + ("It says so.",) * 3)
    options = {**OPTIONS, "base": base, "quantisation": "q8_0", "rationale": "on", "refit": "on"}
    for texts, told in ((tune, "3 tune examples were learnt from"), (LabelledTexts(few.inputs, few.labels), "")):
        summary = LmStudent().fit(
            reasoned, texts, tmp_path / (told or "none"), seed=0, progress=silent, options=options, task=TaskSpec()
        )
        assert refitted(summary).startswith(told)
        assert bool(refitted(summary)) == bool(told)


def test_labels_are_learnt_from_in_the_end_only_where_it_is_asked_for(base: str, tmp_path: Path) -> None:
    assert refitted(fit(base, tmp_path / "auto", TaskSpec())) == ""
    summary = fit(base, tmp_path / "on", TaskSpec(), refit="on")
    assert refitted(summary).startswith("8 tune examples were learnt from")
    predictor = LmStudent().load(tmp_path / "on")
    held = predictor.predict_held_out(labelled(8, 1).inputs)
    predictor.close()
    assert held.probabilities.shape == (8, 2)
    np.testing.assert_allclose(held.probabilities.sum(axis=1), 1, atol=1e-5)


def test_an_empty_tune_split_is_nothing_to_learn_from(base: str, tmp_path: Path) -> None:
    none = LabelledTexts((), (), ())
    options = {**OPTIONS, "base": base, "quantisation": "q8_0", "refit": "auto"}
    summary = LmStudent().fit(
        records(12, 0), none, tmp_path / "s", seed=0, progress=silent, options=options, task=FIELDS
    )
    assert refitted(summary) == ""
