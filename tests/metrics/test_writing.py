"""Texts, failures of writing and their rates, pinned to published examples and hand calculations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metier.artefacts.tasks import OutputKind
from metier.metrics.correctness import is_correct
from metier.metrics.generation import is_degenerate
from metier.metrics.texts import levenshtein_ratio, rouge_l, token_f1
from metier.metrics.writing import exact_rate, mean_score


def test_rouge_l_of_lins_example() -> None:
    """Lin (2004), section 3.1: against "police killed the gunman", two candidates score 0.75 and 0.5."""
    assert rouge_l("police kill the gunman", "police killed the gunman") == 0.75
    assert rouge_l("the gunman kill police", "police killed the gunman") == 0.5


def test_rouge_l_of_the_reference_library() -> None:
    """The example of Google's rouge-score: precision 0.625, recall 0.5556, F 0.5882."""
    given, wanted = "The quick brown dog jumps on the log.", "The quick brown fox jumps over the lazy dog"
    assert rouge_l(given, wanted) == pytest.approx(0.5882352941176471)


def test_token_f1_and_levenshtein_by_hand() -> None:
    # Four words of six and five in common, counted as often as they occur: 8 / 11.
    assert token_f1("the cat sat on the mat", "the cat on the rug") == pytest.approx(8 / 11)
    assert levenshtein_ratio("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert levenshtein_ratio("", "") == 1.0


@pytest.mark.parametrize("score", [rouge_l, token_f1])
def test_empty_texts(score) -> None:
    assert score("", "") == score("?!", "...") == 1.0
    assert score("", "word") == score("word", "") == 0.0


def test_degenerate_is_the_limit_reached_and_the_tail_four_times() -> None:
    tail = "fifteen letters"
    assert is_degenerate(f"Once: {tail * 4}", hit_limit=True)
    assert not is_degenerate(f"Once: {tail * 3}", hit_limit=True)
    assert not is_degenerate(tail * 4, hit_limit=False)
    assert is_degenerate("a" * 18, hit_limit=True)
    assert not is_degenerate("a" * 17, hit_limit=True)
    assert not is_degenerate("no", hit_limit=True)


def test_right_is_one_thing_for_every_kind() -> None:
    assert is_correct(OutputKind.LABEL, "refund", "refund")
    assert not is_correct(OutputKind.LABEL, "Refund", "refund")
    assert is_correct(OutputKind.FIELDS, '{"a": "RM 9.00"}', '{"a": "9"}')
    assert is_correct(OutputKind.TEXT, "police kill the gunman", "police killed the gunman")
    assert not is_correct(OutputKind.TEXT, "nothing of the kind", "police killed the gunman")
    for kind in OutputKind:
        assert not is_correct(kind, None, "x")
        assert not is_correct(kind, "x", None)


def test_rates_have_exact_bounds_even_at_none_of_n() -> None:
    none = exact_rate([False] * 100)
    assert (none.estimate, none.lower) == (0.0, 0.0)
    assert none.upper == pytest.approx(1 - 0.025 ** (1 / 100))
    some = exact_rate([True] * 3 + [False] * 97)
    assert some.lower == pytest.approx(stats.beta.ppf(0.025, 3, 98))
    assert some.upper == pytest.approx(stats.beta.ppf(0.975, 4, 97))
    assert math.isnan(exact_rate([]).estimate)


def test_rates_of_repeated_items_count_their_groups() -> None:
    groups = np.repeat(np.arange(25), 4)
    assert exact_rate([False] * 100, groups).upper == pytest.approx(1 - 0.025 ** (1 / 25))
    hits = np.repeat(np.arange(25) < 5, 4)
    grouped, alone = exact_rate(hits, groups), exact_rate(hits)
    assert grouped.estimate == alone.estimate == 0.2
    assert grouped.lower < alone.lower
    assert alone.upper < grouped.upper


def test_means_of_scores_keep_their_doubt_at_the_ends() -> None:
    assert mean_score([1.0] * 40).lower == pytest.approx(0.025 ** (1 / 40))
    found = mean_score(np.linspace(0, 1, 101), n_resamples=1000)
    assert found.estimate == pytest.approx(0.5)
    assert found.lower == pytest.approx(0.5 - 1.96 * 0.29 / np.sqrt(101), abs=0.01)
