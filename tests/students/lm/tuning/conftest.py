"""Tiny random models of each kind, and examples for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metier.students.lm.parts import Encoded

torch = pytest.importorskip("torch", reason="tuning needs the 'train' extra")
transformers = pytest.importorskip("transformers", reason="tuning needs the 'train' extra")

SLIDING, FULL = "sliding_attention", "full_attention"


def _gemma() -> object:
    config = transformers.Gemma3TextConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, sliding_window=8, layer_types=[SLIDING, SLIDING, FULL, SLIDING],
        query_pre_attn_scalar=16, max_position_embeddings=2048,
    )  # fmt: skip
    return transformers.Gemma3ForCausalLM(config)


def _llama(tied: bool) -> object:
    config = transformers.LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=tied, max_position_embeddings=2048,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def _qwen() -> object:
    config = transformers.Qwen2Config(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=2048,
    )  # fmt: skip
    return transformers.Qwen2ForCausalLM(config)


MODELS: dict[str, Callable[[], object]] = {
    "gemma": _gemma,
    "llama": lambda: _llama(tied=False),
    "tied llama": lambda: _llama(tied=True),
    "qwen": _qwen,
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind; weights large enough for attention to be far from uniform."""
    folders = {}
    for kind, make in MODELS.items():
        torch.manual_seed(0)
        model = make()
        for parameter in model.parameters():  # type: ignore[attr-defined]
            parameter.data = torch.randn_like(parameter) * 0.2
        folders[kind] = tmp_path_factory.mktemp("models") / kind.replace(" ", "-")
        model.float().save_pretrained(folders[kind])  # type: ignore[attr-defined]
    return folders


@pytest.fixture(scope="session")
def examples() -> list[Encoded]:
    """60 prompts of 5 to 30 tokens with an answer that copies the prompt's first two tokens."""
    rng = np.random.default_rng(0)
    found = []
    for n in rng.integers(5, 30, 60).tolist():
        prompt = rng.integers(10, 100, n).tolist()
        found.append(Encoded((*prompt, 5, prompt[0], prompt[1], 6, 1), n))
    return found
