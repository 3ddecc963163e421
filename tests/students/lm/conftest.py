"""Tiny models with random weights, whole folders as the student keeps them: both kinds of tokenizer, four architectures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metier.students.lm.vocabulary.facts import TokenizerFacts, TokenType, write_facts

TEXTS = [
    "The receipt of the shop is dated 01/02/2018 and the total is RM 9.00",
    "the sum of the receipts and the tax of the shop",
    '{"company": "The Shop", "date": "2018", "total": "9.00"}',
]
MakeModel = Callable[[str], Path]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """The folder of a tiny random model by its model_type: gemma3_text, llama, qwen2 or qwen3."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            facts = _sentencepiece(folder) if kind == "gemma3_text" else _byte_level(folder)
            write_facts(facts, folder)
            _write_weights(kind, folder, facts)
            made[kind] = folder
        return made[kind]

    return make


def _write_weights(kind: str, folder: Path, facts: TokenizerFacts) -> None:
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": len(facts.tokens),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 7 if kind == "gemma3_text" else 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 2048,
        "initializer_range": 0.3,
        "bos_token_id": facts.ids["bos_token_id"],
        "eos_token_id": facts.ids["eos_token_id"],
        "pad_token_id": facts.ids["eos_token_id"],
    }
    if kind == "gemma3_text":
        sizes |= {"query_pre_attn_scalar": 32, "sliding_window": 16}
    if kind == "qwen2":
        sizes.pop("head_dim")
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**sizes))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            # Norms and biases start as constants, which would hide a conversion that forgets them.
            if name.endswith(("norm.weight", ".bias")):
                weights.add_(0.2 * torch.randn_like(weights))
    model.save_pretrained(folder)


def _byte_level(folder: Path) -> TokenizerFacts:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    fields = json.loads(tokenizer.to_str())["model"]
    tokens = tuple(sorted(fields["vocab"], key=fields["vocab"].__getitem__))
    return TokenizerFacts(
        model="gpt2",
        pre="gpt-2",
        tokens=tokens,
        token_types=tuple(TokenType.CONTROL if token.startswith("<|") else TokenType.NORMAL for token in tokens),
        scores=None,
        merges=tuple(" ".join(pair) for pair in fields["merges"]),
        ids={"bos_token_id": 1, "eos_token_id": 2},
        flags={"add_bos_token": False, "add_space_prefix": False},
    )


def _sentencepiece(folder: Path) -> TokenizerFacts:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    characters = sorted({character for text in TEXTS for character in text.replace(" ", "▁")})
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("o", "f"), ("▁", "of"), ("a", "n"), ("an", "d"), ("s", "h")]
    tokens = [*specials, *byte_tokens, *characters, *("".join(pair) for pair in merges)]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    tokenizer.post_processor = processors.TemplateProcessing("<bos> $A", "<bos> $A $B", [("<bos>", 2)])
    tokenizer.save(str(folder / "tokenizer.json"))
    kinds = [TokenType.CONTROL] * len(specials) + [TokenType.BYTE] * 256
    kinds += [TokenType.NORMAL] * (len(tokens) - len(kinds))
    kinds[3] = TokenType.UNKNOWN
    return TokenizerFacts(
        model="llama",
        pre="default",
        tokens=tuple(tokens),
        token_types=tuple(kinds),
        # What is merged earlier scores higher; SentencePiece's own way of writing the order down.
        scores=tuple(0.0 if place < len(tokens) - len(merges) else -float(place) for place in range(len(tokens))),
        merges=None,
        ids={"bos_token_id": 2, "eos_token_id": 1, "unknown_token_id": 3, "padding_token_id": 0},
        flags={"add_bos_token": True, "add_eos_token": False, "add_space_prefix": False},
    )
