"""Which tokens of a base's vocabulary a task needs."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tokenizers import Tokenizer

from metier.progress import Progress
from metier.students.lm.vocabulary.segmenters import Segmenter, is_reserved

_BATCH = 256
# Multiples of this many rows suit matrix kernels on every kind of processor.
ROW_MULTIPLE = 64
_JSON_ALPHABET = frozenset('{}[]":,\\ \n\t')
_WORDS = ("true", "false", "null")
# Chat templates take the names of the roles from the messages, so that their own text does not hold them.
_ROLES = ("system", "user", "assistant", "model", "tool")
# Punctuation and words of JSON, in the ways that writers of JSON put them.
_JSON_TEXTS = (
    *string.printable,
    *(json.dumps({"a": ["b", {"c": 1}], "d": {}, "e": []}, indent=indent) for indent in (None, 1, 2, 4)),
    *(text for word in _WORDS for text in (word, f" {word}", f'"{word}"', f": {word}", f":{word},")),
    '{"', '"}', '": "', '":"', '", "', '","', '"], "', '": ["', '": {"', '"}, {"', '": [', "}]}", '"]}', '": ', '": null',
    '": true', '": false', ", null", '""', '": ""', '\\"', "\\n", "\\\\", "\\u00",
)  # fmt: skip


@dataclass(frozen=True)
class Counted:
    """How often the tokens of a base occur in some texts: `counts` by id, and the texts' characters."""

    counts: Counter[int]
    characters: frozenset[str]
    n_texts: int


def count_tokens(tokenizer: Tokenizer, texts: Iterable[str], progress: Progress) -> Counted:
    """Segment the texts, special tokens parsed, and count."""
    counts: Counter[int] = Counter()
    characters: set[str] = set()
    n_texts = 0
    for batch in _batches(texts):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=True):
            counts.update(encoding.ids)
        for text in batch:
            characters.update(text)
        n_texts += len(batch)
        progress("counting tokens", n_texts, None)
    return Counted(counts, frozenset(characters), n_texts)


def needed(segmenter: Segmenter, tokenizer: Tokenizer, counted: Counted, special_ids: Collection[int]) -> set[str]:
    """The closed set of tokens (see `merging`) that the texts, the specials, bytes, ASCII and JSON call for."""
    by_id = {index: token for token, index in segmenter.vocabulary.items()}
    by_id |= {entry["id"]: entry["content"] for entry in segmenter.added}
    wanted = set(segmenter.byte_tokens)
    wanted |= {by_id[index] for index in counted.counts}
    wanted |= {by_id[index] for index in special_ids if index in by_id}
    wanted |= {entry["content"] for entry in segmenter.added if not is_reserved(entry["content"])}
    for encoding in tokenizer.encode_batch_fast([*_JSON_TEXTS, *_ROLES], add_special_tokens=False):
        wanted |= {by_id[index] for index in encoding.ids}
    return closed(segmenter, wanted)


def closed(segmenter: Segmenter, tokens: Iterable[str]) -> set[str]:
    """The tokens and all that their derivations go through."""
    kept: set[str] = set()
    for token in tokens:
        kept.add(token)
        kept |= (segmenter.merging.derivation(token) or frozenset()) & segmenter.vocabulary.keys()
    return kept


def candidates(segmenter: Segmenter, characters: Collection[str]) -> Iterator[str]:
    """Tokens likely in unseen text of the domain, the likeliest first: those of JSON's punctuation, then those written in
    the domain's characters, in the order in which the base's merges were learnt, which is that of their frequency."""
    alphabet = {*characters, *string.ascii_letters, *string.digits, *string.punctuation, " ", "\n"}
    order = sorted(segmenter.merging.product_ranks.items(), key=lambda item: item[1])
    later = []
    for token, _ in order:
        readable = segmenter.readable(token)
        if _JSON_ALPHABET.issuperset(readable) and len(readable) <= 4:
            yield token
        elif alphabet.issuperset(readable):
            later.append(token)
    yield from later


def extended(segmenter: Segmenter, kept: Collection[str], likely: Iterable[str], size: int) -> set[str]:
    """`kept` and, up to `size` tokens, the likeliest others with their derivations; then a few more, up to a whole multiple
    of 64. A set that is larger than `size` already only gets those few."""
    grown = set(kept)
    for token in likely:
        if len(grown) >= size and len(grown) % ROW_MULTIPLE == 0:
            break
        if token in grown or token not in segmenter.vocabulary:
            continue
        derivation = segmenter.merging.derivation(token)
        if derivation is None or not derivation <= segmenter.vocabulary.keys():
            continue
        new = derivation - grown
        # Near the goal only tokens that need no others, so that the multiple is met exactly.
        if len(grown) + len(new) <= size or len(new) == 1:
            grown |= new
    return grown


def split_off(texts: Sequence[str], every: int = 10) -> tuple[list[str], list[str]]:
    """(the rest, every tenth): the second is left out to see what unseen text costs."""
    left_out = list(texts[every - 1 :: every])
    rest = [text for index, text in enumerate(texts) if index % every != every - 1]
    return rest, left_out


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    several = iter(texts)
    while batch := list(islice(several, _BATCH)):
        yield batch
