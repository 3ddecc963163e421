"""Light numeric features of inputs: how they are written and which words they use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# The beginning of an input tells what kind of text it is; reading more only costs time.
FEATURE_CHARS = 600
_N_COMPONENTS = 24


def writing_features(texts: Sequence[str]) -> Floats:
    """How texts are written, whatever they are about; shape (n, 8), each feature roughly within [0, 3]."""
    rows = []
    for text in texts:
        head = text[:FEATURE_CHARS]
        n = max(len(head), 1)
        letters = max(sum(map(str.isalpha, head)), 1)
        rows.append(
            (
                np.log10(1 + len(text)),
                sum(map(str.isupper, head)) / letters,
                10 * sum(map(str.isdigit, head)) / n,
                20 * head.count("\n") / n,
                10 * sum(head.count(mark) for mark in ".,;:()/-") / n,
                head[:1].isupper(),
                10 * sum(ord(char) > 127 for char in head) / n,
                n / (1 + head.count(" ") + head.count("\n")) / 10,
            )
        )
    return np.array(rows, dtype=np.float64).reshape(len(texts), 8)


def topic_features(texts: Sequence[str], seed: int) -> Floats:
    """Words and word pairs, hashed, weighted by rarity and reduced by SVD to rows of length 1; shape (n, <= 24)."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.preprocessing import normalize

    counts = hashed_words(texts, n_bits=16)
    n_components = min(_N_COMPONENTS, len(texts) - 1)
    if n_components < 2 or not counts.nnz:
        return np.zeros((len(texts), 2))
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    # Where all inputs begin alike (with the header of a table) there is no variance to explain, and none is asked for.
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = TruncatedSVD(n_components, random_state=seed, n_iter=3).fit_transform(weighted)
    return np.asarray(normalize(reduced), dtype=np.float64)


def hashed_words(texts: Sequence[str], n_bits: int = 18):  # type: ignore[no-untyped-def]
    """Counts of words and word pairs in the beginnings of texts, as a sparse matrix of shape (n, 2 ** n_bits)."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import HashingVectorizer

    if not len(texts):
        return csr_matrix((0, 2**n_bits))
    vectorizer = HashingVectorizer(
        n_features=2**n_bits, ngram_range=(1, 2), alternate_sign=False, norm=None, token_pattern=r"(?u)\w+|[^\w\s]"
    )
    return vectorizer.transform([text[:FEATURE_CHARS] for text in texts])
