"""What llama.cpp must know of a tokenizer, beside tokenizer.json: the file `tokenizer_gguf.json` of a model's folder.

    version              1
    model                "llama" (SentencePiece's byte-pair encoding: scores decide) or "gpt2" (byte-level: merges decide);
                         the value of the GGUF key tokenizer.ggml.model
    pre                  name of the pre-tokenizer, tokenizer.ggml.pre: "default", "smollm", "llama-bpe", "qwen2", ...
    tokens        (v,)   the tokens' texts in the order of their ids, as GGUF writes them ("▁the" or "Ġthe")
    token_types   (v,)   1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
    scores        (v,)   higher is merged earlier; null where `model` is "gpt2"
    merges        (m,)   "left right", the first is merged earliest; null where `model` is "llama"
    ids                  every tokenizer.ggml.*_token_id by the rest of its key: {"bos_token_id": 2, "eos_token_id": 1, ...}
    flags                add_bos_token, add_eos_token, add_space_prefix, ...: true or false, by the rest of their keys
    chat_template        Jinja text, tokenizer.chat_template, or null

A base that came as GGUF has the values of that file; of another one they are derived from tokenizer.json. Every field but
`version` is one GGUF key (`ids` and `flags`: one a member), so that a served build is written by copying them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from pathlib import Path

from metier.errors import BadInput

FACTS_FILE = "tokenizer_gguf.json"
SENTENCEPIECE = "llama"
BYTE_LEVEL = "gpt2"
_VERSION = 1


class TokenType(IntEnum):
    """The kinds of token that GGUF knows (llama.cpp, enum llama_token_type)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class TokenizerFacts:
    """The fields of tokenizer_gguf.json, as the module's text lists them."""

    model: str
    pre: str
    tokens: tuple[str, ...]
    token_types: tuple[int, ...]
    scores: tuple[float, ...] | None
    merges: tuple[str, ...] | None
    ids: Mapping[str, int]
    flags: Mapping[str, bool]
    chat_template: str | None = None

    def subset(self, kept: Sequence[int], merges: Sequence[str] | None) -> TokenizerFacts:
        """The facts of a vocabulary cut to the ids `kept`, in that order; `merges` are those that are left."""
        new_id = {old: new for new, old in enumerate(kept)}
        return replace(
            self,
            tokens=tuple(self.tokens[old] for old in kept),
            token_types=tuple(self.token_types[old] for old in kept),
            scores=None if self.scores is None else tuple(self.scores[old] for old in kept),
            merges=None if self.merges is None else tuple(merges or ()),
            ids={key: new_id[old] for key, old in self.ids.items() if old in new_id},
        )


def write_facts(facts: TokenizerFacts, folder: Path) -> None:
    """Write `folder`/tokenizer_gguf.json."""
    fields = {"version": _VERSION, **asdict(facts)}
    (folder / FACTS_FILE).write_text(json.dumps(fields, ensure_ascii=False), encoding="utf-8")


def read_facts(folder: Path) -> TokenizerFacts | None:
    """The facts of a model's folder, None where it has no such file. Raises BadInput for another version's file."""
    path = folder / FACTS_FILE
    if not path.is_file():
        return None
    fields = json.loads(path.read_text(encoding="utf-8"))
    if fields.pop("version", None) != _VERSION:
        raise BadInput(
            f"{path} was written by another version of metier; remove the folder and convert the base again."
        )
    for name in ("tokens", "token_types", "scores", "merges"):
        fields[name] = None if fields[name] is None else tuple(fields[name])
    return TokenizerFacts(**fields)
