"""A user's .gguf becomes a base that is the model it was written from, for every architecture that is said to be read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from metier.errors import BadInput
from metier.students.lm.bases import find_base
from metier.students.lm.bases.gguf_files import ARCHITECTURES
from metier.students.lm.engine import LlamaEngine, TorchWriter
from metier.students.lm.exporting import About, write_gguf
from metier.students.lm.exporting.architectures import ARCHITECTURES as WRITTEN
from metier.students.lm.parts import Constraint

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

MakeModel = Callable[[str], Path]
KINDS = sorted(WRITTEN)
PROMPTS = [
    "The receipt of the shop",
    "the sum of the tax " * 6,
    "naïve 東京 \U0001f600 text",
    "\n\n  spaces   and\ttabs 01/02/2018 ",
]
# The next token's probabilities, renormalised over these: a look at the logits themselves.
CHARACTERS = Constraint(labels=tuple("ehioprstcmadRT0189/."))


@pytest.fixture(params=KINDS)
def original(request: pytest.FixtureRequest, tiny_model: MakeModel, tmp_path: Path) -> Path:
    return changed(tiny_model(request.param), tmp_path / "original")


def logits(folder: Path, ids: list[int]) -> torch.Tensor:
    """(tokens, vocabulary), in float32."""
    reading: Any = AutoModelForCausalLM
    model = reading.from_pretrained(str(folder), dtype=torch.float32).eval()
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([ids])).logits[0]
    return found


def test_every_architecture_that_is_read_is_tried() -> None:
    assert {WRITTEN[kind] for kind in KINDS} == set(ARCHITECTURES)


def test_a_gguf_file_becomes_the_model_it_was_written_from(original: Path, tmp_path: Path) -> None:
    gguf = tmp_path / "mine.gguf"
    write_gguf(original, gguf, "f32", about=About(name="Mine", licence="mit"))
    base = find_base(str(gguf), cache=tmp_path / "cache")
    assert (base.name, base.licence, base.source) == ("Mine", "mit", str(gguf))
    before, after = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (original, base.folder))
    for prompt in PROMPTS:
        ids = before.encode(prompt).ids
        assert after.encode(prompt).ids == ids
        wanted, found = logits(original, ids), logits(base.folder, ids)
        assert wanted.std() > 1  # opinions that a wrong weight would change
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


# What llama.cpp's products with 4-bit matrices lose of a random model's opinions; a wrong scale of the attention: 0.28.
_TOLERANCES = {"f32": 0.005, "q4_1": 0.1}


@pytest.mark.parametrize("build", _TOLERANCES)
def test_the_base_thinks_what_llama_cpp_thinks_of_the_file(original: Path, tmp_path: Path, build: str) -> None:
    thinks_alike(original, tmp_path, build)


ROTARY = {
    "linear": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
        "rope_theta": 10_000.0,
    },
}


@pytest.mark.parametrize("kind", ROTARY)
def test_the_scaling_of_rotary_frequencies_is_converted(tiny_model: MakeModel, tmp_path: Path, kind: str) -> None:
    folder = changed(tiny_model("llama"), tmp_path / "original", rope_parameters=ROTARY[kind])
    base = thinks_alike(folder, tmp_path, "f32")
    assert json.loads((base / "config.json").read_text())["rope_parameters"] == ROTARY[kind]


def test_factors_that_are_not_those_of_llama_3_are_refused(tiny_model: MakeModel, tmp_path: Path) -> None:
    odd = {**ROTARY["llama3"], "high_freq_factor": 3.0}
    folder = changed(tiny_model("llama"), tmp_path / "original", rope_parameters=odd)
    with pytest.raises(BadInput, match="not those of Llama 3"):
        thinks_alike(folder, tmp_path, "f32")


def test_weights_that_the_model_has_no_place_for_are_refused(tiny_model: MakeModel, tmp_path: Path) -> None:
    folder = changed(tiny_model("llama"), tmp_path / "original")
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.0.self_attn.q_proj"
    biased = {**weights, f"{name}.bias": torch.ones(len(weights[f"{name}.weight"]))}
    save_file(biased, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match=r"holds 1 weights .* blk\.0\.attn_q\.bias"):
        thinks_alike(folder, tmp_path, "f32")


def test_an_output_matrix_of_its_own_is_converted(tiny_model: MakeModel, tmp_path: Path) -> None:
    folder = changed(tiny_model("qwen2"), tmp_path / "original", tie_word_embeddings=False)
    base = thinks_alike(folder, tmp_path, "f32")
    assert not json.loads((base / "config.json").read_text())["tie_word_embeddings"]


def thinks_alike(folder: Path, place: Path, build: str) -> Path:
    """The base that a build of the model becomes, which gives the next token the probabilities that llama.cpp gives it."""
    gguf = place / "mine.gguf"
    write_gguf(folder, gguf, build, about=About(licence="mit"))
    base = find_base(str(gguf), cache=place / "cache").folder
    ours = TorchWriter(base).write(PROMPTS, CHARACTERS, max_tokens=2)
    with LlamaEngine(gguf, n_context=512, threads=1) as engine:
        theirs = engine.write(PROMPTS, CHARACTERS, max_tokens=2)
    for a, b in zip(ours, theirs, strict=True):
        assert a.n_input == b.n_input
        np.testing.assert_allclose(a.label_probabilities, b.label_probabilities, atol=_TOLERANCES[build])
    return base


def changed(folder: Path, target: Path, **fields: Any) -> Path:
    """The model with another configuration, and weights that bfloat16 holds exactly: converting may change nothing."""
    shutil.copytree(folder, target)
    weights = load_file(target / "model.safetensors")
    rounded = {name: tensor.bfloat16().float() for name, tensor in weights.items()}
    save_file(rounded, target / "model.safetensors", {"format": "pt"})
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **fields}))
    return target
