"""Writing out a base's chat template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from metier.errors import MetierError


class TemplateFails(MetierError):
    """A chat template that cannot write these messages; says why."""


def render(template: str, messages: list[dict[str, str]], specials: Mapping[str, str], *, for_answer: bool) -> str:
    """The messages as the template writes them; `for_answer` opens the assistant's turn after them.

    A template that refuses instructions of the system gets them at the head of the first user's message. The day's date is
    not given, so that the same prompt is written every day. Raises TemplateFails.
    """
    try:
        return _render(template, messages, specials, for_answer=for_answer)
    except TemplateFails:
        folded = _without_system(messages)
        if folded == messages:
            raise
        return _render(template, folded, specials, for_answer=for_answer)


def _render(template: str, messages: list[dict[str, str]], specials: Mapping[str, str], *, for_answer: bool) -> str:
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # As transformers renders them, so that the prompt is the one that the base was trained on.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    given: dict[str, Any] = {**specials, "messages": messages, "add_generation_prompt": for_answer, "tools": None}
    try:
        return environment.from_string(template).render(given, enable_thinking=False)
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise TemplateFails(str(error) or type(error).__name__) from error


def _refuse(message: str) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    said = [message["content"] for message in messages if message["role"] == "system"]
    rest = [dict(message) for message in messages if message["role"] != "system"]
    for message in rest:
        if message["role"] == "user":
            message["content"] = "\n\n".join([*said, message["content"]])
            return rest
    return [{"role": "user", "content": "\n\n".join(said)}, *rest]
