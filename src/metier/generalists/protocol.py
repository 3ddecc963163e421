"""Generalist, Question, GeneralistAnswer: what every frontier model looks like to the rest of metier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from metier.artefacts.tasks import OutputKind, Template
from metier.progress import Progress, silent

FailureKind = Literal[
    "not asked",  # the budget was reached, or nothing was recorded: in no score
    "timeout",
    "connection",
    "rate limited",
    "server error",
    "rejected",  # the server refuses this very request (400, 413, 422)
    "unreadable reply",  # a success by its status, but not a chat completion
    "refusal",
    "empty",
    "cut off",  # the token limit was reached before the answer was whole
    "too long",  # the prompt does not fit the model's context
    "not a label",
    "invalid",  # no JSON object that fits the schema
    "degenerate",  # the token limit was reached, repeating itself
]
NOT_ASKED: FailureKind = "not asked"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the generalist answered when the call was made, and what it took; None where the log does not say."""

    text: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_s: float | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One item to answer: with one of `labels`, with a record that fits `output_schema`, or with a text, as `kind` says.

    `template` is the prompt the task has in the traffic, None where it has none; `recorded` the answer that the traffic
    already holds; `shots` are worked examples (input, answer) to show before the item, those of the generalist where there
    are none. `instruction` says what to do with the input, in place of the task's prompt. `sample` numbers several answers
    to one question, which are bought one by one; `temperature` is that of the model's choice, None meaning its own.
    """

    id: str
    input: str
    labels: tuple[str, ...] = ()
    template: Template | None = None
    recorded: Recorded | None = None
    kind: OutputKind = OutputKind.LABEL
    output_schema: Mapping[str, Any] | None = None
    shots: tuple[tuple[str, str], ...] = ()
    instruction: str = ""
    sample: int = 0
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class GeneralistAnswer:
    """The answer to the question `id`: either `text` or a `failure`, never both.

    `cost_usd` is what the answer cost when it was bought, `cached` whether that was in an earlier run; `n_attempts` counts
    the requests it took. None where not known.
    """

    id: str
    text: str | None
    failure: FailureKind | None
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_s: float | None = None
    cost_usd: float | None = None
    cached: bool = False
    n_attempts: int = 1

    @property
    def asked(self) -> bool:
        return self.failure != NOT_ASKED


class Generalist(Protocol):
    """The frontier model: an OpenAI-compatible endpoint, a local GGUF model, recorded answers or a simulation."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def model(self) -> str:
        """The model's name at its maker, by which its list price is found; empty where it has none."""
        ...

    @property
    def condition(self) -> str:
        """Under what conditions `latency_s` was measured."""
        ...

    @property
    def caveat(self) -> str:
        """What a reader must know before trusting these answers; empty where there is nothing."""
        ...

    def answer(self, questions: Sequence[Question], *, progress: Progress = silent) -> list[GeneralistAnswer]:
        """One answer a question, in their order; what could not be answered says why in `failure`.

        A record comes as canonical JSON that fits the question's schema. A budget holds over all calls of one generalist.
        Raises GeneralistFailed when asking on is pointless (refused key, unknown model, unreachable server).
        """
        ...


def not_asked(question: Question) -> GeneralistAnswer:
    """The answer that was never bought."""
    return GeneralistAnswer(question.id, None, NOT_ASKED, n_attempts=0)


def sampled(question: Question, number: int) -> Question:
    """The question once more, as its sample `number` (from 0, which is the question itself), under an id of its own."""
    return replace(question, id=f"{question.id}#{number}", sample=number) if number else question


def item_of(question: Question) -> str:
    """The id of the item that a question is about, whichever sample it asks for."""
    return question.id.removesuffix(f"#{question.sample}") if question.sample else question.id
