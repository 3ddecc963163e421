"""The same intent job, called by programs that want structured answers: a JSON object, or a call of a tool."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from metier.labs.answers import label_answer
from metier.labs.jobs import Call
from metier.labs.messages import Habit, labels, write_message
from metier.labs.prompts import Wording
from metier.labs.support_phrases import OTHER

TOOL_NAME = "assign_topic"
# Share of JSON answers in a code fence, which models put around JSON that they were not forced to give bare.
_FENCED = 0.02


@dataclass(frozen=True)
class _Structure:
    """A wording, what the request demands, and how the answer is written around the label."""

    wording: Wording
    parameters: dict[str, Any]
    answer: str
    tool: str | None = None


def structured_intent_call(rng: Random, habit: Habit, difficulty: float) -> Call:
    """A customer's message and its label, as a JSON object or as a call of the tool assign_topic."""
    message = write_message(rng, habit, difficulty)
    structures = _structures()
    structure = structures[int(rng.random() * len(structures))]
    label = label_answer(message, rng)
    answer = structure.answer.replace("LABEL", label.replace('"', '\\"'))
    if structure.tool is None and rng.random() < _FENCED:
        answer = f"```json\n{answer}\n```"
    parameters = {"temperature": 0, **structure.parameters}
    return Call(
        "intent", structure.wording.messages(message.text), answer, message.truth, parameters, label, structure.tool
    )


@lru_cache(maxsize=1)
def _structures() -> tuple[_Structure, ...]:
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(labels())}},
        "required": ["label"],
        "additionalProperties": False,
    }
    names = ", ".join(labels())
    tool = {"type": "function", "function": {"name": TOOL_NAME, "description": "Sends it on.", "parameters": schema}}
    return (
        _Structure(
            Wording(
                "You are the sorting step of Halden's ticket pipeline. Answer with a JSON object that has one key, label."
                f" If there are several requests, the first open one counts; {OTHER} is for everything that is not for us."
                f"\nAllowed labels: {names}",
                "",
                "",
            ),
            {"response_format": {"type": "json_object"}},
            '{"label": "LABEL"}',
        ),
        _Structure(
            Wording(
                f"Call {TOOL_NAME} with the topic of the customer's message, once, and write nothing. The first open"
                f" request decides; topics are {names}.",
                "Customer's message:\n",
                "",
            ),
            {
                "tools": [tool],
                "tool_choice": {"type": "function", "function": {"name": TOOL_NAME}},
            },
            '{"label":"LABEL"}',
            TOOL_NAME,
        ),
    )
