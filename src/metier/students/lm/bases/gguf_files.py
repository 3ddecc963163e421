"""What a GGUF file says of itself: architecture, licence, tokenizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.errors import BadInput
from metier.students.lm.bases.gguf_header import Header, read_header
from metier.students.lm.vocabulary.facts import BYTE_LEVEL, SENTENCEPIECE, TokenizerFacts, TokenType

# Decoders whose conversion and way back are known; of others transformers reads some, but nothing here vouches for them.
ARCHITECTURES = ("gemma3", "llama", "qwen2", "qwen3")
_PREFIX = "tokenizer.ggml."


@dataclass(frozen=True)
class GgufHead:
    """The metadata of a GGUF file that converting it needs."""

    name: str
    architecture: str
    licence: str | None
    facts: TokenizerFacts
    header: Header


def read_licence(path: Path) -> str | None:
    """The key general.license. Raises BadInput where the file is not GGUF, or is damaged."""
    found = read_header(path).values.get("general.license")
    return found if isinstance(found, str) else None


def read_head(path: Path) -> GgufHead:
    """Read a file's metadata.

    Raises BadInput where it is no GGUF file, was cut short, or is of an architecture or tokenizer that cannot be converted.
    """
    header = read_header(path)
    values = header.values
    architecture = str(values.get("general.architecture"))
    if architecture not in ARCHITECTURES:
        raise BadInput(
            f"{path} is a GGUF file of the architecture '{architecture}', which cannot be tuned here; those that can: "
            f"{', '.join(ARCHITECTURES)}."
        )
    model = values.get(f"{_PREFIX}model")
    if model not in (SENTENCEPIECE, BYTE_LEVEL) or not values.get(f"{_PREFIX}tokens"):
        raise BadInput(
            f"{path} has a tokenizer of the kind '{model}'; those that can be converted: '{SENTENCEPIECE}' "
            f"(SentencePiece BPE) and '{BYTE_LEVEL}' (byte-level BPE)."
        )
    licence = values.get("general.license")
    name = str(values.get("general.name") or path.stem)
    return GgufHead(name, architecture, licence if isinstance(licence, str) else None, _facts(values), header)


def _facts(values: Mapping[str, Any]) -> TokenizerFacts:
    model = values[f"{_PREFIX}model"]
    tokens = tuple(values[f"{_PREFIX}tokens"])
    types = values.get(f"{_PREFIX}token_type")
    scores = values.get(f"{_PREFIX}scores")
    merges = values.get(f"{_PREFIX}merges")
    keys = [key.removeprefix(_PREFIX) for key in values if key.startswith(_PREFIX)]
    flags = {key: values[_PREFIX + key] for key in keys if re.fullmatch(r"(add|remove)_\w+", key)}
    return TokenizerFacts(
        model=model,
        pre=values.get(f"{_PREFIX}pre") or "default",
        tokens=tokens,
        token_types=tuple(types) if types else (int(TokenType.NORMAL),) * len(tokens),
        scores=tuple(scores) if model == SENTENCEPIECE and scores else None,
        merges=tuple(merges) if model == BYTE_LEVEL and merges else None,
        ids={key: int(values[_PREFIX + key]) for key in keys if key.endswith("_token_id")},
        flags={key: bool(value) for key, value in flags.items() if isinstance(value, (bool, int))},
        chat_template=values.get("tokenizer.chat_template"),
    )
