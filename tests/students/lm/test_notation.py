"""The JSON that a specialist writes: compact, and cut where its texts begin and end."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from metier.metrics.records import canonical
from metier.students.base import LabelledTexts
from metier.students.lm.coding import coder_for
from metier.students.lm.notation import answer_parts, compacted, separators
from metier.students.lm.parts import PromptForm

TEXTS = st.text(alphabet='"\\\\:,{}[]. abé\n', max_size=6)
LEAVES = st.none() | st.integers() | TEXTS
VALUES = LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(TEXTS, LEAVES, max_size=2)
RECORDS = st.dictionaries(TEXTS, VALUES, max_size=4)


def merging_tokenizer(*, space: bool = False) -> Tokenizer:
    """Signs as tokens, and '."' as one of them; `space`: every text gets a space before it."""
    signs = ['"', ".", ",", ":", "{", "}", "a", "b", "<end>", "Ġ"]
    tokenizer = Tokenizer(models.BPE(vocab={sign: i for i, sign in enumerate([*signs, '."'])}, merges=[(".", '"')]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def test_a_record_is_cut_around_its_texts_and_not_around_its_keys() -> None:
    record = '{"name": "A \\"B\\" CO.", "parts": ["a", ""], "n": 1.5, "none": null, "in": {"k": ":"}}'

    assert answer_parts(record) == [
        '{"name": "',
        'A \\"B\\" CO.',
        '", "parts": ["',
        "a",
        '", "',
        '"], "n": 1.5, "none": null, "in": {"k": "',
        ":",
        '"}}',
    ]


@pytest.mark.parametrize("answer", ["refund", 'He said "no".', '["a", "b"]', "{broken", ""])
def test_what_is_no_record_is_not_cut(answer: str) -> None:
    assert answer_parts(answer) == [answer]


@given(RECORDS)
def test_the_parts_are_the_whole_answer(record: dict[str, object]) -> None:
    for answer in (canonical(record), json.dumps(record, indent=2)):
        assert "".join(answer_parts(answer)) == answer


@given(RECORDS)
def test_a_compact_record_says_the_same(record: dict[str, object]) -> None:
    label = canonical(record)
    (found,) = compacted(LabelledTexts(("x",), (label,))).labels

    assert json.loads(found) == json.loads(label)
    assert len(found) <= len(label)


def test_a_label_that_is_no_record_stays_as_it_is() -> None:
    assert compacted(LabelledTexts(("x",), ("no, record: this",))).labels == ("no, record: this",)


def test_old_specialists_keep_their_spaces() -> None:
    assert separators(is_compact=True) == (",", ":")
    assert separators(is_compact=False) == (", ", ": ")


def test_every_value_ends_with_the_same_token() -> None:
    coder = coder_for(merging_tokenizer(), PromptForm("", "", "<end>", is_baked=True))

    with_stop, without = coder.encode(["a", "a"], ['{"a":"b."}', '{"a":"b"}'])

    quote = coder.tokenizer.token_to_id('"')
    merged = coder.tokenizer.token_to_id('."')
    assert merged not in with_stop.ids
    assert with_stop.ids[-3] == without.ids[-3] == quote


def test_an_answer_stays_whole_where_each_part_would_get_a_space() -> None:
    coder = coder_for(merging_tokenizer(space=True), PromptForm("", "", "<end>", is_baked=True))

    (found,) = coder.encode(["a"], ['{"a":"b."}'])

    assert not coder.joins
    assert found.ids[found.n_prompt :].count(coder.tokenizer.token_to_id("Ġ")) == 1
