"""What would stop a training at its end stops it before the tuning."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.students.lm.test_student import FIELDS, SCHEMA, base, cache, fit

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput, ExportFailed
from metier.students import TaskSpec
from metier.students.lm.rehearsing import check_reading
from metier.students.lm.vocabulary.facts import FACTS_FILE

__all__ = ["base", "cache"]


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


def test_a_tokenizer_that_llama_cpp_does_not_have_is_not_tuned(base: str, tmp_path: Path) -> None:
    other = copied(base, tmp_path / "base")
    (other / FACTS_FILE).unlink()
    fields = json.loads((other / "tokenizer.json").read_text())
    fields["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, fields["pre_tokenizer"]]}
    (other / "tokenizer.json").write_text(json.dumps(fields))
    assert "tokenizer_gguf.json is missing" in refused(other, tmp_path / "s")


@pytest.mark.parametrize("preference", ["auto", "off"])
def test_a_schema_that_nothing_satisfies_is_said_before_the_tuning(base: str, tmp_path: Path, preference: str) -> None:
    never = {"type": "integer", "minimum": 5, "maximum": 3}
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "n": never}, "required": ["shop", "n"]}  # type: ignore[dict-item]
    task = TaskSpec(OutputKind.FIELDS, schema, FIELDS.template)
    assert "nothing satisfies the field 'n'" in refused(Path(base), tmp_path / "s", task, preference=preference)


def test_prompts_that_are_read_otherwise_are_found() -> None:
    check_reading([(1, 2), (3,)], [2, 1], "q4")
    with pytest.raises(ExportFailed, match="the build q4 reads a prompt of 1 tokens as 2"):
        check_reading([(1, 2), (3,)], [2, 2], "q4")
