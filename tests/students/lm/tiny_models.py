"""Language models of a few thousand random parameters over bytes, in Hugging Face layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIALS = ("<bos>", "<eos>")


def byte_tokenizer() -> Tokenizer:
    """Every byte a token, in the order of the byte-level alphabet, then <bos> and <eos>."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


def wide_tokenizer(texts: Sequence[str], n_tokens: int) -> Tokenizer:
    """Bytes and what is frequent in `texts`, `n_tokens` in all: a vocabulary that can be cut."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_tokens,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def write_tiny(
    folder: Path,
    kind: Literal["llama", "gemma3"] = "llama",
    *,
    seed: int = 0,
    window: int = 16,
    spread: float = 0.02,
    tokenizer: Tokenizer | None = None,
) -> Path:
    """A random model of two layers; gemma3's first layer sees `window` tokens back. `spread` is the standard deviation of
    its weights: with more of it, its opinions are firmer. `tokenizer`, by default that of bytes, has its SPECIALS."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

    from metier.students.lm.likelihood import without_bars

    tokenizer = tokenizer or byte_tokenizer()
    shape: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "bos_token_id": tokenizer.token_to_id("<bos>"),
        "eos_token_id": tokenizer.token_to_id("<eos>"),
        "pad_token_id": None,
        "tie_word_embeddings": True,
        "initializer_range": spread,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any
        if kind == "llama":
            model = LlamaForCausalLM(LlamaConfig(**shape))
        else:
            layers = ["sliding_attention", "full_attention"]
            model = Gemma3ForCausalLM(
                Gemma3TextConfig(**shape, sliding_window=window, layer_types=layers, query_pre_attn_scalar=8)
            )
    folder.mkdir(parents=True, exist_ok=True)
    with without_bars():
        model.save_pretrained(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<bos>", "eos_token": "<eos>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
