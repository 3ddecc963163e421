"""GGUF builds answer as the model they were written from, for every architecture and kind of tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metier.errors import BadInput, ExportFailed
from metier.students.lm.engine import LlamaEngine, TorchWriter
from metier.students.lm.exporting import About, write_gguf
from metier.students.lm.parts import Constraint, Prompt

pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")
pytest.importorskip("torch")

MakeModel = Callable[[str], Path]
PROMPTS = [
    "The receipt of the shop",
    Prompt("", "a <eos> and <|im_end|> in the input", " => "),
    "the sum of the tax " * 6,
    "naïve 東京 \U0001f600 text",
    "\n\n  spaces   and\ttabs ",
]
KINDS = ("gemma3_text", "llama", "qwen2", "qwen3")
# The next token's probabilities, renormalised over these: a look at the logits themselves.
CHARACTERS = Constraint(labels=tuple("ehioprstcmadRT0189/."))


@pytest.mark.parametrize("kind", KINDS)
def test_the_build_thinks_what_the_model_thinks(tiny_model: MakeModel, tmp_path: Path, kind: str) -> None:
    folder = tiny_model(kind)
    assert write_gguf(folder, tmp_path / "m.gguf", "f32") == (tmp_path / "m.gguf").stat().st_size
    writer = TorchWriter(folder, batch=3)
    ours = writer.write(PROMPTS, CHARACTERS, max_tokens=2)
    texts = writer.write(PROMPTS, Constraint(), max_tokens=12)
    with LlamaEngine(tmp_path / "m.gguf", n_context=512, threads=1) as engine:
        theirs = engine.write(PROMPTS, CHARACTERS, max_tokens=2)
        served = engine.write(PROMPTS, Constraint(), max_tokens=12)
    for a, b in zip(ours, theirs, strict=True):
        assert (a.n_input, a.text) == (b.n_input, b.text)
        # llama.cpp keeps keys and values in 16 bits.
        np.testing.assert_allclose(a.label_probabilities, b.label_probabilities, atol=0.01)
    for a, b in zip(texts, served, strict=True):
        # Random models write bytes that are no text, which the two libraries count and mark differently.
        n = next((i for i, piece in enumerate(a.pieces) if not piece.isascii() or not piece), len(a.pieces))
        assert a.pieces[:n] == b.pieces[:n]
        np.testing.assert_allclose(a.logprobs[:n], b.logprobs[:n], atol=0.05)
        assert "".join(a.pieces) == a.text
        assert "".join(b.pieces) == b.text


@pytest.mark.parametrize("quantisation", ["bf16", "f16", "q8_0", "q4_0", "q4_1", "q4"])
def test_every_quantisation_loads_and_is_smaller(tiny_model: MakeModel, tmp_path: Path, quantisation: str) -> None:
    folder = tiny_model("llama")
    whole = write_gguf(folder, tmp_path / "whole.gguf", "f32")
    size = write_gguf(folder, tmp_path / "m.gguf", quantisation)
    assert size < 0.75 * whole
    with LlamaEngine(tmp_path / "m.gguf", n_context=256, threads=1) as engine:
        (answer,) = engine.write(["The receipt"], Constraint(), max_tokens=4)
    assert answer.n_output > 0
    assert np.isfinite(answer.logprobs).all()


def test_llama3_scaling_and_linear_scaling_are_written(tiny_model: MakeModel, tmp_path: Path) -> None:
    scalings = (
        {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
            "rope_theta": 10_000.0,
        },
    )
    for place, rope in enumerate(scalings):
        folder = tmp_path / str(place)
        shutil.copytree(tiny_model("llama"), folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "rope_parameters": rope}))
        write_gguf(folder, folder / "m.gguf", "f32")
        ours = TorchWriter(folder).write(PROMPTS[2:3], CHARACTERS, max_tokens=12)
        with LlamaEngine(folder / "m.gguf", n_context=512, threads=1) as engine:
            theirs = engine.write(PROMPTS[2:3], CHARACTERS, max_tokens=12)
        np.testing.assert_allclose(ours[0].label_probabilities, theirs[0].label_probabilities, atol=0.01)


def test_what_a_file_says_of_itself(tiny_model: MakeModel, tmp_path: Path) -> None:
    from gguf import GGUFReader

    about = About(
        name="receipts", licence="gemma", licence_link="https://ai.google.dev/gemma/terms", base_model="Gemma"
    )
    write_gguf(tiny_model("gemma3_text"), tmp_path / "m.gguf", "q8_0", about=about)
    fields = {key: field.contents() for key, field in GGUFReader(tmp_path / "m.gguf").fields.items()}
    assert fields["general.name"] == "receipts"
    assert fields["general.license"] == "gemma"
    assert fields["general.base_model.0.name"] == "Gemma"
    assert fields["gemma3.attention.sliding_window"] == 16
    assert fields["gemma3.context_length"] == 2048
    assert fields["tokenizer.ggml.add_bos_token"] is True
    assert fields["general.file_type"] == 7


def _changed(folder: Path, target: Path, **fields: object) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **fields}))
    return target


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("llama", {"model_type": "mamba"}, "gemma3_text, llama, qwen2, qwen3"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "'yarn'"),
        ("qwen2", {"use_sliding_window": True}, "sliding window"),
        ("gemma3_text", {"layer_types": ["full_attention"] * 7}, "layer_types"),
        ("gemma3_text", {"query_pre_attn_scalar": 99}, "query_pre_attn_scalar"),
        ("gemma3_text", {"final_logit_softcapping": 30.0}, "capped"),
    ],
)
def test_models_that_llama_cpp_would_run_wrongly_are_refused(
    tiny_model: MakeModel, tmp_path: Path, kind: str, fields: dict[str, object], words: str
) -> None:
    folder = _changed(tiny_model(kind), tmp_path / "model", **fields)
    with pytest.raises(ExportFailed, match=words):
        write_gguf(folder, tmp_path / "m.gguf", "f16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_folders_that_are_incomplete_are_refused(tiny_model: MakeModel, tmp_path: Path) -> None:
    folder = tiny_model("llama")
    with pytest.raises(ExportFailed, match=r"config\.json is missing"):
        write_gguf(tmp_path, tmp_path / "m.gguf", "f16")
    with pytest.raises(BadInput, match="q3_x"):
        write_gguf(folder, tmp_path / "m.gguf", "q3_x")
    shutil.copytree(folder, tmp_path / "a", ignore=shutil.ignore_patterns("tokenizer_gguf.json"))
    with pytest.raises(ExportFailed, match=r"tokenizer_gguf\.json"):
        write_gguf(tmp_path / "a", tmp_path / "m.gguf", "f16")
    shutil.copytree(folder, tmp_path / "b", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ExportFailed, match=r"no \*\.safetensors"):
        write_gguf(tmp_path / "b", tmp_path / "m.gguf", "f16")


def test_a_failed_writing_leaves_the_old_file(tiny_model: MakeModel, tmp_path: Path) -> None:
    target = tmp_path / "m.gguf"
    write_gguf(tiny_model("llama"), target, "q8_0")
    before = target.read_bytes()
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model("llama"), broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(Exception, match=r"(?i)incomplete|header|safetensors"):
        write_gguf(broken, target, "q8_0")
    assert target.read_bytes() == before
    assert not target.with_name("m.gguf.part").exists()
    with pytest.raises(ExportFailed, match="cannot write"):
        write_gguf(tiny_model("llama"), tmp_path / "nowhere" / "m.gguf", "q8_0")
