import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from rapidfuzz import fuzz, process

from metier.curation import duplicates
from metier.curation.duplicates import components, near_pairs
from metier.curation.texts import duplicate_key

CLINC = Path(os.environ.get("METIER_DATA", "../shared/data")) / "clinc150" / "data_full.json"


def every_pair(texts, threshold):
    """All pairs at the threshold, by comparing every text with every other."""
    scores = process.cdist(texts, texts, scorer=fuzz.ratio, score_cutoff=100 * threshold, dtype=np.float32)
    return {(a, b) for a, b in zip(*np.nonzero(np.triu(scores, 1)), strict=True)}


def random_texts(n, rng, words=60):
    return [" ".join(f"w{i}" for i in rng.integers(0, words, rng.integers(2, 12))) for _ in range(n)]


def as_set(pairs):
    return {tuple(pair) for pair in pairs.tolist()}


def test_finds_paraphrases_of_short_inputs():
    texts = [
        "what is my balance",
        "whats my balance",
        "what is the balance",
        "book a table for two",
        "what is my balanse",
    ]
    assert as_set(near_pairs(texts, 0.9)) == {(0, 1), (0, 4)}


def test_agrees_with_comparing_every_pair():
    rng = np.random.default_rng(0)
    base = random_texts(1_500, rng)
    edited = [text[:5] + text[6:] + "x" for text in base[:400]]
    texts = sorted(set(base + edited))
    truth = every_pair(texts, 0.9)
    found = as_set(near_pairs(texts, 0.9))
    assert len(truth) > 300
    assert found <= truth
    assert len(found) >= 0.99 * len(truth)


@pytest.mark.skipif(not CLINC.exists(), reason="clinc150 is not at METIER_DATA")
def test_recall_on_clinc150_against_comparing_every_pair():
    data = json.loads(CLINC.read_text())
    texts = sorted({duplicate_key(text) for part in ("val", "oos_test") for text, _ in data[part]})
    truth = every_pair(texts, 0.9)
    found = as_set(near_pairs(texts, 0.9))
    assert found <= truth
    assert len(found) >= 0.99 * len(truth)


def test_look_alikes_in_their_thousands_stay_joined_and_affordable():
    texts = [f"dear team, where is order {i:05d} that was to arrive at my home address last week" for i in range(1_500)]
    start = time.process_time()
    pairs = near_pairs(texts, 0.9)
    assert time.process_time() - start < 20
    assert len(np.unique(components(len(texts), pairs))) == 1
    assert len(pairs) < duplicates._PERMUTATIONS * duplicates._PAIRS_PER_TEXT * len(texts)


def test_thinning_keeps_components_and_invents_no_pairs():
    rng = np.random.default_rng(1)
    scores = np.where(rng.random((120, 120)) < 0.9, rng.integers(90, 100, (120, 120)), 0).astype(np.uint8)
    scores[:60, 60:] = 0
    near = np.triu(scores, 1) > 0
    kept = duplicates._thinned(np.triu(scores, 1) + np.triu(scores, 1).T, near)
    assert not (kept & ~near).any()
    before, after = (components(120, np.argwhere(m)) for m in (near, kept))
    assert len(np.unique(before)) == len(np.unique(after)) == 2
    assert kept.sum() < near.sum()


def test_long_texts_are_compared_by_both_ends():
    body = " ".join(f"clause {i}" for i in range(2_000))
    pairs = near_pairs([f"{body} signed by anna", f"{body} signed by arne", "quite another text " * 500], 0.9)
    assert as_set(pairs) == {(0, 1)}


@pytest.mark.parametrize("texts", [[], ["one"], ["", "a"], ["a", "b"]])
def test_too_few_or_too_short_texts_have_no_pairs(texts):
    assert near_pairs(texts, 0.9).shape == (0, 2)


def test_a_threshold_of_one_finds_nothing():
    assert near_pairs(["what is my balance", "what is my balanse"], 1.0).shape == (0, 2)


def test_components_join_transitively():
    assert components(5, np.array([[0, 1], [1, 4]])).tolist() == [0, 0, 1, 2, 0]
