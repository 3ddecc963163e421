"""What would stop a training at its end stops it before the tuning."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.students.lm.test_student import FIELDS, OPTIONS, SCHEMA, base, cache, fit, records

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput, ExportFailed
from metier.progress import silent
from metier.students import LmStudent, TaskSpec
from metier.students.lm.bases import find_base
from metier.students.lm.building import PARALLEL
from metier.students.lm.phases import open_phases
from metier.students.lm.predictor import asking_of
from metier.students.lm.prompts import baked_form, full_form
from metier.students.lm.rehearsing import check_reading, rehearse
from metier.students.lm.settings import LmSettings
from metier.students.lm.training import Job, cut_vocabulary
from metier.students.lm.vocabulary.facts import FACTS_FILE

__all__ = ["base", "cache"]
MakeModel = Callable[[str], Path]


def copied(base: str, target: Path, **config: Any) -> Path:
    shutil.copytree(base, target)
    path = target / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return target


def refused(base: Path, work: Path, task: TaskSpec = FIELDS, **options: Any) -> str:
    with pytest.raises((ExportFailed, BadInput)) as caught:
        fit(str(base), work, task, **options)
    assert not (work / "work" / "tuning").exists()
    assert not (work / "work" / "rehearsal" / "model.gguf").exists()
    return str(caught.value)


def test_an_architecture_that_cannot_be_served_is_not_tuned(base: str, tmp_path: Path) -> None:
    other = copied(base, tmp_path / "base", model_type="mistral", architectures=["MistralForCausalLM"])
    assert "'mistral' cannot be written as GGUF; supported: gemma3_text, llama" in refused(other, tmp_path / "s")


def rewritten(base: str, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The base with another tokenizer.json, as a model that never was GGUF."""
    other = copied(base, target)
    (other / FACTS_FILE).unlink()
    fields = json.loads((other / "tokenizer.json").read_text())
    change(fields)
    (other / "tokenizer.json").write_text(json.dumps(fields))
    return other


def split_otherwise(fields: dict[str, Any]) -> None:
    fields["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, fields["pre_tokenizer"]]}


def unigram(fields: dict[str, Any]) -> None:
    vocabulary = sorted(fields["model"]["vocab"].items(), key=lambda item: item[1])
    fields["model"] = {"type": "Unigram", "unk_id": 0, "vocab": [[token, -float(id)] for token, id in vocabulary]}


def word_piece(fields: dict[str, Any]) -> None:
    fields["model"] = {
        "type": "WordPiece",
        "unk_token": "<|endoftext|>",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": fields["model"]["vocab"],
    }


@pytest.mark.parametrize(
    ("change", "why", "kept"),
    [
        (
            split_otherwise,
            "splits text before merging in another way than those that are known here: gpt-2, smollm",
            "",
        ),
        (unigram, "is of the kind Unigram, no byte-pair encoding", "kept whole: its tokenizer is of the kind Unigram"),
        (word_piece, "is of the kind WordPiece, no byte-pair", "kept whole: its tokenizer is of the kind WordPiece"),
    ],
)
def test_a_tokenizer_that_llama_cpp_is_not_given_is_said_to_be_why(
    base: str, tmp_path: Path, change: Callable[[dict[str, Any]], None], why: str, kept: str
) -> None:
    said = refused(rewritten(base, tmp_path / "base", change), tmp_path / "s")
    assert f"the base cannot be served: its tokenizer {why}" in said
    assert "Bases that work have a SentencePiece byte-pair encoding" in said
    assert kept in said.partition("Vocabulary: ")[2]
    assert FACTS_FILE not in said


def test_a_vocabulary_without_a_byte_of_text_is_not_tuned(tiny_model: MakeModel, tmp_path: Path) -> None:
    """llama.cpp refuses every input that holds such a byte (here of 東) where no longer token stands for the character."""

    def byte_away(fields: dict[str, Any]) -> None:
        vocabulary = fields["model"]["vocab"]
        vocabulary["<nothing>"] = vocabulary.pop("<0xE6>")

    other = rewritten(str(tiny_model("gemma3_text")), tmp_path / "base", byte_away)
    (other / "README.md").write_text("---\nlicense: mit\n---\n")
    assert "its tokenizer lacks 1 of the bytes of text (<0xE6>)" in refused(other, tmp_path / "s")


def test_a_vocabulary_that_cannot_be_cut_may_still_be_served(tiny_model: MakeModel, tmp_path: Path) -> None:
    """SentencePiece's, without one of the bytes: 0xFF stands in no text."""

    def byte_away(fields: dict[str, Any]) -> None:
        vocabulary = fields["model"]["vocab"]
        vocabulary["<nothing>"] = vocabulary.pop("<0xFF>")

    other = rewritten(str(tiny_model("gemma3_text")), tmp_path / "base", byte_away)
    (other / "README.md").write_text("---\nlicense: mit\n---\n")
    settings = LmSettings(base=str(other), max_output_tokens=48)
    phases = open_phases(tmp_path / "work", "recipe")
    job = Job(records(24, 0), records(8, 1), FIELDS, (), settings, 0, phases, silent, 256)
    found = find_base(str(other), cache=tmp_path / "cache")
    forms = full_form(FIELDS, found.folder), baked_form(FIELDS, found.folder)
    trimmed = cut_vocabulary(job, found, forms)
    assert trimmed.reason.startswith("the vocabulary was kept whole: its vocabulary lacks 1 of the 256 byte tokens")
    rehearse(job, trimmed, asking_of(FIELDS, (), forms[0], 48).constraint, forms, parallel=PARALLEL)
    assert (tmp_path / "work" / "rehearsal.json").is_file()


@pytest.mark.parametrize("preference", ["auto", "off"])
def test_a_schema_that_nothing_satisfies_is_said_before_the_tuning(base: str, tmp_path: Path, preference: str) -> None:
    never = {"type": "integer", "minimum": 5, "maximum": 3}
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "n": never}, "required": ["shop", "n"]}  # type: ignore[dict-item]
    task = TaskSpec(OutputKind.FIELDS, schema, FIELDS.template)
    assert "nothing satisfies the field 'n'" in refused(Path(base), tmp_path / "s", task, preference=preference)


@contextmanager
def memory_that_fills() -> Iterator[Callable[[], None]]:
    """After what is given was called, this process gets no more than 300 MiB."""
    before = resource.getrlimit(resource.RLIMIT_AS)

    def fill() -> None:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + 300 * 2**20, before[1]))

    try:
        yield fill
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to such a limit")
def test_a_context_that_memory_does_not_hold_is_said_before_the_tuning(base: str, tmp_path: Path) -> None:
    """Four answers of 163,840 tokens at a time take 320 MiB of this tiny model."""
    other = copied(base, tmp_path / "base", max_position_embeddings=2**20)
    options = {**OPTIONS, "base": str(other), "max_tokens": 131_072, "max_output_tokens": 32_768}
    with memory_that_fills() as fill:

        def progress(description: str, done: int, total: int | None) -> None:
            if description.startswith("Rehearsing"):
                fill()
            elif "Tuning" in description:
                pytest.fail("it was tuned")

        with pytest.raises(BadInput, match=r"context of 655,360 tokens, .* too large for memory: lower max_tokens"):
            LmStudent().fit(
                records(24, 0), records(8, 1), tmp_path / "s", seed=0, progress=progress, options=options, task=FIELDS
            )
    assert not (tmp_path / "s" / "work" / "tuning").exists()
    assert not (tmp_path / "s" / "work" / "rehearsal" / "model.gguf").exists()


def test_prompts_that_are_read_otherwise_are_found() -> None:
    check_reading([(1, 2), (3,)], [2, 1], "q4")
    with pytest.raises(ExportFailed, match="the build q4 reads a prompt of 1 tokens as 2"):
        check_reading([(1, 2), (3,)], [2, 2], "q4")
