"""A model's small files, rewritten for a vocabulary in which every token has a new id."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from metier.students.lm.vocabulary.merging import merges_among
from metier.students.lm.vocabulary.segmenters import Segmenter

_COPIED = ("chat_template.jinja", "special_tokens_map.json")


def ids_of(segmenter: Segmenter, tokens: Collection[str]) -> list[int]:
    """The base's ids of the tokens, ascending: their place is the new id."""
    known = {**segmenter.vocabulary, **{entry["content"]: entry["id"] for entry in segmenter.added}}
    return sorted(known[token] for token in tokens)


def cut_tokenizer(segmenter: Segmenter, tokens: Collection[str]) -> dict[str, Any]:
    """tokenizer.json of the vocabulary cut to `tokens`."""
    new_id = {old: new for new, old in enumerate(ids_of(segmenter, tokens))}
    kept = set(tokens)
    fields = {key: value for key, value in segmenter.fields.items() if key != "model"}
    fields = deepcopy(fields)
    vocabulary = {token: new_id[old] for token, old in segmenter.vocabulary.items() if token in kept}
    fields["model"] = {
        **{key: value for key, value in segmenter.fields["model"].items() if key not in ("vocab", "merges")},
        "vocab": dict(sorted(vocabulary.items(), key=lambda item: item[1])),
        "merges": [list(pair) for pair in merges_among(segmenter.merges, kept)],
    }
    fields["added_tokens"] = [
        {**entry, "id": new_id[entry["id"]]} for entry in segmenter.added if entry["content"] in kept
    ]
    if fields.get("post_processor"):
        _renumber_processor(fields["post_processor"], new_id)
    return fields


def write_small_files(base: Path, target: Path, new_id: Mapping[int, int]) -> None:
    """config.json, generation_config.json, tokenizer_config.json and the chat template, with the new ids."""
    for name in _COPIED:
        if (base / name).is_file():
            (target / name).write_bytes((base / name).read_bytes())
    config = read_json(base / "config.json")
    write_json(target / "config.json", {**_renumbered(config, new_id), "vocab_size": len(new_id)})
    for name in ("generation_config.json", "tokenizer_config.json"):
        if (base / name).is_file():
            fields = _renumbered(read_json(base / name), new_id)
            decoder = fields.get("added_tokens_decoder")
            if isinstance(decoder, dict):
                kept = {int(old): entry for old, entry in decoder.items() if int(old) in new_id}
                fields["added_tokens_decoder"] = {str(new_id[old]): entry for old, entry in kept.items()}
            write_json(target / name, fields)


def special_ids(folder: Path) -> set[int]:
    """The ids that a model's configuration gives a role: begin, end, padding, unknown, suppressed."""
    found: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            for key, value in read_json(folder / name).items():
                if _holds_ids(key):
                    found.update(_integers(value))
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds a JSON object."""
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return fields


def write_json(path: Path, fields: Mapping[str, Any]) -> None:
    """Write an object as JSON, readable."""
    path.write_text(json.dumps(fields, indent=2, ensure_ascii=False), encoding="utf-8")


def _renumbered(fields: Mapping[str, Any], new_id: Mapping[int, int]) -> dict[str, Any]:
    return {key: _new_value(value, new_id) if _holds_ids(key) else value for key, value in fields.items()}


def _holds_ids(key: str) -> bool:
    return key.endswith(("_token_id", "_token_ids", "suppress_tokens"))


def _new_value(value: Any, new_id: Mapping[int, int]) -> Any:
    if isinstance(value, list):
        return [new_id[old] for old in value if isinstance(old, int) and old in new_id]
    # An id beyond the vocabulary (-1 stands for "none" in some configurations) has no new one.
    return new_id.get(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _integers(value: Any) -> list[int]:
    several = value if isinstance(value, list) else [value]
    return [each for each in several if isinstance(each, int) and not isinstance(each, bool)]


def _renumber_processor(processor: dict[str, Any], new_id: Mapping[int, int]) -> None:
    for inner in processor.get("processors", ()):
        _renumber_processor(inner, new_id)
    for entry in (processor.get("special_tokens") or {}).values():
        entry["ids"] = [new_id[old] for old in entry["ids"]]
    for key in ("sep", "cls"):
        if isinstance(processor.get(key), list):
            token, old = processor[key]
            processor[key] = [token, new_id[old]]
