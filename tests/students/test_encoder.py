"""The student `encoder` on a tiny base model: training, kill and resume, export, and the exported form without torch."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from metier.errors import BadArtefact, BadInput, MissingExtra, NotEnoughData, TrainingFailed
from metier.progress import silent
from metier.students import STUDENTS, FitSummary, LabelledTexts

pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("onnx", reason="needs the [train] extra")

ENCODER = STUDENTS["encoder"]
# A checkpoint at every step, so that a kill has something to resume from; one thread, as the arrays are tiny.
QUICK = {"epochs": 4, "rate": 1e-3, "head_rate": 1e-2, "patience": 0, "threads": 1, "checkpoint_every_s": -1.0}


@pytest.fixture(scope="module")
def fitted(
    tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, train_texts: LabelledTexts, tune_texts: LabelledTexts
) -> tuple[Path, FitSummary]:
    folder = tmp_path_factory.mktemp("encoder")
    options = {**QUICK, "base_model": str(tiny_base)}
    summary = ENCODER.fit(train_texts, tune_texts, folder, seed=0, progress=silent, options=options)
    return folder, summary


@pytest.fixture
def copy(fitted: tuple[Path, FitSummary], tmp_path: Path) -> Path:
    return shutil.copytree(fitted[0], tmp_path / "copy")


def test_it_learns_and_the_exported_form_gives_the_tune_accuracy_claimed(
    fitted: tuple[Path, FitSummary], tune_texts: LabelledTexts
) -> None:
    folder, summary = fitted
    answers = ENCODER.load(folder).predict(tune_texts.inputs)
    right = answers.labels == np.array(tune_texts.labels, dtype=object)
    assert right.mean() == summary.tune_accuracy >= 0.8
    assert answers.probabilities.shape == (60, 4)
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
    assert ((answers.scores >= 0) & (answers.scores <= 1)).all()
    assert answers.scores.dtype == answers.ood_scores.dtype == np.float64
    assert summary.precision in ("int8", "float32")
    assert "lost" in summary.precision_reason
    assert [point.epoch for point in summary.curve] == [1, 2, 3, 4]
    assert sorted(path.name for path in folder.iterdir()) == ["head.npz", "meta.json", "model.onnx", "tokenizer.json"]
    assert summary.size_bytes == sum(path.stat().st_size for path in folder.iterdir() if path.name != "meta.json")


def test_one_by_one_agrees_with_the_batch(fitted: tuple[Path, FitSummary], tune_texts: LabelledTexts) -> None:
    predictor = ENCODER.load(fitted[0])
    texts = [*tune_texts.inputs[:10], "", "rain " * 100]
    batch = predictor.predict(texts)
    single = [predictor.predict([text]) for text in texts]
    np.testing.assert_allclose([s.scores[0] for s in single], batch.scores, rtol=1e-4)
    on_all_cores = ENCODER.load(fitted[0], threads=0).predict(texts)
    np.testing.assert_allclose(on_all_cores.scores, batch.scores, rtol=1e-4)
    assert predictor.predict([]).probabilities.shape == (0, 4)


def test_odd_texts_get_an_answer(fitted: tuple[Path, FitSummary]) -> None:
    odd = ["", " ", "a\x00b", "half a pair \ud800", "😀", "x" * 1_000_000, "rain\n" * 500]
    answers = ENCODER.load(fitted[0]).predict(odd)
    assert np.isfinite(answers.scores).all()
    assert np.isfinite(answers.ood_scores).all()


def test_identical_inputs_and_a_class_with_one_example(
    tmp_path: Path, tiny_base: Path, train_texts: LabelledTexts
) -> None:
    same = LabelledTexts(("rain snow",) * 20, ("a",) * 12 + ("b",) * 7 + ("c",))
    options = {**QUICK, "epochs": 2, "base_model": str(tiny_base)}
    accuracy = ENCODER.tune_accuracy(same, same, tmp_path / "s", seed=0, progress=silent, options=options)
    assert accuracy in (12 / 20, 7 / 20, 1 / 20)


def test_a_second_call_gives_the_stored_summary(
    fitted: tuple[Path, FitSummary], tiny_base: Path, train_texts: LabelledTexts, tune_texts: LabelledTexts
) -> None:
    folder, summary = fitted
    before = (folder / "meta.json").stat().st_mtime_ns
    options = {**QUICK, "base_model": str(tiny_base)}
    assert ENCODER.fit(train_texts, tune_texts, folder, seed=0, progress=silent, options=options) == summary
    assert (folder / "meta.json").stat().st_mtime_ns == before


def test_the_exported_form_needs_no_torch_and_reads_no_pickle(fitted: tuple[Path, FitSummary]) -> None:
    script = f"""
        import sys
        from pathlib import Path
        import pickle
        def refuse(*_, **__):
            raise AssertionError("pickle was read")
        pickle.load = pickle.loads = refuse
        from metier.students import STUDENTS
        answers = STUDENTS["encoder"].load(Path({str(fitted[0])!r})).predict(["rain and snow", "bank account"])
        print(answers.labels.tolist(), {{"torch", "transformers", "onnx", "sklearn", "joblib"}} & set(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['weather', 'money'] set()", done.stderr


@pytest.mark.parametrize("name", ["model.onnx", "head.npz", "tokenizer.json"])
def test_an_altered_or_missing_file_is_named(copy: Path, name: str) -> None:
    path = copy / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadArtefact, match=f"{name} was altered"):
        ENCODER.load(copy)
    path.unlink()
    with pytest.raises(BadArtefact, match=f"{name} is missing"):
        ENCODER.load(copy)


def test_another_students_folder_is_refused(copy: Path) -> None:
    meta = json.loads((copy / "meta.json").read_text())
    (copy / "meta.json").write_text(json.dumps({**meta, "student": "linear"}))
    with pytest.raises(BadArtefact, match="belongs to a student 'linear'"):
        ENCODER.load(copy)


def test_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path,
    fitted: tuple[Path, FitSummary],
    tiny_base: Path,
    train_texts: LabelledTexts,
    tune_texts: LabelledTexts,
) -> None:
    """kill -9 in the middle of an epoch, then the same call again."""
    (tmp_path / "texts.json").write_text(json.dumps([vars(train_texts), vars(tune_texts)]))
    options = {**QUICK, "base_model": str(tiny_base)}
    script = f"""
        import json, os, signal
        from pathlib import Path
        from metier.students import STUDENTS, LabelledTexts
        train, tune = (
            LabelledTexts(tuple(t["inputs"]), tuple(t["labels"])) for t in json.loads(Path("texts.json").read_text())
        )
        def die(description, done, total):
            if done == 17 and description.startswith("Training"):
                os.kill(os.getpid(), signal.SIGKILL)
        STUDENTS["encoder"].fit(train, tune, Path("cut"), seed=0, progress=die, options={options!r})
    """
    code = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, timeout=120).returncode
    assert code == -signal.SIGKILL
    with pytest.raises(BadArtefact, match=r"meta\.json is missing"):
        ENCODER.load(tmp_path / "cut")
    steps: list[int] = []

    def note(description: str, done: int, total: int | None) -> None:
        if description.startswith("Training"):
            steps.append(done)

    again = ENCODER.fit(train_texts, tune_texts, tmp_path / "cut", seed=0, progress=note, options=options)
    assert steps[0] == 17
    with np.load(fitted[0] / "head.npz") as whole, np.load(tmp_path / "cut/head.npz") as cut:
        np.testing.assert_array_equal(whole["prototypes"], cut["prototypes"])
    losses = [[(p.train_loss, p.tune_loss, p.tune_accuracy) for p in s.curve] for s in (fitted[1], again)]
    assert losses[0] == losses[1]
    assert again.tune_accuracy == fitted[1].tune_accuracy


def test_tune_accuracy_leaves_nothing_behind(
    tmp_path: Path,
    fitted: tuple[Path, FitSummary],
    tiny_base: Path,
    train_texts: LabelledTexts,
    tune_texts: LabelledTexts,
) -> None:
    options = {**QUICK, "base_model": str(tiny_base)}
    accuracy = ENCODER.tune_accuracy(train_texts, tune_texts, tmp_path / "s", seed=0, progress=silent, options=options)
    assert accuracy == pytest.approx(fitted[1].tune_accuracy, abs=0.02)
    assert not (tmp_path / "s").exists()


def test_a_loss_that_is_not_a_number_is_explained(
    tmp_path: Path, tiny_base: Path, train_texts: LabelledTexts, tune_texts: LabelledTexts
) -> None:
    options = {**QUICK, "base_model": str(tiny_base), "rate": 1e30, "head_rate": 1e30, "warm_up": 0.0}
    with pytest.raises(TrainingFailed, match=r"The loss is nan at step .* lower rate than 1e\+30"):
        ENCODER.tune_accuracy(train_texts, tune_texts, tmp_path / "s", seed=0, progress=silent, options=options)


def test_early_stop_keeps_the_best_epoch(tmp_path: Path, tiny_base: Path, train_texts: LabelledTexts) -> None:
    # A tune split of labels never trained cannot improve, so nothing does after the first epoch.
    tune = LabelledTexts(("rain",) * 4, ("elsewhere",) * 4)
    seen: list[int] = []
    options = {**QUICK, "epochs": 50, "patience": 2, "base_model": str(tiny_base)}
    ENCODER.tune_accuracy(
        train_texts, tune, tmp_path / "s", seed=0, progress=lambda _, done, __: seen.append(done), options=options
    )
    steps_an_epoch = 10
    assert max(seen[:-1]) == 3 * steps_an_epoch - 1


def test_without_torch_the_message_gives_the_command(
    tmp_path: Path, train_texts: LabelledTexts, tune_texts: LabelledTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        "metier.students.encoder.student.find_spec", lambda name: None if name == "torch" else real(name)
    )
    with pytest.raises(MissingExtra, match=r"pip install 'metier\[train\]'"):
        ENCODER.fit(train_texts, tune_texts, tmp_path, seed=0, progress=silent, options={})


def test_bad_calls_say_what_is_wrong(
    tmp_path: Path, tiny_base: Path, train_texts: LabelledTexts, tune_texts: LabelledTexts
) -> None:
    def fit(train: LabelledTexts = train_texts, **options: str | float) -> None:
        ENCODER.fit(train, tune_texts, tmp_path / "f", seed=0, progress=silent, options=options)

    with pytest.raises(BadInput, match="precision is 'int4'"):
        fit(precision="int4")
    with pytest.raises(BadInput, match="rate is -1"):
        fit(rate=-1)
    with pytest.raises(BadInput, match="give 'minilm', 'hf:org/name', 'hf:org/name@revision', or a folder"):
        fit(base_model="no/such/folder")
    with pytest.raises(NotEnoughData, match="only 'a'"):
        fit(LabelledTexts(("x",), ("a",)), base_model=str(tiny_base))
    bare = shutil.copytree(tiny_base, tmp_path / "bare")
    (bare / "model.safetensors").rename(bare / "pytorch_model.bin")
    with pytest.raises(BadInput, match="other weight forms can run code"):
        fit(base_model=str(bare))


def test_importing_the_students_loads_nothing_heavy() -> None:
    script = (
        "import sys, metier.students; print({'torch', 'transformers', 'onnxruntime', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
