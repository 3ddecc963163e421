"""write_gguf: a model's folder in Hugging Face layout as one GGUF file for llama.cpp."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import ExportFailed, MissingExtra
from metier.students.lm.exporting.architectures import Shape, add_shape, converted, frequency_factors, shape_of
from metier.students.lm.exporting.quantising import file_type, in_type, type_of, types_of
from metier.students.lm.vocabulary.facts import TokenizerFacts, read_facts

Array = npt.NDArray[Any]
_CONFIG = "config.json"


@dataclass(frozen=True)
class About:
    """What a file says of itself: names and terms, each left out where it is empty."""

    name: str = ""
    licence: str = ""
    licence_link: str = ""
    base_model: str = ""
    description: str = ""


def write_gguf(folder: Path, target: Path, quantisation: str, *, about: About | None = None) -> int:
    """Write the model in `folder` (config.json, *.safetensors, tokenizer_gguf.json) to `target`; the file's size in bytes.

    `quantisation` is one of `quantising.BUILDS`. A killed or failed writing leaves what was there before. Raises
    MissingExtra, BadInput for an unknown quantisation, and ExportFailed, naming what is supported, for another model.
    """
    try:
        import gguf
    except ImportError:
        raise MissingExtra("train", "writing a GGUF file") from None
    types_of(quantisation)
    shape = shape_of(read_config(folder))
    facts = read_facts(folder)
    if facts is None:
        raise ExportFailed(
            f"{folder} does not say what llama.cpp must know of its tokenizer (tokenizer_gguf.json): it is of a kind that "
            "cannot be served, or the folder was not brought in as a base. Take a base with a SentencePiece or byte-level "
            "byte-pair encoding that llama.cpp has"
        )
    with written(target) as part:
        writer = gguf.GGUFWriter(part, shape.architecture)
        try:
            _describe(writer, shape, facts, about or About(), quantisation)
            _write_tensors(writer, folder, shape, quantisation, len(facts.tokens))
        finally:
            writer.close()
    return target.stat().st_size


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` at the end and not before. Raises ExportFailed on a full disk."""
    part = target.with_name(f"{target.name}.part")
    try:
        yield part
        part.replace(target)
    except OSError as error:
        raise ExportFailed(f"cannot write {target}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def tensor_names(shape: Shape) -> Callable[[str], str]:
    """From transformers' name of a tensor to GGUF's. It raises ExportFailed for one that llama.cpp has no place for."""
    known_name = known_names(shape.architecture, shape.n_layers)

    def name_of(name: str) -> str:
        found = known_name(name)
        if found is None:
            raise ExportFailed(f"the model has a tensor that llama.cpp's {shape.architecture} has no place for: {name}")
        return found

    return name_of


def known_names(architecture: str, n_layers: int) -> Callable[[str], str | None]:
    """From transformers' name of a tensor to GGUF's; None for one that llama.cpp has no place for."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    kind = next(arch for arch, name in MODEL_ARCH_NAMES.items() if name == architecture)
    return partial(get_tensor_name_map(kind, n_layers).get_name, try_suffixes=(".weight", ".bias"))


def read_tensors(path: Path) -> Iterator[tuple[str, Array]]:
    """Every tensor of a safetensors file, float32, one at a time."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118  (a handle, no mapping)
            yield name, tensors.get_tensor(name).float().numpy()


def read_config(folder: Path) -> dict[str, Any]:
    """A model's config.json. Raises ExportFailed where there is none."""
    path = folder / _CONFIG
    if not path.is_file():
        raise ExportFailed(f"no model in {folder}: {_CONFIG} is missing")
    config: dict[str, Any] = json.loads(path.read_bytes())
    return config


def _describe(writer: Any, shape: Shape, facts: TokenizerFacts, about: About, quantisation: str) -> None:
    from gguf import GGML_QUANT_VERSION

    for add, value in (
        (writer.add_name, about.name),
        (writer.add_description, about.description),
        (writer.add_license, about.licence),
        (writer.add_license_link, about.licence_link),
    ):
        if value:
            add(value)
    if about.base_model:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, about.base_model)
    writer.add_file_type(file_type(quantisation))
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_vocab_size(len(facts.tokens))
    add_shape(writer, shape)
    _add_tokenizer(writer, facts)


def _add_tokenizer(writer: Any, facts: TokenizerFacts) -> None:
    writer.add_tokenizer_model(facts.model)
    writer.add_tokenizer_pre(facts.pre)
    writer.add_token_list(list(facts.tokens))
    writer.add_token_types(list(facts.token_types))
    if facts.scores is not None:
        writer.add_token_scores(list(facts.scores))
    if facts.merges is not None:
        writer.add_token_merges(list(facts.merges))
    for key, token in facts.ids.items():
        writer.add_uint32(f"tokenizer.ggml.{key}", token)
    for key, value in facts.flags.items():
        writer.add_bool(f"tokenizer.ggml.{key}", value)
    if facts.chat_template:
        writer.add_chat_template(facts.chat_template)


def _write_tensors(writer: Any, folder: Path, shape: Shape, quantisation: str, n_vocabulary: int) -> None:
    """Two passes, so that one tensor at a time is in memory: what there will be, then the numbers."""
    from gguf import GGMLQuantizationType

    for name, weights in _tensors(folder, shape):
        if name == "token_embd.weight" and len(weights) != n_vocabulary:
            raise ExportFailed(f"the model has {len(weights)} embeddings, its tokenizer {n_vocabulary} tokens")
        kind = type_of(name, weights.shape, quantisation)
        row = in_type(np.zeros((1, weights.shape[-1]), np.float32), kind)
        sizes = (*weights.shape[:-1], row.shape[-1])
        n_bytes = int(np.prod(sizes)) * row.itemsize
        writer.add_tensor_info(name, sizes, row.dtype, n_bytes, GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, weights in _tensors(folder, shape):
        writer.write_tensor_data(in_type(weights, type_of(name, weights.shape, quantisation)))


def _tensors(folder: Path, shape: Shape) -> Iterator[tuple[str, Array]]:
    """Every tensor as llama.cpp names and wants it, always in the same order."""
    name_of = tensor_names(shape)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ExportFailed(f"no model in {folder}: it holds no *.safetensors")
    factors = frequency_factors(shape)
    if factors is not None:
        yield "rope_freqs.weight", factors
    for file in files:
        for name, weights in read_tensors(file):
            if name == "lm_head.weight" and shape.is_tied:
                continue
            yield name_of(name), converted(name, weights, shape)
