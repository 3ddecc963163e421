"""What a GGUF file says of itself: architecture, licence, tokenizer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.errors import BadInput, MissingExtra
from metier.students.lm.vocabulary.facts import BYTE_LEVEL, SENTENCEPIECE, TokenizerFacts, TokenType

# Decoders whose conversion and way back are known; of others transformers reads some, but nothing here vouches for them.
ARCHITECTURES = ("gemma2", "gemma3", "llama", "qwen2", "qwen3")
_MAGIC = b"GGUF"
_PREFIX = "tokenizer.ggml."


@dataclass(frozen=True)
class GgufHead:
    """The metadata of a GGUF file that converting it needs."""

    name: str
    architecture: str
    licence: str | None
    facts: TokenizerFacts


def read_licence(path: Path) -> str | None:
    """The key general.license."""
    found = _value(_open(path), "general.license")
    return found if isinstance(found, str) else None


def read_head(path: Path) -> GgufHead:
    """Read a file's metadata.

    Raises BadInput where it is no GGUF file, was cut short, or is of an architecture or tokenizer that cannot be converted.
    """
    reader = _open(path)
    architecture = str(_value(reader, "general.architecture"))
    if architecture not in ARCHITECTURES:
        raise BadInput(
            f"{path} is a GGUF file of the architecture '{architecture}', which cannot be tuned here; those that can: "
            f"{', '.join(ARCHITECTURES)}."
        )
    model = _value(reader, f"{_PREFIX}model")
    if model not in (SENTENCEPIECE, BYTE_LEVEL):
        raise BadInput(
            f"{path} has a tokenizer of the kind '{model}'; those that can be converted: '{SENTENCEPIECE}' "
            f"(SentencePiece BPE) and '{BYTE_LEVEL}' (byte-level BPE)."
        )
    licence = _value(reader, "general.license")
    name = _value(reader, "general.name")
    return GgufHead(str(name or path.stem), architecture, licence if isinstance(licence, str) else None, _facts(reader))


def _open(path: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError as problem:
        raise MissingExtra("train", "Reading a GGUF file") from problem
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise BadInput(f"{path} is not a GGUF file.")
    try:
        return GGUFReader(path)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as problem:
        # The reader maps what the header promises; a short file fails at whichever array is the first to end beyond it.
        raise BadInput(f"{path} cannot be read as GGUF: {problem}. Was it cut short? Fetch it again.") from problem


def _value(reader: Any, key: str) -> Any:
    field = reader.fields.get(key)
    return None if field is None else field.contents()


def _facts(reader: Any) -> TokenizerFacts:
    model = _value(reader, f"{_PREFIX}model")
    tokens = tuple(_value(reader, f"{_PREFIX}tokens"))
    types = _value(reader, f"{_PREFIX}token_type")
    scores = _value(reader, f"{_PREFIX}scores")
    merges = _value(reader, f"{_PREFIX}merges")
    keys = [key.removeprefix(_PREFIX) for key in reader.fields if key.startswith(_PREFIX)]
    flags = {key: _value(reader, _PREFIX + key) for key in keys if re.fullmatch(r"(add|remove)_\w+", key)}
    return TokenizerFacts(
        model=model,
        pre=_value(reader, f"{_PREFIX}pre") or "default",
        tokens=tokens,
        token_types=tuple(types) if types else (int(TokenType.NORMAL),) * len(tokens),
        scores=tuple(scores) if model == SENTENCEPIECE and scores else None,
        merges=tuple(merges) if model == BYTE_LEVEL and merges else None,
        ids={key: int(_value(reader, _PREFIX + key)) for key in keys if key.endswith("_token_id")},
        flags={key: bool(value) for key, value in flags.items() if isinstance(value, (bool, int))},
        chat_template=_value(reader, "tokenizer.chat_template"),
    )
