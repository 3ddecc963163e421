"""Examples as a language model is tuned on them: encoded in one prompt form, without those that do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metier.errors import NotEnoughData
from metier.students.base import LabelledTexts
from metier.students.lm.coding import Coder, coder_for
from metier.students.lm.parts import Encoded, PromptForm


@dataclass(frozen=True)
class Material:
    """The train and tune split as token ids; `kept` are the places in the train split that are in `train`."""

    train: tuple[Encoded, ...]
    tune: tuple[Encoded, ...]
    kept: tuple[int, ...]
    notes: tuple[str, ...]


def prepare(
    folder: Path, form: PromptForm, train: LabelledTexts, tune: LabelledTexts, max_tokens: int, max_output_tokens: int
) -> Material:
    """Encode both splits with the tokenizer in `folder`, and leave out examples with a longer prompt or answer.

    Raises NotEnoughData where nothing is left to learn from.
    """
    coder = coder_for(folder, form)
    learn, kept, notes = _fitting(coder, train, "train", max_tokens, max_output_tokens)
    check, _, more = _fitting(coder, tune, "tune", max_tokens, max_output_tokens)
    if not learn:
        raise NotEnoughData(
            f"none of {len(train):,} examples has a prompt of at most {max_tokens:,} tokens and an answer of at most "
            f"{max_output_tokens:,}. Raise max_tokens or max_output_tokens under [lm]."
        )
    return Material(tuple(learn), tuple(check), tuple(kept), (*notes, *more))


def _fitting(
    coder: Coder, texts: LabelledTexts, split: str, max_tokens: int, max_output_tokens: int
) -> tuple[list[Encoded], list[int], list[str]]:
    encoded = coder.encode(texts.inputs, texts.labels)
    long_prompt = {place for place, one in enumerate(encoded) if one.n_prompt > max_tokens}
    long_answer = {place for place, one in enumerate(encoded) if len(one.ids) - one.n_prompt > max_output_tokens}
    kept = [place for place in range(len(encoded)) if place not in long_prompt | long_answer]
    notes = [
        f"{len(places):,} of {len(encoded):,} {split} examples were left out: {what} of more than {limit:,} tokens"
        for places, what, limit in (
            (long_prompt, "a prompt", max_tokens),
            (long_answer - long_prompt, "an answer", max_output_tokens),
        )
        if places
    ]
    return [encoded[place] for place in kept], kept, notes
