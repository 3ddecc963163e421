"""The whole student on tiny random models: what a training leaves, answers, resuming, refusals."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metier.artefacts.tasks import OutputKind, Template, TemplateMessage
from metier.errors import BadArtefact, BadInput, LicenceNotAccepted, NotEnoughData
from metier.metrics.records import canonical
from metier.progress import silent
from metier.students import STUDENTS, FitSummary, LabelledTexts, LmStudent, TaskSpec

pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("xllamacpp", reason="needs the [lm] extra")

SCHEMA = {
    "type": "object",
    "properties": {"shop": {"enum": ["north", "south"]}, "total": {"type": "string", "maxLength": 5}},
    "required": ["shop"],
    "additionalProperties": False,
}
PROMPT = "Read the receipt and give its shop and total as JSON. Leave out what is not there.\n\n"
TEMPLATE = Template("t", (TemplateMessage("user", (PROMPT, "")),), 9)
FIELDS = TaskSpec(OutputKind.FIELDS, SCHEMA, TEMPLATE)
OPTIONS: dict[str, Any] = {
    "epochs": 2,
    "max_tokens": 256,
    "max_output_tokens": 48,
    "parity_margin": 0.9,
    "baking": "bake",
    # It takes as long as all else together; what it does has tests of its own.
    "refit": "off",
}
MakeModel = Callable[[str], Path]


def records(n: int, seed: int) -> LabelledTexts:
    rng = np.random.default_rng(seed)
    inputs, labels = [], []
    for _ in range(n):
        shop, total = str(rng.choice(["north", "south"])), f"{rng.integers(1, 9)}.{rng.integers(10, 99)}"
        inputs.append(f"The {shop} shop\nthe total is {total}")
        labels.append(canonical({"shop": shop, "total": total}, SCHEMA))
    return LabelledTexts(tuple(inputs), tuple(labels), tuple(inputs))


def labelled(n: int, seed: int) -> LabelledTexts:
    found = records(n, seed)
    return LabelledTexts(found.inputs, tuple(json.loads(label)["shop"] for label in found.labels))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def base(tiny_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random Llama with a licence that asks for nothing."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    shutil.copytree(tiny_model("llama"), folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    return str(folder)


def fit(base: str, folder: Path, task: TaskSpec = FIELDS, **options: Any) -> FitSummary:
    chosen = {**OPTIONS, "base": base, **options}
    examples = labelled if task.kind is OutputKind.LABEL else records
    return LmStudent().fit(examples(24, 0), examples(8, 1), folder, seed=0, progress=silent, options=chosen, task=task)


@pytest.fixture(scope="module")
def trained(base: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FitSummary]:
    folder = tmp_path_factory.mktemp("trained")
    return folder, fit(base, folder, quantisation="q8_0", refit="auto")


def test_a_training_leaves_builds_model_adapter_and_card(trained: tuple[Path, FitSummary]) -> None:
    folder, summary = trained
    assert {path.name for path in (folder / "builds").iterdir()} == {"q4.gguf", "q8_0.gguf"}
    assert {"config.json", "tokenizer.json", "README.md"} <= {path.name for path in (folder / "model").iterdir()}
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert not (folder / "work").exists()
    files = json.loads((folder / "meta.json").read_text())["files"]
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(files) == present - {"meta.json"}
    assert summary.size_bytes == sum((folder / name).stat().st_size for name in ("builds/q8_0.gguf", "foreignness.npz"))


def test_the_summary_says_where_the_model_comes_from_and_what_was_done(trained: tuple[Path, FitSummary]) -> None:
    _, summary = trained
    model = summary.language_model
    assert model is not None
    assert (summary.student, summary.licence, summary.n_train, summary.n_tune) == ("lm", "apache-2.0", 24, 8)
    assert len(model.base_sha256) == 64
    assert "apache" in model.conditions.lower()
    assert model.n_vocabulary <= model.n_vocabulary_base
    assert model.n_parameters <= model.n_parameters_base
    assert model.prompt_tokens_saved > 5
    assert "as asked for" in model.baking
    assert model.served == summary.precision == "q8_0"
    assert "training-time model" in model.parity
    assert {name for name, _ in model.builds} == {"q4", "q8_0", "model", "adapter", "adapter-refit"}
    assert model.preference
    assert model.examples_per_s > 0
    assert 0 <= summary.tune_accuracy <= 1
    assert len(summary.curve) >= 1
    assert not math.isnan(summary.curve[0].tune_loss)


def test_answers_are_records_that_fit_or_failures_with_score_zero(trained: tuple[Path, FitSummary]) -> None:
    predictor = LmStudent().load(trained[0])
    answers = predictor.predict([*records(4, 3).inputs, "something else entirely <|endoftext|>"])
    predictor.close()
    assert answers.failures is not None
    assert answers.probabilities.shape == (5, 0)
    assert predictor.classes_ == ()
    for text, score, failure in zip(answers.labels, answers.scores, answers.failures, strict=True):
        assert 0 <= score <= 1
        if failure is None:
            record = json.loads(text)
            assert text == canonical(record, SCHEMA)
            assert record["shop"] in ("north", "south")
        else:
            assert score == 0
    assert answers.ood_scores[4] > answers.ood_scores[:4].max()
    assert answers.input_tokens is not None
    assert answers.output_tokens is not None
    assert (answers.input_tokens > 0).all()


def test_no_inputs_give_empty_answers(trained: tuple[Path, FitSummary]) -> None:
    predictor = LmStudent().load(trained[0])
    answers = predictor.predict([])
    predictor.close()
    assert len(answers.labels) == len(answers.scores) == len(answers.ood_scores) == 0
    assert answers.failures == ()


def test_an_input_that_is_too_long_is_not_answered(trained: tuple[Path, FitSummary]) -> None:
    predictor = LmStudent().load(trained[0])
    answers = predictor.predict(["the shop " * 30_000])
    predictor.close()
    assert answers.failures == ("too long",)
    assert answers.scores.tolist() == [0.0]


def test_the_tune_accuracy_is_that_of_the_served_build_before_it_learnt_from_it(
    trained: tuple[Path, FitSummary],
) -> None:
    folder, summary = trained
    predictor, tune = LmStudent().load(folder, threads=0), records(8, 1)
    answers = predictor.predict_held_out(tune.inputs)
    predictor.close()
    right = [given == wanted for given, wanted in zip(answers.labels, tune.labels, strict=True)]
    assert summary.tune_accuracy == pytest.approx(np.mean(right))


def test_a_training_that_is_done_is_not_done_again(base: str, trained: tuple[Path, FitSummary]) -> None:
    folder, summary = trained
    before = (folder / "meta.json").stat().st_mtime_ns
    (folder / "work").mkdir()  # as a kill leaves it that comes after the last file
    assert fit(base, folder, quantisation="q8_0", refit="auto") == summary
    assert (folder / "meta.json").stat().st_mtime_ns == before
    assert not (folder / "work").exists()


def test_an_altered_build_is_not_loaded(trained: tuple[Path, FitSummary], tmp_path: Path) -> None:
    shutil.copytree(trained[0], tmp_path / "copy")
    with (tmp_path / "copy" / "builds" / "q8_0.gguf").open("r+b") as file:
        file.seek(2000)
        file.write(b"x")
    with pytest.raises(BadArtefact, match=r"q8_0\.gguf was altered"):
        LmStudent().load(tmp_path / "copy")


def test_predicting_needs_neither_torch_nor_transformers(trained: tuple[Path, FitSummary]) -> None:
    code = (
        "import sys; from pathlib import Path; from metier.students import STUDENTS\n"
        f"p = STUDENTS['lm'].load(Path({str(trained[0])!r})); p.predict(['The north shop']); p.close()\n"
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_labels_are_chosen_from_the_list_with_probabilities(base: str, tmp_path: Path) -> None:
    summary = fit(base, tmp_path / "s", TaskSpec(), vocabulary="keep", method="full", quantisation="q8_0")
    assert summary.classes == ("north", "south")
    predictor = LmStudent().load(tmp_path / "s")
    answers = predictor.predict(labelled(6, 5).inputs)
    predictor.close()
    assert set(answers.labels) <= {"north", "south"}
    assert answers.probabilities.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert [("north", "south")[i] for i in answers.probabilities.argmax(axis=1)] == answers.labels.tolist()
    assert summary.language_model is not None
    assert "the answer is a label" in summary.language_model.preference
    assert summary.language_model.vocabulary.startswith("keep")


def test_a_killed_training_goes_on_where_it_was(base: str, tmp_path: Path, trained: tuple[Path, FitSummary]) -> None:
    """kill -9 in the middle, then again: the same answers as those of a training that was never stopped."""
    folder = tmp_path / "s"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_student as t\n"
        "t.fit(sys.argv[2], Path(sys.argv[3]), quantisation='q8_0', refit='auto')"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), base, str(folder)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while not (folder / "work" / "tuning.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    # On a slow machine the kill comes while it is still tuning, on a quick one perhaps after the end.
    tuning = folder / "work" / "tuning.json"
    done = json.loads(tuning.read_text()) if tuning.exists() else None
    summary = fit(base, folder, quantisation="q8_0", refit="auto")
    assert done is None or summary.curve[0].wall_s == done["facts"]["curve"][0]["wall_s"]  # not tuned again
    assert summary.tune_accuracy == trained[1].tune_accuracy
    assert [p.train_loss for p in summary.curve] == [p.train_loss for p in trained[1].curve]


def test_texts_under_a_licence_with_conditions(base: str, tmp_path: Path) -> None:
    """The licence must be accepted; examples that do not fit are left out and counted; texts are written."""
    bound = tmp_path / "bound"
    shutil.copytree(base, bound)
    (bound / "README.md").write_text("---\nlicense: gemma\n---\n")
    train = records(10, 0)
    # Two prompts that are too long, one of them of over a hundred thousand tokens, and an answer.
    too_long = ("shop " * 500, "the shop " * 60_000, train.inputs[0])
    labels = (train.labels[0], train.labels[0], "the shop " * 60)
    train = LabelledTexts((*train.inputs, *too_long), (*train.labels, *labels))
    options = {**OPTIONS, "base": str(bound), "preference": "off"}

    def run(**more: Any) -> FitSummary:
        task, given = TaskSpec(OutputKind.TEXT), {**options, **more}
        return LmStudent().fit(train, records(4, 1), tmp_path / "s", seed=0, progress=silent, options=given, task=task)

    with pytest.raises(LicenceNotAccepted, match="--accept-licence gemma"):
        run()
    assert not (tmp_path / "s").exists()
    summary = run(accepted_licences="gemma")
    assert (summary.licence, summary.n_train) == ("gemma", 10)
    assert [note for note in summary.notes if "were left out" in note] == [
        "2 of 13 train examples were left out: a prompt of more than 256 tokens",
        "1 of 13 train examples were left out: an answer of more than 48 tokens",
    ]
    predictor = LmStudent().load(tmp_path / "s")
    answers = predictor.predict(records(3, 5).inputs)
    predictor.close()
    assert answers.failures is not None
    assert all(text.strip() or failure for text, failure in zip(answers.labels, answers.failures, strict=True))


def test_options_are_checked(base: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="vocabulary"):
        fit(base, tmp_path, vocabulary="prune")
    with pytest.raises(BadInput, match="no option 'speed'"):
        fit(base, tmp_path, speed=3)
    with pytest.raises(BadInput, match="epochs"):
        fit(base, tmp_path, epochs=-1)


def test_nothing_that_fits_is_said(base: str, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="max_output_tokens"):
        fit(base, tmp_path, max_output_tokens=1)


def test_it_stands_in_the_registry() -> None:
    assert STUDENTS["lm"].name == "lm"
    assert STUDENTS["lm"].kinds == {OutputKind.LABEL, OutputKind.FIELDS, OutputKind.TEXT}
