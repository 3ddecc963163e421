"""The messages of a question: the user's own prompt, else the task's own as recorded in the traffic, else a plain one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from metier.artefacts.tasks import OutputKind, Task, Template
from metier.generalists.protocol import Question
from metier.generalists.shots import Shot

Message = dict[str, str]

DEFAULT_INSTRUCTION = (
    "Classify the text that the user sends. Answer with exactly one of these labels, written as here, and nothing else:\n"
    "{labels}"
)
FIELDS_INSTRUCTION = (
    "Read the text that the user sends. Answer with one JSON object that fits this JSON Schema, and nothing else. Copy "
    "values as they are written in the text; leave a key out where the text does not give it and the schema does not "
    "require it.\n{schema}"
)
TEXT_INSTRUCTION = "Write the answer to the text that the user sends, and nothing else."
TEXT_BY_EXAMPLE_INSTRUCTION = (
    "Answer the text that the user sends in the way in which the texts before it were answered: same kind of content, same "
    "form, about the same length. Write the answer and nothing else."
)
_PLACES = re.compile(r"\{(input|labels|schema)\}")


def messages_for(question: Question, prompt: str = "", shots: Sequence[Shot] = ()) -> list[Message]:
    """OpenAI chat messages, with the worked examples as earlier turns of the same form.

    The question's own `instruction` comes first, then `prompt`, then the question's template, then a plain instruction for
    its kind. `prompt` may hold `{input}`, `{labels}` and `{schema}`; without `{input}` it is a system instruction and the
    input follows as the user's message. `shots` are used where the question has none, and neither where it has an
    instruction of its own.
    """
    shown = () if question.instruction else question.shots or tuple(shots)
    messages = _written(question, prompt, question.input, bool(shown))
    if not shown:
        return messages
    # What comes before the input's message is said once; the rest is every turn's.
    head = next((place for place, message in enumerate(messages) if message["role"] == "user"), 0)
    turns = []
    for text, answer in shown:
        turns += [*_written(question, prompt, text, True)[head:], {"role": "assistant", "content": answer}]
    return [*messages[:head], *turns, *messages[head:]]


def task_template(task: Task | None) -> Template | None:
    """The task's most frequent prompt that holds instructions and one slot for the input; None where it has none.

    Prompts with several slots are left aside: the examples keep only the joined text, which cannot be parted for certain.
    """
    if task is None:
        return None
    usable = [template for template in task.templates if _n_slots(template) == 1 and _has_instructions(template)]
    return max(usable, key=lambda template: template.n_calls, default=None)


def fill(template: Template, text: str) -> list[Message] | None:
    """The template's messages with `text` in its slot; None where it has not exactly one."""
    if _n_slots(template) != 1:
        return None
    return [{"role": message.role, "content": text.join(message.literals)} for message in template.messages]


def _written(question: Question, prompt: str, text: str, has_shots: bool) -> list[Message]:
    """The messages about one text, without worked examples."""
    if question.instruction:
        return _from_prompt(question.instruction, question, text)
    if prompt:
        return _from_prompt(prompt, question, text)
    if question.template is not None:
        filled = fill(question.template, text)
        if filled is not None:
            return filled
    return _from_prompt(_plain(question.kind, has_shots), question, text)


def _plain(kind: OutputKind, has_shots: bool) -> str:
    if kind is OutputKind.FIELDS:
        return FIELDS_INSTRUCTION
    if kind is OutputKind.LABEL:
        return DEFAULT_INSTRUCTION
    return TEXT_BY_EXAMPLE_INSTRUCTION if has_shots else TEXT_INSTRUCTION


def _from_prompt(prompt: str, question: Question, text: str) -> list[Message]:
    values = {
        "input": text,
        "labels": "\n".join(question.labels),
        "schema": json.dumps(question.output_schema or {}, ensure_ascii=False),
    }
    # One pass, so that an input which happens to hold "{labels}" stays as it is.
    content = _PLACES.sub(lambda match: values[match[1]], prompt)
    if "{input}" in prompt:
        return [{"role": "user", "content": content}]
    return [{"role": "system", "content": content}, {"role": "user", "content": text}]


def _n_slots(template: Template) -> int:
    return sum(max(len(message.literals) - 1, 0) for message in template.messages)


def _has_instructions(template: Template) -> bool:
    return any(literal.strip() for message in template.messages for literal in message.literals)
