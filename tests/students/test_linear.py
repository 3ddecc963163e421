"""The student `linear`: n-grams against scikit-learn, its gradient against differences, and what it does with odd data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from metier.errors import BadArtefact, BadInput, NotEnoughData
from metier.progress import silent
from metier.students import STUDENTS, LabelledTexts
from metier.students.linear.machines import fit_machines
from metier.students.linear.ngrams import char_grams, fit_ngrams, normalise

LINEAR = STUDENTS["linear"]


def fit(train: LabelledTexts, tune: LabelledTexts, folder: Path, seed: int = 0, **options: int):
    return LINEAR.fit(train, tune, folder, seed=seed, progress=silent, options=options)


def test_char_grams_are_those_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    theirs = CountVectorizer(analyzer="char_wb", ngram_range=(2, 5)).build_analyzer()("hello you")
    ours = [gram for token in ("hello", "you") for gram in char_grams(token)]
    assert sorted(ours) == sorted(theirs)


def test_weights_are_those_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = ["the cat sat on the mat", "a dog sat", "the dog and the cat ran", "mat"]
    grams = fit_ngrams(texts, min_texts_char=1, max_grams=10_000)
    theirs = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+")
    expected = theirs.fit_transform(texts).toarray()
    words = {gram.removeprefix("\x01"): i for i, gram in enumerate(grams.grams[: grams.n_words])}
    columns = [words[name] for name in theirs.get_feature_names_out()]
    ours = grams.matrix(texts).toarray()[:, columns] * np.sqrt(2)  # two blocks of length one
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_rows_have_length_one_and_unknown_text_length_zero() -> None:
    grams = fit_ngrams(["alpha beta", "beta gamma"], 1, 1000)
    assert np.linalg.norm(grams.row("alpha gamma")[1]) == pytest.approx(1, abs=1e-6)
    assert len(grams.row("")[0]) == 0
    assert len(grams.row("☃")[0]) == 0


def test_normalise_bounds_and_cleans() -> None:
    assert normalise("Ａ\x00B\tC") == "a b c"
    assert len(normalise("x" * 10**6)) == 20_000


def test_a_machine_finds_the_widest_margin() -> None:
    # Squared hinge loss, liblinear's primal: w²/2 + b²/2 + c Σ max(0, 1 - y (wx + b))². For x = ±1 with its own class each,
    # b = 0 by symmetry and w minimises w²/2 + 2c (1 - w)², so w = 4c / (1 + 4c): 8/9 at c = 2.
    x = csr_array(np.array([[1.0], [-1.0]], dtype=np.float64))
    weights = fit_machines(x, np.array([1, 0]), 2, c=2.0, seed=0, progress=silent)
    np.testing.assert_allclose(weights.weights, [[-8 / 9, 8 / 9]], atol=1e-3)
    np.testing.assert_allclose(weights.logits(x), [[-8 / 9, 8 / 9], [8 / 9, -8 / 9]], atol=1e-3)


def test_it_learns_and_reads_back_what_it_wrote(tmp_path: Path, train_texts, tune_texts) -> None:
    summary = fit(train_texts, tune_texts, tmp_path)
    predictor = LINEAR.load(tmp_path)
    answers = predictor.predict(tune_texts.inputs)
    right = answers.labels == np.array(tune_texts.labels, dtype=object)
    assert right.mean() == summary.tune_accuracy >= 0.95
    assert predictor.classes_ == summary.classes == ("food", "money", "travel", "weather")
    assert answers.probabilities.dtype == np.float32
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)
    assert answers.scores.dtype == answers.ood_scores.dtype == np.float64
    assert ((answers.scores >= 0) & (answers.scores <= 1)).all()
    one_by_one = np.array([predictor.predict([text]).scores[0] for text in tune_texts.inputs])
    np.testing.assert_allclose(one_by_one, answers.scores, rtol=1e-4)


def test_foreign_text_is_scored_lower(tmp_path: Path, train_texts, tune_texts) -> None:
    fit(train_texts, tune_texts, tmp_path)
    predictor = LINEAR.load(tmp_path)
    known = predictor.predict(tune_texts.inputs)
    foreign = predictor.predict(["quantum chromodynamics lattice", "zzz", "", "whisper mountains echo"])
    assert foreign.scores.max() < np.median(known.scores)
    assert foreign.ood_scores.min() > np.median(known.ood_scores)


def test_same_seed_same_bytes_and_a_second_call_does_nothing(tmp_path: Path, train_texts, tune_texts) -> None:
    first = fit(train_texts, tune_texts, tmp_path / "a")
    fit(train_texts, tune_texts, tmp_path / "b")
    files = [json.loads((tmp_path / name / "meta.json").read_text())["files"] for name in "ab"]
    assert files[0]["ngrams.json"] == files[1]["ngrams.json"]
    with np.load(tmp_path / "a/weights.npz") as a, np.load(tmp_path / "b/weights.npz") as b:
        assert all((a[name] == b[name]).all() for name in a.files)
    before = (tmp_path / "a/meta.json").stat().st_mtime_ns
    assert fit(train_texts, tune_texts, tmp_path / "a") == first
    assert (tmp_path / "a/meta.json").stat().st_mtime_ns == before


def test_a_training_that_was_stopped_starts_over_to_the_same_weights(tmp_path: Path, train_texts, tune_texts) -> None:
    fit(train_texts, tune_texts, tmp_path / "whole")

    def stop(description: str, done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LINEAR.fit(train_texts, tune_texts, tmp_path / "cut", seed=0, progress=stop, options={})
    with pytest.raises(BadArtefact, match=r"meta\.json is missing"):
        LINEAR.load(tmp_path / "cut")
    fit(train_texts, tune_texts, tmp_path / "cut")
    with np.load(tmp_path / "whole/weights.npz") as a, np.load(tmp_path / "cut/weights.npz") as b:
        assert all((a[name] == b[name]).all() for name in a.files)


@pytest.mark.parametrize("name", ["weights.npz", "ngrams.json"])
def test_an_altered_or_missing_file_is_named(tmp_path: Path, train_texts, tune_texts, name: str) -> None:
    fit(train_texts, tune_texts, tmp_path)
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadArtefact, match=f"{name} was altered"):
        LINEAR.load(tmp_path)
    path.unlink()
    with pytest.raises(BadArtefact, match=f"{name} is missing"):
        LINEAR.load(tmp_path)


def test_two_classes_one_example_each(tmp_path: Path) -> None:
    train = LabelledTexts(("yes please", "no thanks"), ("yes", "no"))
    summary = fit(train, train, tmp_path)
    assert summary.tune_accuracy == 1.0
    assert LINEAR.load(tmp_path).predict(["yes", "no"]).labels.tolist() == ["yes", "no"]


def test_identical_inputs_answer_the_most_common_label(tmp_path: Path) -> None:
    train = LabelledTexts(("same",) * 30, ("a",) * 20 + ("b",) * 10)
    fit(train, train, tmp_path)
    answers = LINEAR.load(tmp_path).predict(["same"])
    assert answers.labels.tolist() == ["a"]
    assert answers.probabilities[0] == pytest.approx([2 / 3, 1 / 3], abs=0.1)


def test_odd_texts_get_an_answer(tmp_path: Path, train_texts, tune_texts) -> None:
    odd = ["", " ", "a\x00b", "half a pair \ud800", "😀", "x" * 1_000_000, "rain\n" * 500]
    train = LabelledTexts((*train_texts.inputs, *odd), (*train_texts.labels, *("odd",) * len(odd)))
    fit(train, tune_texts, tmp_path)
    answers = LINEAR.load(tmp_path).predict(odd)
    assert np.isfinite(answers.scores).all()
    assert np.isfinite(answers.ood_scores).all()


def test_a_thousand_classes(tmp_path: Path) -> None:
    train = LabelledTexts(tuple(f"topic word{i} item" for i in range(1000)), tuple(f"c{i:04d}" for i in range(1000)))
    fit(train, train.take(range(0, 1000, 10)), tmp_path)
    answers = LINEAR.load(tmp_path).predict(train.inputs)
    assert (answers.labels == np.array(train.labels, dtype=object)).mean() > 0.95


def test_a_tune_label_never_trained_counts_as_wrong(tmp_path: Path, train_texts) -> None:
    tune = LabelledTexts(("rain forecast", "unheard of"), ("weather", "other"))
    assert fit(train_texts, tune, tmp_path).tune_accuracy <= 0.5


def test_without_tune_split_nothing_is_claimed(tmp_path: Path, train_texts) -> None:
    summary = fit(train_texts, LabelledTexts((), ()), tmp_path)
    assert np.isnan(summary.tune_accuracy)
    assert np.isnan(fit(train_texts, LabelledTexts((), ()), tmp_path).tune_accuracy)
    answers = LINEAR.load(tmp_path).predict([])
    assert answers.labels.shape == (0,)
    assert answers.probabilities.shape == (0, 4)


def test_bad_calls_say_what_is_wrong(tmp_path: Path, train_texts, tune_texts) -> None:
    with pytest.raises(NotEnoughData, match="only 'a'"):
        fit(LabelledTexts(("x", "y"), ("a", "a")), tune_texts, tmp_path)
    with pytest.raises(BadInput, match="no option 'depth'"):
        fit(train_texts, tune_texts, tmp_path, depth=3)
    with pytest.raises(BadInput, match="2 inputs but 1 labels"):
        LabelledTexts(("x", "y"), ("a",))
