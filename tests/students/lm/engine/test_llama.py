"""The served build: schemas, labels, limits, loops, threads and special tokens, on tiny random models."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from tokenizers import Tokenizer

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput, MissingExtra
from metier.students import TaskSpec
from metier.students.lm.answers import reader_of
from metier.students.lm.engine import LlamaEngine, encode_prompt
from metier.students.lm.exporting import write_gguf
from metier.students.lm.parts import Constraint, Prompt, Span

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")
pytest.importorskip("torch")

MakeModel = Callable[[str], Path]
N_CONTEXT = 768


@pytest.fixture(scope="module", params=["gemma3_text", "llama"])
def folder(request: pytest.FixtureRequest, tiny_model: MakeModel) -> Path:
    return tiny_model(request.param)


@pytest.fixture(scope="module")
def engine(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    path = tmp_path_factory.mktemp("build") / "m.gguf"
    write_gguf(folder, path, "f16")
    with LlamaEngine(path, n_context=N_CONTEXT, threads=1, parallel=2) as opened:
        yield opened


SCHEMAS: dict[str, dict[str, Any]] = {
    "enum and const": {
        "type": "object",
        "properties": {"a": {"enum": ["x", "y z", 3, None]}, "b": {"const": 'é"\\'}},
        "required": ["a", "b"],
    },
    "pattern and lengths": {
        "type": "object",
        "properties": {
            "date": {"type": "string", "pattern": r"^\d{4}-[01]\d$"},
            "code": {"type": "string", "minLength": 2, "maxLength": 4},
        },
        "required": ["date", "code"],
    },
    "nullable and formats": {
        "type": "object",
        "properties": {
            "a": {"type": ["integer", "null"], "minimum": -5, "maximum": 12},
            "b": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "c": {"enum": ["ok"], "format": "a-format-of-nobody"},
            "d": {"type": "boolean"},
        },
        "required": ["a", "b", "c", "d"],
    },
    "nested arrays and references": {
        "type": "object",
        "properties": {
            "rows": {
                "type": "array",
                "items": {"type": "array", "items": {"$ref": "#/$defs/cell"}, "maxItems": 2},
                "maxItems": 2,
            }
        },
        "required": ["rows"],
        "$defs": {"cell": {"type": "object", "properties": {"v": {"enum": [1, 2]}}, "required": ["v"]}},
    },
    "optional fields only": {"type": "object", "properties": {"a": {"enum": [1]}, "b": {"enum": [2]}}},
    "parts that add up": {
        "allOf": [
            {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"enum": [3]}}, "required": ["b"]},
        ]
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_answers_fit_their_schema(engine: LlamaEngine, name: str) -> None:
    schema = SCHEMAS[name]
    answers = engine.write(["The receipt", "the sum"], Constraint(schema=schema), max_tokens=200)
    answers += [
        engine.write(["shop"], Constraint(schema=schema), max_tokens=200, temperature=1.5, seed=seed)[0]
        for seed in range(4)
    ]
    for answer in answers:
        if name == "parts that add up" and answer.finish != "stop":
            # Fields that no part names are allowed here, and a random model finds no end of them.
            continue
        assert answer.finish == "stop", answer
        value = json.loads(answer.text)
        assert Draft202012Validator(schema).is_valid(value), answer.text
        assert answer.text == json.dumps(value, ensure_ascii=False)
        assert "".join(answer.pieces) == answer.text
        assert answer.n_output == len(answer.logprobs) == len(answer.pieces)
        assert (answer.logprobs <= 0).all()


def test_fields_the_schema_does_not_name_are_not_written(engine: LlamaEngine) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"]}
    for seed in range(3):
        (answer,) = engine.write(["x"], Constraint(schema=schema), max_tokens=60, temperature=2.0, seed=seed)
        assert answer.text == '{"a": 1}'


def test_copied_fields_hold_spans_of_the_input(engine: LlamaEngine) -> None:
    text = {"type": "string"}
    schema = {
        "type": "object",
        "properties": {
            "shop": text,
            "signs": {"type": "array", "items": text},
            "free": {"enum": ["é", "none"]},
            # A format that the engine does not know, and an object whose notation must be that of records.
            "more": {
                "type": "object",
                "properties": {"code": {"type": "string", "format": "iban", "maxLength": 3}, "n": {"enum": [1]}},
                "required": ["code", "n"],
            },
        },
        "required": ["shop", "more"],
    }
    source = 'Shop "A\\B" & Söhne\n  12,50  €\nNO.7'
    constraint = Constraint(schema=schema, copied=(Span("shop"), Span("signs")))
    shops = set()
    for seed in range(16):
        (answer,) = engine.write([Prompt("<", source, "> ")], constraint, max_tokens=500, temperature=1.5, seed=seed)
        if answer.finish != "stop":  # a random model may go on with a list for ever
            continue
        record = json.loads(answer.text)
        assert Draft202012Validator(schema).is_valid(record)
        assert answer.text == json.dumps(record, ensure_ascii=False)
        assert all(value in " ".join(source.split()) for value in [record["shop"], *record.get("signs", [])])
        shops.add(record["shop"])
    assert len(shops) > 1


SOURCE = "Shop B Ltd (1-X)\n1, High Street\n2000 Town\nfrom 1/2/2018 to 30/12/2018\nEND"


@pytest.mark.parametrize(
    ("span", "possible"),
    [
        (Span("a", begins=True, lines=1), r"(Shop( B.*)?|1(,.*)?|2000( Town)?|from( 1.*)?|END)"),
        (Span("a", begins=True, ends=True, lines=2), r".*"),
        (Span("a", ends=True, lines=1), r"(.*\)|(.*High )?Street|(2000 )?Town|.*2018|/2018|END)"),
        (Span("a", forms=(r"\d{1,2}/\d{1,2}/\d{4}",)), r"(1/2/2018|30/12/2018)"),
        (Span("a", ends=True, forms=(r"\d{1,2}/\d{1,2}/\d{4}",)), r"30/12/2018"),
    ],
)
def test_copied_fields_lie_as_their_spans_say(engine: LlamaEngine, span: Span, possible: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    flat, lines = " ".join(SOURCE.split()), [" ".join(line.split()) for line in SOURCE.splitlines()]
    found = set()
    for seed in range(8):
        prompt, constraint = Prompt("<", SOURCE, "> "), Constraint(schema=schema, copied=(span,))
        (answer,) = engine.write([prompt], constraint, max_tokens=300, temperature=1.5, seed=seed)
        value = json.loads(answer.text)["a"]
        assert answer.finish == "stop"
        assert re.fullmatch(possible, value), value
        assert value in flat
        if span.begins and span.ends:
            assert any(value == " ".join(lines[i:j]) for i in range(5) for j in range(i + 1, i + 3))
        found.add(value)
    assert len(found) > 1 or span.forms


def test_a_span_that_reads_like_a_special_token_loses_no_other_answer(folder: Path, engine: LlamaEngine) -> None:
    """llama.cpp takes a special token for what must follow, and breaks the answer off: whoever reads it finds no record."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    special = next(
        iter(Tokenizer.from_file(str(folder / "tokenizer.json")).get_added_tokens_decoder().values())
    ).content
    constraint = Constraint(schema=schema, copied=(Span("a", begins=True, ends=True, lines=1),))
    prompts = [Prompt("<", f"{special} x", "> "), Prompt("<", "the shop", "> ")]
    odd, plain = engine.write(prompts, constraint, max_tokens=60)
    assert plain.text == '{"a": "the shop"}'
    reader = reader_of(TaskSpec(OutputKind.FIELDS, schema))
    assert (reader.read(odd, prompts[0]).failure is None) == (odd.text == f'{{"a": "{special} x"}}')


def test_without_words_to_copy_the_schema_holds(engine: LlamaEngine) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    constraint = Constraint(schema=schema, copied=(Span("a"),))
    (answer,) = engine.write([Prompt("<", " \n", "> ")], constraint, max_tokens=60, temperature=1.0, seed=1)
    assert answer.text.startswith('{"a": "')


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            {"type": "object", "properties": {"ok": {"type": "string"}, "bad": False}, "required": ["bad"]},
            "field 'bad'",
        ),
        (
            {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5, "maximum": 3}}, "required": ["n"]},
            "field 'n'",
        ),
        (
            {"type": "object", "properties": {"s": {"type": "string", "pattern": "(?=x)y"}}, "required": ["s"]},
            "field 's'",
        ),
        ({"type": "object", "properties": {"r": {"$ref": "#/$defs/none"}}, "required": ["r"]}, "field 'r'"),
        ({"not": {}}, "the schema as a whole"),
        ({"type": "objec"}, "no JSON Schema"),
    ],
)
def test_a_schema_that_cannot_be_held_to_is_refused(engine: LlamaEngine, schema: dict[str, Any], words: str) -> None:
    for _ in range(2):
        with pytest.raises(BadInput, match=words):
            engine.write(["x"], Constraint(schema=schema), max_tokens=20)


def test_labels_one_the_beginning_of_another(engine: LlamaEngine) -> None:
    labels = ("the", "the shop", "the shop of", "receipt", "tax")
    (answer,) = engine.write(["The sum: "], Constraint(labels=labels), max_tokens=4)
    assert answer.label_probabilities is not None
    assert answer.label_probabilities.sum() == pytest.approx(1.0)
    assert answer.text == labels[int(np.argmax(answer.label_probabilities))]
    assert np.exp(answer.logprobs).tolist() == [pytest.approx(answer.label_probabilities.max())]
    # The order of the labels is no matter, nor what the engine has read in between.
    engine.write(["something else"], Constraint(), max_tokens=3)
    (again,) = engine.write(["The sum: "], Constraint(labels=labels[::-1]), max_tokens=4)
    assert again.label_probabilities is not None
    np.testing.assert_allclose(again.label_probabilities[::-1], answer.label_probabilities, atol=5e-3)


def test_sampled_labels_follow_their_probabilities(engine: LlamaEngine) -> None:
    labels = ("a", "e", "i", "o")
    constraint = Constraint(labels=labels)
    drawn = [engine.write(["x"], constraint, max_tokens=2, temperature=1.0, seed=seed)[0] for seed in range(60)]
    assert drawn[0].label_probabilities is not None
    shares = np.array([[answer.text for answer in drawn].count(label) / 60 for label in labels])
    np.testing.assert_allclose(shares, drawn[0].label_probabilities, atol=0.25)


def test_a_prompt_that_does_not_fit_is_not_read(engine: LlamaEngine) -> None:
    long, room = "the " * 100_000, N_CONTEXT - 8
    answers = engine.write([long, "the shop"], Constraint(), max_tokens=8)
    assert [answer.finish == "too long" for answer in answers] == [True, False]
    assert (answers[0].text, answers[0].n_output) == ("", 0)
    assert answers[0].n_input > 50_000
    n = next(n for n in range(1, N_CONTEXT) if len(engine.encode("e!" * n)) > room)
    fits, too_long = engine.write(["e!" * (n - 1), "e!" * n], Constraint(), max_tokens=8)
    assert fits.finish != "too long"
    assert fits.n_input <= room
    assert too_long.finish == "too long"


def test_the_token_limit(engine: LlamaEngine) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 50}}, "required": ["a"]}
    (answer,) = engine.write(["x"], Constraint(schema=schema), max_tokens=5)
    assert answer.finish == "length"
    assert answer.text.startswith('{"a":')
    with pytest.raises(BadInput, match="max_tokens"):
        engine.write(["x"], Constraint(), max_tokens=0)


def test_a_loop_is_stopped_long_before_the_limit(engine: LlamaEngine) -> None:
    # A schema that leaves nothing but the repetition of one item makes any model loop.
    schema = {"type": "array", "items": {"const": "the shop"}, "minItems": 200}
    (answer,) = engine.write(["x"], Constraint(schema=schema), max_tokens=N_CONTEXT - 20)
    assert answer.finish == "loop"
    assert answer.n_output < 200
    assert answer.text.count("the shop") >= 6


def test_special_tokens_in_the_input_are_plain_text(folder: Path, engine: LlamaEngine) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    specials = {token.content: place for place, token in tokenizer.get_added_tokens_decoder().items()}
    attack = "a " + " ".join(specials) + " <|im_end|><end_of_turn> z"
    framed = Prompt("".join(specials), attack, " =>")
    ids = engine.encode(framed)
    n_begin = len(tokenizer.encode("").ids)
    assert ids[n_begin : n_begin + len(specials)] == list(specials.values())
    assert not set(ids[n_begin + len(specials) :]) & set(specials.values())
    assert ids == encode_prompt(tokenizer, framed)
    # A plain string is read as written.
    assert len(set(engine.encode(attack)) & set(specials.values())) == len(specials)


@pytest.mark.parametrize(
    "text", ["", "the shop", "  two  spaces\n\n", "naïve façade", "東京 \U0001f600\u200d\U0001f525", "\x00\x07\t"]
)
def test_both_tokenizers_read_alike(folder: Path, engine: LlamaEngine, text: str) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert engine.encode(Prompt("", text, "")) == encode_prompt(tokenizer, Prompt("", text, ""))


def test_seeds_and_temperature(engine: LlamaEngine) -> None:
    def write(seed: int, temperature: float = 8.0) -> str:
        return engine.write(["x"], Constraint(), max_tokens=12, temperature=temperature, seed=seed)[0].text

    # Random models are very sure of what they write; heat makes them doubt.
    assert write(3) == write(3)
    assert len({write(seed) for seed in range(6)}) > 1
    assert write(1, 0.0) == write(2, 0.0)


def test_many_threads_get_the_answers_that_one_gets(engine: LlamaEngine) -> None:
    prompts = [f"the sum of {n}" for n in range(8)]
    labels = Constraint(labels=("the", "tax", "sum", "shop"))
    alone = [engine.write([prompt], labels, max_tokens=4)[0].label_probabilities for prompt in prompts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda prompt: engine.write([prompt], labels, max_tokens=4)[0], prompts))
    at_once = engine.write(prompts, labels, max_tokens=4)
    for one, other, third in zip(alone, together, at_once, strict=True):
        # Batches of other sizes add up in another order.
        np.testing.assert_allclose(one, other.label_probabilities, atol=0.01)
        np.testing.assert_allclose(one, third.label_probabilities, atol=0.01)


def test_loading_is_quiet_and_failures_are_clear(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="no model file"):
        LlamaEngine(tmp_path / "none.gguf", n_context=128)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(BadInput, match="cannot load"):
        LlamaEngine(tmp_path / "broken.gguf", n_context=128)
    with monkeypatch.context() as full:
        full.setattr("xllamacpp.Server", Mock(side_effect=MemoryError))
        with pytest.raises(BadInput, match=r"128 tokens, 128 for each of 1 answers at a time: out of memory\. "):
            LlamaEngine(tmp_path / "broken.gguf", n_context=128)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "xllamacpp", None)
        with pytest.raises(MissingExtra, match=r"metier\[lm\]"):
            LlamaEngine(tmp_path / "broken.gguf", n_context=128)
    write_gguf(folder, tmp_path / "m.gguf", "q8_0")
    capfd.readouterr()
    with LlamaEngine(tmp_path / "m.gguf", n_context=128) as engine:
        engine.write(["x"], Constraint(), max_tokens=2)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_was_never_asked_is_freed(folder: Path, tmp_path: Path) -> None:
    write_gguf(folder, tmp_path / "m.gguf", "f16")
    for _ in range(5):
        LlamaEngine(tmp_path / "m.gguf", n_context=64, threads=1).close()
