"""Scores of written answers: which tokens count, that the score is monotone, and how it behaves with few mistakes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from metier.artefacts.tasks import OutputKind
from metier.students.lm.parts import Generated
from metier.students.lm.scores import (
    FEATURES,
    AnswerScore,
    answer_features,
    choose_answer_score,
    fit_answer_score,
    out_of_fold,
    value_spans,
)

TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def generated(pieces: list[str], probabilities: list[float]) -> Generated:
    logs = np.log(np.array(probabilities))
    return Generated("".join(pieces), tuple(pieces), logs, "stop", 10, len(pieces), 0.1)


def features(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of which the first tells right from wrong and the rest say nothing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(FEATURES)))
    return x, rng.random(n) < 1 / (1 + np.exp(-2 * x[:, 0] - 1))


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_the_spans_are_those_of_the_values(record: dict[str, object]) -> None:
    for text in (json.dumps(record), json.dumps(record, indent=2, ensure_ascii=False)):
        assert [json.loads(text[start:end]) for start, end in value_spans(text)] == list(record.values())


def test_a_record_that_breaks_off_has_the_spans_that_can_be_read() -> None:
    assert value_spans('{"a": "x", "b": "brok') == [(6, 9)]
    assert value_spans("no record") == []


def test_the_least_sure_token_of_a_value_counts_and_the_json_around_it_does_not() -> None:
    pieces = ['{"', "total", '": ', '"9', ".", "00", '"}']
    sure = answer_features(OutputKind.FIELDS, generated(pieces, [0.9] * 7), 1.5)
    key_unsure = answer_features(OutputKind.FIELDS, generated(pieces, [0.9, 0.2, *[0.9] * 5]), 1.5)
    value_unsure = answer_features(OutputKind.FIELDS, generated(pieces, [*[0.9] * 5, 0.2, 0.9]), 1.5)
    assert sure[0] == pytest.approx(math.log(0.9 / 0.1))
    assert key_unsure[:2] == pytest.approx(sure[:2])
    assert key_unsure[2] < sure[2]  # the whole answer knows of it
    assert value_unsure[0] == pytest.approx(math.log(0.2 / 0.8))
    assert value_unsure[1] < sure[1]
    assert sure[3] == -1.5


def test_the_least_sure_value_is_looked_at_by_itself() -> None:
    pieces = ['{"a": ', '"one two three"', ', "b": ', '"x"', "}"]
    found = answer_features(OutputKind.FIELDS, generated(pieces, [1.0, 1.0, 1.0, 0.5, 1.0]), 0.0)
    assert found[1] == pytest.approx(0.0)  # a probability of 1/2 has log-odds 0


def test_of_a_text_every_token_counts() -> None:
    found = answer_features(OutputKind.TEXT, generated(["a", " b"], [0.5, 0.8]), 0.0)
    assert found[0] == pytest.approx(0.0)
    assert found[2] == pytest.approx(math.log(0.4 / 0.6))


def test_certain_answers_have_finite_features() -> None:
    found = answer_features(OutputKind.FIELDS, generated(['{"a": 1}'], [1.0]), 0.0)
    assert np.isfinite(found).all()
    assert np.isfinite(answer_features(OutputKind.TEXT, generated([], []), 0.0)).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_score_never_falls_where_a_feature_rises(seed: int) -> None:
    x, right = features(63, seed)
    model = fit_answer_score(x, right)
    assert min(model.weights) >= 0
    base = model.scores(x[:1])[0]
    for k in range(len(FEATURES)):
        higher = x[:1].copy()
        higher[0, k] += 1.0
        assert base <= model.scores(higher)[0] <= 1


def test_scores_are_probabilities_of_being_right() -> None:
    """On a large fresh draw from the law of the tune split the mean score is the share right, and the ranking is learnt."""
    model = fit_answer_score(*features(400, 0))
    x, right = features(20_000, 1)
    scores = model.scores(x)
    assert scores.mean() == pytest.approx(right.mean(), abs=0.05)
    high = scores > 0.8
    assert right[high].mean() == pytest.approx(scores[high].mean(), abs=0.05)
    assert roc_auc_score(right, scores) > roc_auc_score(right, x.sum(axis=1)) + 0.05


@pytest.mark.parametrize("right", [True, False])
def test_a_tune_split_without_a_contrast_gives_a_finite_monotone_score(right: bool) -> None:
    x, _ = features(30, 0)
    model = fit_answer_score(x, np.full(30, right))
    scores = model.scores(x)
    assert np.isfinite(scores).all()
    assert (scores.mean() > 0.5) == right
    assert sum(model.weights) > 0.1  # still a ranking


def test_no_tune_split_leaves_the_plain_mean() -> None:
    model = fit_answer_score(np.empty((0, len(FEATURES))), np.empty(0, dtype=bool))
    assert model.weights == pytest.approx([1 / len(FEATURES)] * len(FEATURES), abs=1e-3)


def test_agreement_is_used_only_where_it_ranks_mistakes_better() -> None:
    x, _ = features(200, 3)
    rng = np.random.default_rng(0)
    telling = rng.random(200) < 0.7
    right = np.where(rng.random(200) < 0.9, telling, ~telling)
    assert choose_answer_score(x, telling.astype(float), right).uses_agreement
    assert not choose_answer_score(x, rng.random(200), right).uses_agreement
    assert not choose_answer_score(x, None, right).uses_agreement
    nearly_all = np.ones(200, dtype=bool)
    nearly_all[:3] = False  # three mistakes choose nothing
    assert not choose_answer_score(x, nearly_all.astype(float), nearly_all).uses_agreement


def test_a_few_dozen_answers_do_not_buy_a_second_sample_by_luck() -> None:
    """Agreement that tells nothing gains 0.02 in many a small tune split; it is shown in few."""
    taken = 0
    for seed in range(40):
        x, right = features(60, seed)
        agreement = np.random.default_rng(1000 + seed).random(60)
        taken += choose_answer_score(x, agreement, right).uses_agreement
    assert taken <= 4


def test_groups_of_likes_are_heeded() -> None:
    """Nine copies of the same twenty answers show no more than the twenty."""
    rng = np.random.default_rng(5)
    x, right = features(20, 9)
    agreement = np.where(rng.random(20) < 0.75, right, ~right).astype(float)
    names = [str(place) for place in range(20)] * 9
    copies = np.tile(x, (9, 1)), np.tile(agreement, 9), np.tile(right, 9)
    assert choose_answer_score(*copies).uses_agreement
    assert not choose_answer_score(*copies, names).uses_agreement


def test_a_score_out_of_fold_has_seen_none_of_its_group() -> None:
    """Two groups, so two folds: each is scored by the model of the other."""
    x, right = features(30, 4)
    groups = np.array([0, 1, 1] * 10)
    scores = out_of_fold(x, right, groups)
    for held in (0, 1):
        model = fit_answer_score(x[groups != held], right[groups != held])
        assert scores[groups == held] == pytest.approx(model.scores(x[groups == held]))


def test_a_single_group_shows_nothing() -> None:
    x, right = features(30, 4)
    assert not choose_answer_score(x, right.astype(float), right, ["one"] * 30).uses_agreement


def test_the_formula_is_the_one_stated() -> None:
    model = AnswerScore(0.5, (1.0, 2.0), (1.0, 0.0), (2.0, 1.0))
    assert model.scores(np.array([[3.0, -1.0]]))[0] == pytest.approx(1 / (1 + math.exp(-(0.5 + 1.0 - 2.0))))
