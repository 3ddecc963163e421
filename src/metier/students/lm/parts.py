"""What the parts of the language-model student hand to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from metier.students.base import EpochPoint

FloatArray = npt.NDArray[np.float64]
Finish = Literal["stop", "length", "loop", "too long"]


@dataclass(frozen=True)
class Base:
    """A pretrained model in Hugging Face layout: config.json, tokenizer.json, model.safetensors (bfloat16 or float32).

    `name` is what the world calls it, `source` what the user wrote, `sha256` that of the weights as they were found,
    `conditions` the licence's terms in a sentence with an address. `revision` is the commit of one from the hub, else "".
    """

    name: str
    source: str
    licence: str
    conditions: str
    sha256: str
    folder: Path
    revision: str = ""

    @property
    def named(self) -> str:
        """Its name, with the commit where there is one."""
        return f"{self.name} (commit {self.revision})" if self.revision else self.name


@dataclass(frozen=True)
class Trimmed:
    """A model whose vocabulary was cut, or left as it was (`mode` "keep"), in Hugging Face layout, with `reason`.

    Parameters are counted with tied matrices once. `kept` (n,) holds the base's id of every token, in the new order.
    """

    folder: Path
    mode: Literal["trim", "keep"]
    reason: str
    n_vocabulary_base: int
    n_vocabulary: int
    n_parameters_base: int
    n_parameters: int
    kept: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoded:
    """A prompt and its answer as token ids: the loss is on `ids[n_prompt:]`, which ends with the end-of-text token."""

    ids: tuple[int, ...]
    n_prompt: int


@dataclass(frozen=True)
class Tuned:
    """A model that was tuned: `folder` in Hugging Face layout, an adapter merged in; `adapter` (peft's layout) alone, where
    there is one. Losses in the curve are nats per answer token."""

    folder: Path
    adapter: Path | None
    curve: tuple[EpochPoint, ...]
    best_epoch: int
    wall_s: float
    examples_per_s: float
    tokens_per_s: float
    peak_memory_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Span:
    """A field of a record whose values are copied from the input, and how they lie there: `begins`, `ends`: where a line of
    it does; on at most so many `lines` (0: any number); in one of these `forms` (regular
    expressions; none: in any)."""

    field: str
    begins: bool = False
    ends: bool = False
    lines: int = 0
    forms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Constraint:
    """What an answer may be: anything, JSON that fits `schema`, or one of `labels`. The `copied` fields of the schema hold
    spans of the prompt's input (see `engine.copying`), where the prompt says which part of it is the input. `is_compact`:
    the JSON has no spaces after its commas and colons (see `notation`)."""

    schema: Mapping[str, Any] | None = None
    labels: tuple[str, ...] = ()
    copied: tuple[Span, ...] = ()
    is_compact: bool = False


@dataclass(frozen=True)
class Generated:
    """One answer. `logprobs` (n_output,) are the natural logarithms of the chosen tokens' probabilities, `pieces` their
    texts; `label_probabilities` (k,) in the order of the constraint's labels, renormalised over them, where there are any.
    `finish` "length": the token limit was reached; "loop": stopped by the guard; "too long": the prompt was not read."""

    text: str
    pieces: tuple[str, ...]
    logprobs: FloatArray
    finish: Finish
    n_input: int
    n_output: int
    latency_s: float
    label_probabilities: FloatArray | None = None


class Writer(Protocol):
    """Anything that writes answers to prompts: the served build, or the training-time model."""

    def write(
        self,
        prompts: Sequence[str],
        constraint: Constraint,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]:
        """One answer a prompt, in order. `temperature` 0 is greedy. Prompts are plain text, special tokens written out;
        those in the input of a `Prompt` are read as plain text."""
        ...


class Prompt(str):
    """A prompt that knows where its input lies, `[start:stop]`: what looks like a special token there is plain text.

    Any other operation of `str` gives a plain string, whose special tokens count wherever they stand.
    """

    start: int
    stop: int

    def __new__(cls, prefix: str, text: str, suffix: str) -> Prompt:
        self = super().__new__(cls, f"{prefix}{text}{suffix}")
        self.start, self.stop = len(prefix), len(prefix) + len(text)
        return self

    # A copy and a pickle are made from the three parts; typeshed knows only those of str.
    def __getnewargs__(self) -> tuple[str, str, str]:  # type: ignore[override]
        return self[: self.start], self[self.start : self.stop], self[self.stop :]


@dataclass(frozen=True)
class PromptForm:
    """How an input is written for the student: `prefix`, the input, `suffix`; then the answer follows, and `end`.

    The texts are the model's own special tokens written out where a chat template asks for them. `is_baked`: the frontier
    prompt's instructions are not in it.
    """

    prefix: str
    suffix: str
    end: str
    is_baked: bool
    notes: tuple[str, ...] = field(default=())

    def write(self, text: str) -> Prompt:
        """The whole prompt for an input."""
        return Prompt(self.prefix, text, self.suffix)
