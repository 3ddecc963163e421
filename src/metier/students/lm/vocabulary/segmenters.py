"""tokenizer.json read as a byte-pair vocabulary that can be cut, or the reason why it cannot."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from metier.students.lm.vocabulary.merging import Merging, Pair

# Names that vocabularies reserve for later use: no text of any corpus was trained with them.
_RESERVED = re.compile(
    r"<unused\d+>|\[unused\d+\]|<reserved[_\d]*>|<\|reserved_special_token_\d+\|>|\[PAD\d+\]|<SPECIAL_\d+>"
)


@dataclass(frozen=True)
class Segmenter:
    """The parts of tokenizer.json. `fields` is the file; `vocabulary` maps each token of the model to its id."""

    fields: dict[str, Any]

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        return dict(self.fields["model"]["vocab"])

    @cached_property
    def merges(self) -> list[Pair]:
        pairs = (each.split(" ", 1) if isinstance(each, str) else each for each in self.fields["model"]["merges"])
        return [(left, right) for left, right in pairs]

    @cached_property
    def merging(self) -> Merging:
        return Merging.of(self.merges)

    @property
    def added(self) -> list[dict[str, Any]]:
        """Tokens matched before merging, as the file lists them."""
        return list(self.fields.get("added_tokens") or ())

    @property
    def is_byte_level(self) -> bool:
        """Whether tokens are spelled in the 256 stand-ins for bytes, else in characters with bytes to fall back on."""
        return not self.fields["model"].get("byte_fallback")

    @cached_property
    def byte_tokens(self) -> list[str]:
        """The tokens of single bytes that the vocabulary has, in which any text can be written that the base can write."""
        every = list(_BYTE_OF) if self.is_byte_level else [f"<0x{byte:02X}>" for byte in range(256)]
        return [token for token in every if token in self.vocabulary]

    @property
    def n_tokens(self) -> int:
        return 1 + max([*self.vocabulary.values(), *(int(entry["id"]) for entry in self.added)])

    def readable(self, token: str) -> str:
        """The text that a token stands for; bytes that are no UTF-8 alone become U+FFFD."""
        if not self.is_byte_level:
            return token.replace("\u2581", " ")
        return bytes(_BYTE_OF[symbol] for symbol in token if symbol in _BYTE_OF).decode("utf-8", errors="replace")


def read_segmenter(folder: Path) -> Segmenter:
    """The tokenizer of a model's folder."""
    return Segmenter(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))


def why_not(segmenter: Segmenter) -> str | None:
    """Why a tokenizer's vocabulary cannot be cut without loss; None where it can."""
    model = segmenter.fields["model"]
    kind = model.get("type")
    if kind != "BPE":
        return f"its tokenizer is of the kind {kind}, whose segmentation changes when tokens are taken away"
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return "its tokens are spelled with a prefix or suffix for parts of words"
    if model.get("dropout"):
        return "its tokenizer segments at random (dropout)"
    if segmenter.is_byte_level:
        # A byte that no token stands for is lost by the base itself: cutting it takes nothing away from what it can write.
        works_on_bytes = "ByteLevel" in json.dumps(segmenter.fields.get("decoder"))
        return None if works_on_bytes else "its tokenizer neither works on bytes nor falls back to them"
    if missing := 256 - len(segmenter.byte_tokens):
        return f"its vocabulary lacks {missing} of the 256 byte tokens, so that not every text could be written"
    return None


def is_reserved(token: str) -> bool:
    """Whether a token is a place held free by the base's authors, such as <unused12>."""
    return _RESERVED.fullmatch(token) is not None


def _byte_alphabet() -> list[str]:
    """Byte-level BPE's visible character for each byte (Radford et al. 2019, GPT-2's bytes_to_unicode)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    shifted = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(shifted)) for byte in range(256)]


_BYTE_OF = {symbol: byte for byte, symbol in enumerate(_byte_alphabet())}
