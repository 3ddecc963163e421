"""Texts as token ids, in batches without wasted padding. No torch: training and answering share it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from metier.errors import BadArtefact

IntArray = npt.NDArray[np.int64]

# A text is cut before it is tokenised: no token of a known vocabulary is longer on average than this many characters,
# and a line of many megabytes must not be tokenised in full to keep its first tokens.
_CHARACTERS_PER_TOKEN = 32


@dataclass(frozen=True)
class TextTokenizer:
    """Texts to token ids, special tokens included, cut to `max_tokens`."""

    tokenizer: Tokenizer
    max_tokens: int

    @classmethod
    def from_file(cls, path: Path, max_tokens: int) -> TextTokenizer:
        """Read a tokenizer.json. Raises BadArtefact where it is none."""
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as problem:  # the library raises a bare Exception
            raise BadArtefact(f"{path} is no tokenizer of the `tokenizers` library: {problem}") from None
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        return cls(tokenizer, max_tokens)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of every text."""
        limit = self.max_tokens * _CHARACTERS_PER_TOKEN
        # Half of a surrogate pair is no character; the tokenizer would refuse the whole text for it.
        cut = [text[:limit].encode("utf-8", "replace").decode("utf-8") for text in texts]
        if len(cut) == 1:
            return [self.tokenizer.encode(cut[0]).ids]
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(cut)]


def padded(sequences: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """(n, longest) ids and the mask of the same shape, 1 where a token is."""
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    width = max(int(lengths.max(initial=1)), 1)
    mask = (np.arange(width)[None] < lengths[:, None]).astype(np.int64)
    ids = np.zeros(mask.shape, dtype=np.int64)
    ids[mask.astype(bool)] = np.fromiter((i for sequence in sequences for i in sequence), np.int64, int(lengths.sum()))
    return ids, mask


def by_length(sequences: Sequence[Sequence[int]], max_tokens: int, max_rows: int) -> Iterator[IntArray]:
    """Places of the sequences, shortest first, in batches of at most `max_tokens` padded tokens and `max_rows` rows."""
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while (
            end < len(order) and end - start < max_rows and (end - start + 1) * int(lengths[order[end]]) <= max_tokens
        ):
            end += 1
        yield order[start:end]
        start = end


def shuffled_by_length(
    lengths: IntArray, batch_size: int, window: int, generator: np.random.Generator
) -> list[IntArray]:
    """Places in batches of similar length: shuffle, sort by length within windows of `window` batches, shuffle batches.

    Little padding, and still another company for each text in every epoch.
    """
    order = generator.permutation(len(lengths))
    batches: list[IntArray] = []
    for start in range(0, len(order), batch_size * window):
        chunk = order[start : start + batch_size * window]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[i : i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]
