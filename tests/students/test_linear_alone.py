"""One text alone is answered as it is among many, as the formulas for arrays say, and as counting by hand gives."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from metier.students import STUDENTS, LabelledTexts
from metier.students.confidence import ScoreModel
from metier.students.linear.ngrams import NGrams, char_grams, fit_ngrams, normalise, word_grams
from metier.students.linear.predictor import LinearPredictor, foreignness

WORDS = (
    "rain",
    "Bank",
    "account",
    "pizza",
    "flight",
    "the",
    "my",
    "zzz",
    "a",
    "é",
    "ﷺ",
    "İ",
    "\x00",
    "😀",
    "don't",
    "",
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=400).map(" ".join))
ODD = ("", " ", "\n", "a", "zz", "☃", "qqqq xxxx", "half a pair \ud800", "rain " * 5000, "x" * 30_000, "ﷺ" * 2000)
HELD = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory, train_texts: LabelledTexts, tune_texts: LabelledTexts):
    folder: Path = tmp_path_factory.mktemp("linear")
    STUDENTS["linear"].fit(train_texts, tune_texts, folder, seed=0, progress=lambda *_: None, options={})
    return STUDENTS["linear"].load(folder)


def check(predictor: LinearPredictor, texts: list[str]) -> None:
    among = predictor.predict(texts)
    alone = [predictor.predict([text]) for text in texts]
    assert [one.labels[0] for one in alone] == among.labels.tolist()
    assert [one.scores[0] for one in alone] == among.scores.tolist()
    assert [one.ood_scores[0] for one in alone] == among.ood_scores.tolist()
    assert [one.probabilities[0].tolist() for one in alone] == among.probabilities.tolist()
    logits = predictor.scorer.logits(texts)
    probabilities = predictor.model.probabilities(logits)
    foreign = foreignness(probabilities, logits)
    assert among.labels.tolist() == [predictor.classes_[place] for place in logits.argmax(axis=1)]
    np.testing.assert_allclose(among.probabilities, probabilities, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(among.ood_scores, foreign, rtol=0, atol=1e-9)
    scores = predictor.model.scores(probabilities.max(axis=1), foreign)
    np.testing.assert_allclose(among.scores, scores, rtol=0, atol=1e-9)
    through_sparse = predictor.scorer.grams.matrix(texts) @ predictor.scorer.weights + predictor.scorer.bias
    np.testing.assert_allclose(logits, through_sparse, rtol=1e-6, atol=1e-6)


@HELD
@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_a_text_alone_is_answered_as_among_others(predictor: LinearPredictor, texts: list[str]) -> None:
    check(predictor, texts)


def test_odd_texts_alone_are_answered_as_among_others(predictor: LinearPredictor) -> None:
    check(predictor, list(ODD))


def reference_row(grams: NGrams, text: str) -> dict[int, float]:
    """Counted by hand: (1 + ln tf) idf, each block of length one, both halved where there are two."""
    place = {gram: i for i, gram in enumerate(grams.grams)}
    text = normalise(text)
    blocks = []
    for found in (word_grams(text), [gram for token in text.split() for gram in char_grams(token)]):
        counts = {gram: found.count(gram) for gram in set(found) if gram in place}
        weights = {place[gram]: (1 + math.log(n)) * float(grams.idf[place[gram]]) for gram, n in counts.items()}
        length = math.sqrt(sum(weight**2 for weight in weights.values()))
        blocks.append({i: weight / length for i, weight in weights.items()})
    n_blocks = max(sum(1 for block in blocks if block), 1)
    return {i: weight / math.sqrt(n_blocks) for block in blocks for i, weight in block.items()}


@HELD
@given(text=TEXTS)
def test_a_row_is_what_counting_by_hand_gives(text: str) -> None:
    grams = fit_ngrams(["my bank account", "the rain, the zzz", "pizza a é 😀 don't", "flight the rain"], 1, 1000)
    places, weights = grams.row(text)
    assert weights.dtype == np.float32
    assert (np.diff(places) > 0).all()
    expected = reference_row(grams, text)
    assert places.tolist() == sorted(expected)
    np.testing.assert_allclose(weights, [expected[i] for i in places], rtol=1e-5)


def test_rows_stacked_are_the_matrix() -> None:
    grams = fit_ngrams(["my bank account", "the rain"], 1, 1000)
    x = grams.matrix(["bank rain", "", "rain rain rain"])
    assert isinstance(x, csr_array)
    for i, text in enumerate(["bank rain", "", "rain rain rain"]):
        places, weights = grams.row(text)
        assert x[[i]].indices.tolist() == places.tolist()
        assert x[[i]].data.tolist() == weights.tolist()


@given(
    confidence=st.floats(0, 1),
    ood_score=st.floats(-1e3, 1e3),
    bias=st.floats(-50, 50),
    slopes=st.tuples(st.floats(0, 20), st.floats(0, 20)),
)
def test_a_score_alone_is_that_of_the_arrays(confidence, ood_score, bias, slopes) -> None:
    model = ScoreModel(1.0, bias, *slopes, centre=-3.0, spread=0.7)
    among = model.scores(np.array([confidence]), np.array([ood_score]))[0]
    assert model.score(confidence, ood_score) == pytest.approx(among, rel=1e-9, abs=1e-12)
