"""A GGUF file as a Hugging Face folder: weights widened to bfloat16 by transformers, the tokenizer by us."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from metier.errors import BadInput, MissingExtra
from metier.progress import Progress
from metier.students.lm.bases.gguf_config import ROTARY_FACTORS, config_fields
from metier.students.lm.bases.gguf_files import GgufHead
from metier.students.lm.bases.gguf_header import write_without_tokenizer
from metier.students.lm.bases.gguf_tokenizers import tokenizer_json
from metier.students.lm.exporting.builds import known_names
from metier.students.lm.vocabulary.facts import TokenizerFacts, write_facts


def convert_gguf(head: GgufHead, target: Path, progress: Progress) -> None:
    """Write config.json, generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json, the chat
    template and tokenizer_gguf.json to `target`.

    Weights become bfloat16: what a 4- to 8-bit type holds fits in it but for its rounding, 2^-9 of a value, far below the
    step between two values that the type can tell apart. Raises BadInput where the file lacks tensors of its architecture.
    """
    steps = 3
    progress(f"converting {head.name}", 0, steps)
    _convert_weights(head, target)
    progress(f"converting {head.name}", 1, steps)
    write_tokenizer(head, target)
    progress(f"converting {head.name}", 2, steps)
    write_facts(head.facts, target)
    progress(f"converting {head.name}", steps, steps)


def write_tokenizer(head: GgufHead, target: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja as the GGUF's facts say."""
    facts = head.facts
    contents = json.dumps(tokenizer_json(facts, str(head.header.path)), ensure_ascii=False)
    (target / "tokenizer.json").write_text(contents, encoding="utf-8")
    settings = tokenizer_config(facts)
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=1, ensure_ascii=False), encoding="utf-8")
    if facts.chat_template:
        (target / "chat_template.jinja").write_text(facts.chat_template, encoding="utf-8")


def tokenizer_config(facts: TokenizerFacts) -> dict[str, Any]:
    """tokenizer_config.json: the plain class over tokenizer.json, and the special tokens by their roles."""
    roles = {
        "bos_token": "bos_token_id",
        "eos_token": "eos_token_id",
        "unk_token": "unknown_token_id",
        "pad_token": "padding_token_id",
    }
    named = {role: facts.tokens[facts.ids[key]] for role, key in roles.items() if key in facts.ids}
    return {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **named}


def _convert_weights(head: GgufHead, target: Path) -> None:
    gguf = head.header.path
    try:
        import torch
        from transformers import CONFIG_MAPPING, AutoModelForCausalLM
    except ImportError as problem:
        raise MissingExtra("train", "Converting a GGUF file") from problem
    reading: Any = AutoModelForCausalLM
    bare = target / "bare.gguf"
    fields = config_fields(head)
    # Without it, transformers counts the tokens, which are no longer there.
    size_key = f"{head.architecture}.vocab_size"
    extra = {} if size_key in head.header.values else {size_key: len(head.facts.tokens)}
    write_without_tokenizer(head.header, bare, extra)
    config = CONFIG_MAPPING[fields.pop("model_type")](**fields)
    with _quiet_transformers():
        try:
            model, told = reading.from_pretrained(
                str(bare.parent),
                gguf_file=bare.name,
                config=config,
                dtype=torch.bfloat16,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
        except (ValueError, KeyError, RuntimeError, NotImplementedError, IndexError) as problem:
            raise BadInput(f"{gguf} ({head.architecture}) cannot be converted: {problem}") from problem
        missing = sorted(name for name in told["missing_keys"] if not _is_tied_head(name, model))
        if missing:
            raise BadInput(
                f"{gguf} lacks {len(missing)} of the weights of a {head.architecture}: {', '.join(missing[:3])}."
            )
        _check_all_used(head, model)
        # Saved with its quantisation, the folder would claim to hold GGUF blocks, and could not be read again.
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        for where in (model.config, model.generation_config):
            for key in ("bos_token_id", "eos_token_id"):
                setattr(where, key, head.facts.ids.get(key))
            where.pad_token_id = head.facts.ids.get("padding_token_id", head.facts.ids.get("eos_token_id"))
        model.save_pretrained(target, max_shard_size="1TB")
    bare.unlink()


def _is_tied_head(name: str, model: Any) -> bool:
    return name == "lm_head.weight" and bool(model.config.tie_word_embeddings)


def _check_all_used(head: GgufHead, model: Any) -> None:
    """Raise BadInput where the file holds weights that have no place in the model, which transformers leaves out."""
    used = set(map(known_names(head.architecture, model.config.num_hidden_layers), model.state_dict()))
    left = sorted(set(head.header.tensors) - used - {ROTARY_FACTORS})
    if left:
        raise BadInput(
            f"{head.header.path} holds {len(left)} weights that a {head.architecture} does not have in transformers: "
            f"{', '.join(left[:3])}. Give the model as safetensors (hf:org/name or a folder), or another base."
        )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    from transformers.utils import logging as any_logging

    logging: Any = any_logging
    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        # Reading GGUF draws a bar of its own, which the settings of the library do not reach.
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
