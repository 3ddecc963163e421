"""Examples as a language model is tuned on them: encoded in one prompt form, without those that do not fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from metier.errors import NotEnoughData
from metier.students.base import LabelledTexts
from metier.students.lm.coding import Coder, coder_for
from metier.students.lm.parts import Encoded, PromptForm

# Added to twice the longest answer: where all are of a few tokens, a longer name must still find its place.
_ROOM = 16


@dataclass(frozen=True)
class Material:
    """The train and tune split as token ids; `kept` are the places in the train split that are in `train`, and
    `variants` what stands beside them in place of further passes, `variants_kept` their places."""

    train: tuple[Encoded, ...]
    tune: tuple[Encoded, ...]
    kept: tuple[int, ...]
    notes: tuple[str, ...]
    variants: tuple[Encoded, ...] = ()
    variants_kept: tuple[int, ...] = ()


@dataclass(frozen=True)
class Limits:
    """The most tokens of a prompt, of an answer with its end, and of both together."""

    prompt: int
    answer: int
    both: int


def prepare(
    folder: Path,
    form: PromptForm,
    train: LabelledTexts,
    tune: LabelledTexts,
    limits: Limits,
    variants: LabelledTexts | None = None,
) -> Material:
    """Encode both splits, and the train split's variants, with the tokenizer in `folder`; leave out what is too long.

    Raises NotEnoughData where nothing is left to learn from.
    """
    coder = coder_for(folder, form)
    learn, kept, notes = _fitting(coder, train, "train", limits)
    check, _, more = _fitting(coder, tune, "tune", limits)
    if not learn:
        raise NotEnoughData(
            f"none of {len(train):,} examples has a prompt of at most {limits.prompt:,} tokens and an answer of at most "
            f"{limits.answer:,}, both at most {limits.both:,}. Raise max_tokens or max_output_tokens under [lm], or take a "
            "base with a longer context."
        )
    varied: list[Encoded] = []
    varied_kept: list[int] = []
    if variants is not None and len(variants):
        varied, varied_kept, told = _fitting(coder, variants, "varied train", limits)
        more = [*more, *told]
    return Material(tuple(learn), tuple(check), tuple(kept), (*notes, *more), tuple(varied), tuple(varied_kept))


def answer_limit(material: Material, most: int) -> int:
    """Tokens that an answer may have at run time: twice the longest that was learnt from, and no more than `most`.

    What runs on beyond that is no answer of this task; each token of it would cost as much as one of an answer.
    """
    longest = max(len(one.ids) - one.n_prompt for one in (*material.train, *material.tune))
    return min(most, 2 * longest + _ROOM)


def _fitting(
    coder: Coder, texts: LabelledTexts, split: str, limits: Limits
) -> tuple[list[Encoded], list[int], list[str]]:
    encoded = coder.encode(texts.inputs, texts.labels)
    faults = [_fault(one, limits) for one in encoded]
    kept = [place for place, fault in enumerate(faults) if fault is None]
    notes = [
        f"{n:,} of {len(encoded):,} {split} examples were left out: {fault}"
        for fault, n in Counter(fault for fault in faults if fault is not None).items()
    ]
    return [encoded[place] for place in kept], kept, notes


def _fault(one: Encoded, limits: Limits) -> str | None:
    if one.n_prompt > limits.prompt:
        return f"a prompt of more than {limits.prompt:,} tokens"
    if len(one.ids) - one.n_prompt > limits.answer:
        return f"an answer of more than {limits.answer:,} tokens"
    return f"a prompt and answer of more than {limits.both:,} tokens" if len(one.ids) > limits.both else None
