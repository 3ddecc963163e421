"""The messages of a question: the user's own prompt, else the task's own as recorded in the traffic, else a plain one."""

from __future__ import annotations

import re

from metier.artefacts.tasks import Task, Template
from metier.generalists.protocol import Question

Message = dict[str, str]

DEFAULT_INSTRUCTION = (
    "Classify the text that the user sends. Answer with exactly one of these labels, written as here, and nothing else:\n"
    "{labels}"
)
_FIELDS = re.compile(r"\{(input|labels)\}")


def messages_for(question: Question, prompt: str = "") -> list[Message]:
    """OpenAI chat messages. `prompt` may hold `{input}` and `{labels}`; without `{input}` it is a system instruction and
    the input follows as the user's message. An empty prompt means the question's template, else DEFAULT_INSTRUCTION."""
    if prompt:
        return _from_prompt(prompt, question)
    if question.template is not None:
        filled = fill(question.template, question.input)
        if filled is not None:
            return filled
    return _from_prompt(DEFAULT_INSTRUCTION, question)


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


def _from_prompt(prompt: str, question: Question) -> list[Message]:
    values = {"input": question.input, "labels": "\n".join(question.labels)}
    # One pass, so that an input which happens to hold "{labels}" stays as it is.
    text = _FIELDS.sub(lambda match: values[match[1]], prompt)
    if "{input}" in prompt:
        return [{"role": "user", "content": text}]
    return [{"role": "system", "content": text}, {"role": "user", "content": question.input}]


def _n_slots(template: Template) -> int:
    return sum(max(len(message.literals) - 1, 0) for message in template.messages)


def _has_instructions(template: Template) -> bool:
    return any(literal.strip() for message in template.messages for literal in message.literals)
