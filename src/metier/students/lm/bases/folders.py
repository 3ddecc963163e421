"""Bases that are in Hugging Face layout already: a folder of the user's or of the hub's cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from metier.errors import BadInput, MissingExtra
from metier.progress import Progress
from metier.students.exports import sha256_of
from metier.students.lm.bases.cache import WEIGHTS_FILE
from metier.students.lm.bases.derived import derive_facts
from metier.students.lm.vocabulary.facts import FACTS_FILE, write_facts
from metier.students.lm.vocabulary.weights import read_tensors, unchanged, write_safetensors

_BESIDE = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    FACTS_FILE,
)
# Keys that make transformers load code from beside the weights.
_CODE_KEYS = ("auto_map", "custom_pipelines")


def check_folder(folder: Path) -> None:
    """Raises BadInput where a folder is not that of a causal language model in safetensors."""
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise BadInput(
                f"{folder} holds no {name}; a base model's folder needs config.json, tokenizer.json, weights."
            )
    read_tensors(folder)
    config = _json(folder / "config.json")
    classes = config.get("architectures") or []
    if not any(str(each).endswith("ForCausalLM") for each in classes):
        raise BadInput(
            f"{folder}/config.json names the class {', '.join(map(str, classes)) or '(none)'}; a base has to be a decoder "
            "that writes text (a ...ForCausalLM)."
        )
    _check_known(folder, str(config.get("model_type")))


def weights_digest(folder: Path, progress: Progress) -> str:
    """SHA-256 of a folder's weights: of the file, or of the shards' own hashes joined in order of their names."""
    paths = sorted({tensor.path for tensor in read_tensors(folder).values()})
    digests = [sha256_of(path, progress, f"reading {path.name}") for path in paths]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def layout_digest(folder: Path) -> str:
    """SHA-256 of the small files: another tokenizer or configuration beside the same weights is another base."""
    digest = hashlib.sha256()
    for name in _BESIDE:
        path = folder / name
        if path.is_file():
            digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def bring_in(folder: Path, target: Path) -> None:
    """Copy a model's folder to `target`: weights in one file, float32 or bfloat16; what names code is left out."""
    for name in _BESIDE:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    for name in ("config.json", "tokenizer_config.json"):
        if (target / name).is_file():
            fields = {key: value for key, value in _json(target / name).items() if key not in _CODE_KEYS}
            (target / name).write_text(json.dumps(fields, indent=2, ensure_ascii=False), encoding="utf-8")
    write_safetensors(target / WEIGHTS_FILE, [unchanged(tensor) for tensor in read_tensors(folder).values()])
    if not (target / FACTS_FILE).is_file():
        facts = derive_facts(target)
        if facts is not None:
            write_facts(facts, target)


def _check_known(folder: Path, model_type: str) -> None:
    try:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    except ImportError as problem:
        raise MissingExtra("train", "Reading a base model") from problem
    known: Any = CONFIG_MAPPING
    if model_type not in known:
        raise BadInput(
            f"{folder}/config.json is of the model type '{model_type}', which the installed transformers does not know; "
            "code that comes with a model is never run. Give another base, or a newer transformers."
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise BadInput(f"{path} is not JSON: {problem}") from problem
    if not isinstance(fields, dict):
        raise BadInput(f"{path} does not hold a JSON object.")
    return fields
