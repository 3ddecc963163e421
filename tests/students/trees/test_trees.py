"""The student `trees`: against scikit-learn, among the choices of each input, and what it does with odd data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.students.trees.meters import CLASSES, Meters, make_readings

from metier.errors import BadArtefact, BadInput, ExportFailed, NotEnoughData
from metier.progress import silent
from metier.students import STUDENTS, FitSummary, LabelledTexts, TaskSpec
from metier.students.learning import measure_learning_curve
from metier.students.trees.boosting import Growing, grow
from metier.students.trees.export import below, check_parity, open_trees, write_trees
from metier.students.trees.foreignness import fit_foreignness, read_foreignness
from metier.students.viewing import UNREADABLE_OOD
from metier.views import VIEWS, view_hash

TREES = STUDENTS["trees"]
TASK = TaskSpec(view="meters")
HOW = Growing(iterations=40, rate=0.2, leaves=8, min_leaf=5, l2=1.0, feature_share=1.0, patience=10)
RENAMED = {"surge": "1", "calm": "2", "leak": "3"}


def fit(train: LabelledTexts, tune: LabelledTexts, folder: Path, seed: int = 0, **options: int) -> FitSummary:
    return TREES.fit(train, tune, folder, seed=seed, progress=silent, options=options, task=TASK)


def noisy(n: int, seed: int, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Rows with ties and absent values, float32 and not; classes that depend on both."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)).round(1).astype(np.float32)
    x[:, 5] = rng.integers(0, 2, n)
    y = (np.nan_to_num(x[:, 0]) + 0.5 * x[:, 5] > 0.2).astype(np.int64) + (x[:, 1] > 0.7) * (n_classes > 2)
    x[rng.random((n, 6)) < 0.15] = np.nan
    y[:n_classes] = np.arange(n_classes)
    return x, y


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_exported_trees_are_those_of_scikit_learn(tmp_path: Path, n_classes: int) -> None:
    (x, y), (x_tune, y_tune) = noisy(600, 0, n_classes), noisy(200, 1, n_classes)
    grown = grow(x, y, x_tune, y_tune, n_classes, HOW, seed=3)
    write_trees(grown.forest, tmp_path / "trees.onnx")
    session = open_trees(tmp_path / "trees.onnx")
    assert check_parity(session, x, grown.logits) < 1e-4
    assert (session.n_features, session.n_classes) == (6, n_classes)
    # Rows that lie on the thresholds themselves, where a step to the wrong side would show.
    edges = x[:50].copy()
    thresholds = [node for _, nodes in grown.forest.trees for node in nodes if not node.is_leaf]
    for row, node in zip(edges, thresholds, strict=False):
        row[node.feature] = below(node.threshold)
    wanted = np.array([reference(grown.forest, row) for row in edges])
    np.testing.assert_allclose([session.logits(row) for row in edges], wanted, atol=1e-4)
    with pytest.raises(ExportFailed, match=r"other logits than scikit-learn's, by up to 1"):
        check_parity(session, x, grown.logits + 1)


def reference(forest, row: np.ndarray) -> list[float]:
    """The logits by walking down every tree in Python, in 64 bits."""
    logits = list(forest.base)
    for place, nodes in forest.trees:
        node = nodes[0]
        while not node.is_leaf:
            value = float(row[node.feature])
            goes_left = node.absent_left if np.isnan(value) else value <= node.threshold
            node = nodes[node.left if goes_left else node.right]
        logits[place] += node.value
    return logits


def test_a_threshold_is_rounded_down() -> None:
    assert below(0.5) == 0.5
    assert below(0.1) < 0.1 < float(np.nextafter(np.float32(below(0.1)), np.float32(1)))
    assert below(float("inf")) == float("inf")


def test_growing_ends_at_the_best_round_of_the_tune_split() -> None:
    x, y = noisy(600, 0)
    rng = np.random.default_rng(5)
    grown = grow(
        x, y, x[:200], rng.permutation(y[:200]), 3, HOW, seed=0
    )  # a tune split from which nothing is to be learnt
    assert grown.n_rounds < 5
    assert len(grown.forest.trees) == 3 * grown.n_rounds
    assert grow(x, y, x[:0], y[:0], 3, HOW, seed=0).n_rounds == HOW.iterations


def test_what_was_never_seen_is_further_away() -> None:
    x, y = noisy(800, 0)
    found = fit_foreignness(x, y, 3)
    ordinary = np.array([found.distances(row).min() for row in noisy(300, 1)[0]])
    assert np.median(ordinary) == pytest.approx(1, abs=0.35)
    far = x[:300].copy()
    far[:, :5] += 30
    gone = np.full_like(x[:1], np.nan)
    assert min(found.distances(row).min() for row in far) > np.quantile(ordinary, 0.99)
    assert found.distances(gone[0]).min() > np.quantile(ordinary, 0.95)
    again = read_foreignness(found.arrays())
    np.testing.assert_array_equal(again.distances(x[0]), found.distances(x[0]))


def test_numbers_that_never_vary_do_no_harm() -> None:
    x = np.column_stack([np.arange(40.0), np.full(40, 7.0), np.full(40, np.nan)]).astype(np.float32)
    found = fit_foreignness(x, (np.arange(40) > 19).astype(np.int64), 2)
    usual, other = found.distances(x[3]), found.distances(np.array([3, 8, 1], dtype=np.float32))
    assert np.isfinite(usual).all()
    assert usual.min() < other.min() < 10


def test_it_learns_and_reads_back_what_it_wrote(trained: tuple[Path, FitSummary]) -> None:
    folder, summary = trained
    predictor, tune = TREES.load(folder), make_readings(150, 1)
    answers = predictor.predict(tune.inputs)
    right = answers.labels == np.array(tune.labels, dtype=object)
    assert right.mean() == summary.tune_accuracy >= 0.95
    assert predictor.classes_ == summary.classes == CLASSES
    assert answers.failures == (None,) * 150
    assert answers.probabilities.dtype == np.float32
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
    assert ((answers.scores >= 0) & (answers.scores <= 1)).all()
    assert answers.scores[right].mean() > answers.scores[~right].mean() if (~right).any() else True
    for place in range(20):
        alone = predictor.predict([tune.inputs[place]])
        assert (alone.scores[0], alone.ood_scores[0]) == (answers.scores[place], answers.ood_scores[place])
    assert len(predictor.predict([]).labels) == 0


def test_it_says_what_it_read_and_from_which_numbers(trained: tuple[Path, FitSummary], meters: Meters) -> None:
    _, summary = trained
    assert summary.view is not None
    assert (summary.view.name, summary.view.version, summary.view.sha256) == ("meters", 1, view_hash(meters))
    assert [one.unit for one in summary.view.features] == ["kW", "l/s", "K"]
    assert any("load" in note and "flow" in note for note in summary.notes)


def test_training_again_gives_the_same_files_and_nothing_is_done_twice(
    trained: tuple[Path, FitSummary], tmp_path: Path
) -> None:
    folder, summary = trained
    train, tune = make_readings(400, 0), make_readings(150, 1)
    fit(train, tune, tmp_path / "again")
    for name in ("trees.onnx", "foreignness.npz"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    stamp = (folder / "meta.json").stat().st_mtime_ns
    assert fit(train, tune, folder) == summary
    assert (folder / "meta.json").stat().st_mtime_ns == stamp


def test_an_input_that_cannot_be_read_is_no_answer(trained: tuple[Path, FitSummary]) -> None:
    broken = ["hello", "meter reading\nload: x\nflow: -\nheat: 1", "", make_readings(1, 5).inputs[0]]
    answers = TREES.load(trained[0]).predict(broken)
    assert answers.failures == ("unreadable", "unreadable", "unreadable", None)
    assert answers.scores[:3].tolist() == [0, 0, 0]
    assert np.isnan(answers.gate_scores).tolist() == [True, True, True, False]
    assert answers.ood_scores[:3].tolist() == [UNREADABLE_OOD] * 3
    assert np.isfinite(answers.ood_scores).all()
    assert answers.labels[0] == ""


def test_answers_are_among_the_choices_of_each_input(trained: tuple[Path, FitSummary]) -> None:
    predictor = TREES.load(trained[0])
    plain, renamed = make_readings(60, 7), make_readings(60, 7, RENAMED)
    ours, theirs = predictor.predict(plain.inputs), predictor.predict(renamed.inputs)
    assert [RENAMED[label] for label in ours.labels] == theirs.labels.tolist()
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    few = [text.rsplit("\n", 1)[0] + "\nchoices: x = calm, y = leak" for text in renamed.inputs]
    answers = predictor.predict(few)
    assert set(answers.labels) == {"x", "y"}
    assert (answers.probabilities[:, CLASSES.index("surge")] == 0).all()
    none_known = predictor.predict([text.rsplit("\n", 1)[0] + "\nchoices: x = other" for text in renamed.inputs[:2]])
    assert none_known.failures == ("unreadable", "unreadable")


def test_it_learns_classes_from_labels_that_each_input_names_anew(tmp_path: Path) -> None:
    other = {"surge": "B", "calm": "A", "leak": "C"}
    parts = [make_readings(150, 0, RENAMED), make_readings(150, 1, other)]
    train = LabelledTexts(parts[0].inputs + parts[1].inputs, parts[0].labels + parts[1].labels)
    summary = fit(train, make_readings(80, 2, other), tmp_path)
    assert (summary.classes, summary.n_train) == (CLASSES, 300)
    assert summary.tune_accuracy >= 0.95


def test_what_cannot_be_learnt_from_is_left_out_and_counted(tmp_path: Path) -> None:
    good = make_readings(200, 0, RENAMED)
    train = LabelledTexts(
        (*good.inputs, "hello", "bye", *good.inputs[:3]), (*good.labels, "calm", "calm", "9", "9", "9")
    )
    summary = fit(train, make_readings(50, 1, RENAMED), tmp_path)
    assert summary.n_train == 200
    assert any(note.startswith("2 of 205 train examples were left out: the view 'meters'") for note in summary.notes)
    assert any(note.startswith("3 of 205 train examples were left out: their label") for note in summary.notes)
    with pytest.raises(NotEnoughData, match=r"gives none of 2 train examples"):
        fit(LabelledTexts(("hello", "bye"), ("calm", "leak")), good, tmp_path / "none")


def test_a_tune_split_without_anything_readable_is_no_tune_split(tmp_path: Path) -> None:
    summary = fit(make_readings(100, 0), LabelledTexts(("hello",), ("calm",)), tmp_path, iterations=5)
    assert np.isnan(summary.tune_accuracy)
    assert (summary.n_tune, summary.epochs) == (0, 5)
    assert TREES.load(tmp_path).predict(make_readings(3, 1).inputs).failures == (None,) * 3


def test_two_classes_are_enough(tmp_path: Path) -> None:
    def two(n: int, seed: int) -> LabelledTexts:
        made = make_readings(n, seed)
        return made.take([place for place, label in enumerate(made.labels) if label != "calm"])

    summary = fit(two(200, 0), two(90, 1), tmp_path)
    assert (summary.classes, summary.tune_accuracy) == (("leak", "surge"), 1.0)
    answers = TREES.load(tmp_path).predict(two(30, 2).inputs)
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
    with pytest.raises(NotEnoughData, match="2 classes"):
        fit(LabelledTexts(two(50, 0).inputs[:1], ("leak",)), two(50, 1), tmp_path / "one")


def test_a_view_that_has_changed_is_refused(trained: tuple[Path, FitSummary], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = trained
    monkeypatch.setitem(VIEWS, "meters", replace(Meters(), version=2))
    with pytest.raises(BadArtefact, match=r"version 1 of the view 'meters'.*here is version 2.*Train again"):
        TREES.load(folder)
    monkeypatch.delitem(VIEWS, "meters")
    with pytest.raises(BadArtefact, match=r"'meters', which this version of metier does not have"):
        TREES.load(folder)


def test_a_changed_view_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, tune = make_readings(80, 0), make_readings(40, 1)
    first = fit(train, tune, tmp_path, iterations=3)
    monkeypatch.setitem(VIEWS, "meters", replace(Meters(), version=2))
    second = fit(train, tune, tmp_path, iterations=3)
    assert first.view is not None
    assert second.view is not None
    assert (first.view.version, second.view.version) == (1, 2)
    assert TREES.load(tmp_path).predict(tune.inputs).failures == (None,) * 40


def test_files_that_were_altered_are_refused(trained: tuple[Path, FitSummary], tmp_path: Path) -> None:
    folder, _ = trained
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps({**content, "view": None}))
    with pytest.raises(BadArtefact, match="does not say which view"):
        TREES.load(tmp_path)
    (tmp_path / "meta.json").write_text(json.dumps(content))
    (tmp_path / "trees.onnx").write_bytes(b"nothing")
    with pytest.raises(BadArtefact, match=r"trees\.onnx was altered"):
        TREES.load(tmp_path)


def test_it_needs_a_view_and_options_that_it_knows(tmp_path: Path) -> None:
    texts = make_readings(20, 0)
    with pytest.raises(BadInput, match="this task has none"):
        TREES.fit(texts, texts, tmp_path, seed=0, progress=silent, options={})
    with pytest.raises(BadInput, match=r"no view is called 'teapot'; there are: .*meters"):
        TREES.fit(texts, texts, tmp_path, seed=0, progress=silent, options={}, task=TaskSpec(view="teapot"))
    with pytest.raises(BadInput, match="has no option 'depth'"):
        fit(texts, texts, tmp_path, depth=3)
    assert not list(tmp_path.iterdir())


def test_a_learning_curve_is_measured_and_kept(trained: tuple[Path, FitSummary], tmp_path: Path) -> None:
    told: list[str] = []
    train, tune = make_readings(400, 0), make_readings(150, 1)

    def points():
        return measure_learning_curve(
            TREES,
            train,
            tune,
            trained[1],
            tmp_path,
            seed=0,
            progress=lambda description, *_: told.append(description),
            options={},
            task=TASK,
        )

    first = points()
    assert [point.n_train for point in first] == [25, 50, 100, 200, 400]
    assert first[-1].error == 1 - trained[1].tune_accuracy
    told.clear()
    assert points() == first
    assert not told
