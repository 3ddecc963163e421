"""The card of an adapter alone: README.md in its folder, enough to use it with peft and transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metier.students.exports import write_bytes
from metier.students.lm.exporting.cards import bulleted, fenced, front_matter


@dataclass(frozen=True)
class AdapterCard:
    """What the card of one adapter says.

    `order` holds every adapter of the specialist as (folder's name, what it was learnt from), in the order in which they
    were learnt; `name` is this one's folder. `base` is what transformers' `from_pretrained` takes, a name on the hub where
    `is_public`, `revision` the commit there where it is known, `gguf_file` its file where the base is one; `base_note` is
    a sentence on how it differs from what was tuned, or empty. `purpose` are whole paragraphs of Markdown. A prompt is
    `prefix`, the input, `suffix`; the answer ends with the token `end` or after `max_tokens`. `measured` are sentences.
    """

    title: str
    name: str
    order: Sequence[tuple[str, str]]
    base: str
    is_public: bool
    base_sha256: str
    licence: str
    conditions: str
    purpose: Sequence[str]
    prefix: str
    suffix: str
    end: str
    max_tokens: int
    measured: Sequence[str] = ()
    gguf_file: str = ""
    revision: str = ""
    base_note: str = ""


def write_adapter_card(folder: Path, card: AdapterCard) -> Path:
    """Write `folder`/README.md, at once or not at all; its path."""
    path = folder / "README.md"
    write_bytes(path, adapter_card_text(card).encode())
    return path


def adapter_card_text(card: AdapterCard) -> str:
    """The card as Markdown with front matter."""
    base = f"{card.gguf_file} in {card.base}" if card.gguf_file else card.base
    front = front_matter(
        card.base if card.is_public else "",
        card.licence,
        library_name="peft",
        tags=["metier", "specialist", "lora"],
        **({"base_model_relation": "adapter"} if card.is_public else {}),
    )
    parts = [
        front,
        f"# {card.title}: {card.name}",
        "Low-rank changes (LoRA, in peft's layout) that make a specialist of a language model, tuned for one job with "
        "metier. They change the layers alone, no embedding: they fit the base with its whole vocabulary and its own "
        "tokenizer.",
        f"Base model: {base}, whose weights have the SHA-256 {card.base_sha256}. {card.base_note}".rstrip(),
        f"The base's licence, which holds for what is made from it too: {card.licence}. {card.conditions}".rstrip(),
        f"## Order\n\n{_order(card)}",
        "## How to use it\n\nWith peft and transformers (4.56 or newer), in the folder that holds the folder "
        f"`{card.order[0][0]}`:\n\n{fenced(_code(card), 'python')}",
        "\n\n".join(["## What it was tuned for", *card.purpose]),
    ]
    if card.measured:
        parts.append("## How good it is\n\nThe specialist, as metier asks it:\n\n" + bulleted(card.measured))
    return "\n\n".join(parts) + "\n"


def _order(card: AdapterCard) -> str:
    if len(card.order) == 1:
        return "There is no other: the specialist is this adapter on its base."
    rows = "\n".join(f"{place}. `{name}`: {told}" for place, (name, told) in enumerate(card.order, start=1))
    place = [name for name, _ in card.order].index(card.name) + 1
    return (
        f"This is number {place} of {len(card.order)}. Each was learnt on the model that those before it had made; the "
        f"specialist is all of them, one after another on the base:\n\n{rows}"
    )


def _code(card: AdapterCard) -> str:
    which = {"gguf_file": card.gguf_file, "revision": card.revision}
    exact = "".join(f", {key}={value!r}" for key, value in which.items() if value)
    return f"""import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {card.base!r}
adapters = {[name for name, _ in card.order]!r}

tokenizer = AutoTokenizer.from_pretrained(base{exact})
model = AutoModelForCausalLM.from_pretrained(base{exact}, dtype=torch.float32)
for adapter in adapters:
    model = PeftModel.from_pretrained(model, adapter).merge_and_unload()


def answer(text):
    prompt = {card.prefix!r} + text + {card.suffix!r}
    read = tokenizer(prompt, return_tensors="pt")
    written = model.generate(
        read.input_ids,
        attention_mask=read.attention_mask,
        max_new_tokens={card.max_tokens},
        do_sample=False,
        eos_token_id=tokenizer.convert_tokens_to_ids({card.end!r}),
    )
    return tokenizer.decode(written[0, read.input_ids.shape[1] :], skip_special_tokens=True)"""
