"""What GGUF says of a tokenizer, derived from tokenizer.json: for bases that never were GGUF."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metier.students.lm.bases.gguf_tokenizers import BLANK, PRE_TOKENIZERS
from metier.students.lm.vocabulary.facts import BYTE_LEVEL, SENTENCEPIECE, TokenizerFacts, TokenType

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# The bytes that UTF-8 can hold: it never uses 0xC0, 0xC1 and those from 0xF5 on (RFC 3629, section 4).
_BYTES_OF_TEXT = [*range(0xC0), *range(0xC2, 0xF5)]
_ROLES = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}


def derive_facts(folder: Path) -> TokenizerFacts | None:
    """The facts of a folder's tokenizer, None where `why_not_served` says why there are none."""
    tokenizer = _tokenizer(folder)
    if _problem(tokenizer) is not None:
        return None
    model = tokenizer["model"]
    is_sentencepiece = bool(model.get("byte_fallback"))
    pre = "default" if is_sentencepiece else _pre_name(tokenizer.get("pre_tokenizer"))
    assert pre is not None
    settings = _read(folder / "tokenizer_config.json")
    tokens = _tokens(tokenizer, int(_read(folder / "config.json").get("vocab_size") or 0))
    added = {entry["content"]: entry for entry in tokenizer.get("added_tokens") or ()}
    ids = _special_ids(settings, _read(folder / "config.json"), tokens)
    merges = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"]]
    first, last = _around(tokenizer.get("post_processor"))
    return TokenizerFacts(
        model=SENTENCEPIECE if is_sentencepiece else BYTE_LEVEL,
        pre=pre,
        tokens=tuple(_spelled(token, added, is_sentencepiece) for token in tokens),
        token_types=tuple(int(_type(token, added, model.get("unk_token"), is_sentencepiece)) for token in tokens),
        scores=_scores(tokens, merges) if is_sentencepiece else None,
        merges=None if is_sentencepiece else tuple(f"{left} {right}" for left, right in merges),
        ids=ids,
        flags={
            "add_bos_token": first,
            "add_eos_token": last,
            "add_space_prefix": is_sentencepiece and _adds_blank(tokenizer),
        },
        chat_template=_chat_template(folder, settings),
    )


def why_not_served(folder: Path) -> str | None:
    """Why llama.cpp cannot be given a folder's tokenizer, in words that go on after "its tokenizer"; None where it can."""
    return _problem(_tokenizer(folder))


def _problem(tokenizer: Mapping[str, Any]) -> str | None:
    model = tokenizer["model"]
    if model.get("type") != "BPE":
        return f"is of the kind {model.get('type')}, no byte-pair encoding"
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return "spells tokens with a prefix or suffix for parts of words, which llama.cpp does not"
    if model.get("dropout"):
        return "segments at random (dropout), which llama.cpp does not"
    if model.get("byte_fallback"):
        missing = [name for byte in _BYTES_OF_TEXT if (name := f"<0x{byte:02X}>") not in model["vocab"]]
        return (
            f"lacks {len(missing)} of the bytes of text ({missing[0]}), without which llama.cpp reads none"
            if missing
            else None
        )
    if _pre_name(tokenizer.get("pre_tokenizer")) is None:
        return f"splits text before merging in another way than those that are known here: {', '.join(PRE_TOKENIZERS)}"
    return None


def _tokenizer(folder: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return fields


def _tokens(tokenizer: dict[str, Any], n_rows: int) -> list[str]:
    """Every token by id. Rows of the matrix beyond the tokenizer's last id get names that no text has."""
    by_id = {index: token for token, index in tokenizer["model"]["vocab"].items()}
    by_id |= {entry["id"]: entry["content"] for entry in tokenizer.get("added_tokens") or ()}
    return [by_id.get(index, f"[PAD{index}]") for index in range(max(n_rows, max(by_id) + 1))]


def _spelled(token: str, added: dict[str, Any], is_sentencepiece: bool) -> str:
    # llama.cpp matches user-defined tokens in the text as it is written, before blanks become visible.
    plain = token in added and not added[token]["special"]
    return token.replace(BLANK, " ") if plain and is_sentencepiece else token


def _type(token: str, added: dict[str, Any], unknown: str | None, is_sentencepiece: bool) -> TokenType:
    if re.fullmatch(r"\[PAD\d+\]", token) and token not in added:
        return TokenType.UNUSED
    if token in added:
        return TokenType.CONTROL if added[token]["special"] else TokenType.USER_DEFINED
    if is_sentencepiece and token == unknown:
        return TokenType.UNKNOWN
    return TokenType.BYTE if is_sentencepiece and _BYTE.fullmatch(token) else TokenType.NORMAL


def _scores(tokens: list[str], merges: list[list[str]]) -> tuple[float, ...]:
    """A token's score is minus the place of the first merge that makes it, so that scores order merges as ranks do."""
    first: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges):
        first.setdefault(left + right, rank)
    return tuple(-float(first.get(token, len(merges) + 1)) for token in tokens)


def _pre_name(pre_tokenizer: dict[str, Any] | None) -> str | None:
    for name, known in PRE_TOKENIZERS.items():
        if _essence(known) == _essence(pre_tokenizer):
            return name
    return None


def _essence(value: Any) -> Any:
    # Offsets and defaults that do not change the pieces; case folding is written in two ways in the wild.
    if isinstance(value, dict):
        kept = {key: _essence(entry) for key, entry in value.items() if key not in ("trim_offsets", "add_prefix_space")}
        if kept.get("type") == "Sequence" and len(kept.get("pretokenizers", [])) == 1:
            return kept["pretokenizers"][0]
        return kept
    return [_essence(entry) for entry in value] if isinstance(value, list) else value


def _adds_blank(tokenizer: dict[str, Any]) -> bool:
    """Whether a blank is put before the text: by a normaliser (Prepend) or a pre-tokenizer (Metaspace)."""
    normalizer, pre = tokenizer.get("normalizer") or {}, tokenizer.get("pre_tokenizer") or {}
    steps = [normalizer, *normalizer.get("normalizers", ())]
    return any(step.get("type") == "Prepend" for step in steps) or (
        pre.get("type") == "Metaspace" and pre.get("prepend_scheme", "always") != "never"
    )


def _around(post_processor: dict[str, Any] | None) -> tuple[bool, bool]:
    """Whether a special token is put before a text, and behind it."""
    processors = [post_processor or {}, *(post_processor or {}).get("processors", ())]
    template = next((each for each in processors if each.get("type") == "TemplateProcessing"), None)
    if template is None:
        return False, False
    return "SpecialToken" in template["single"][0], "SpecialToken" in template["single"][-1]


def _special_ids(settings: dict[str, Any], config: dict[str, Any], tokens: list[str]) -> dict[str, int]:
    place = {token: index for index, token in enumerate(tokens)}
    found: dict[str, int] = {}
    for role, key in _ROLES.items():
        token = settings.get(role)
        text = token.get("content") if isinstance(token, dict) else token
        stated = config.get(f"{role}_id")
        if isinstance(text, str) and text in place:
            found[key] = place[text]
        elif isinstance(stated, int) and 0 <= stated < len(tokens):
            found[key] = stated
    return found


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    beside = folder / "chat_template.jinja"
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    stated = settings.get("chat_template")
    return stated if isinstance(stated, str) else None


def _read(path: Path) -> dict[str, Any]:
    fields = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return fields if isinstance(fields, dict) else {}
