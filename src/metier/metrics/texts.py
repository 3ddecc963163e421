"""How near a text is to another: ROUGE-L, token F1, Levenshtein ratio, each in [0, 1]."""

from __future__ import annotations

import re
from collections import Counter

from rapidfuzz.distance import LCSseq, Levenshtein

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text, case folded, without punctuation."""
    return _WORD.findall(text.casefold())


def rouge_l(given: str, wanted: str) -> float:
    """ROUGE-L F1 (Lin, 2004, eq. 2-4 with beta = 1): the longest common subsequence of words against both lengths."""
    left, right = words(given), words(wanted)
    if not left or not right:
        return float(left == right)
    return 2 * LCSseq.similarity(left, right) / (len(left) + len(right))


def token_f1(given: str, wanted: str) -> float:
    """F1 of the bags of words (Rajpurkar et al., 2016)."""
    left, right = words(given), words(wanted)
    if not left or not right:
        return float(left == right)
    return 2 * (Counter(left) & Counter(right)).total() / (len(left) + len(right))


def levenshtein_ratio(given: str, wanted: str) -> float:
    """1 - edits / length of the longer, over characters."""
    return float(Levenshtein.normalized_similarity(given, wanted))
