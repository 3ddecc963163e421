"""What one HTTP exchange with an OpenAI-compatible server came to: an answer, or a failure of a named kind."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metier.generalists.protocol import FailureKind

# Error codes of refusals that some servers send as a 400 (OpenAI, Azure).
_REFUSAL_CODES = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"})
# How servers say that a prompt does not fit (OpenAI, vLLM, llama.cpp, Anthropic's compatible endpoint).
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_TOO_LONG = re.compile(r"context (?:length|window|size)|maximum context|prompt is too long", re.IGNORECASE)
_FORM_STATUS = frozenset({400, 422})
_PASSING_STATUS = frozenset({408, 409, 425})
# Signs of a server's words that are repeated.
_MOST_SAID = 300
_FATAL_STATUS = {
    401: "the server refused the key",
    402: "the account has no credit left",
    404: "the server does not know this model or address",
}


@dataclass(frozen=True)
class Reply:
    """Either `text` or `failure`. `passing`: asking again may help. `billed` False: the server charges nothing for it.
    `fatal` says why asking on, about anything, is pointless. `hit_limit`: the token limit ended the text. `bad_form`: the
    server refuses the request as it was written, so that writing it otherwise may help; `said` are its words for that."""

    text: str | None = None
    failure: FailureKind | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    passing: bool = False
    billed: bool = True
    wait_s: float | None = None
    fatal: str = ""
    hit_limit: bool = False
    bad_form: bool = False
    said: str = ""

    @property
    def final(self) -> bool:
        """Whether this is the model's own answer (a refusal too), which asking again would only buy twice."""
        return self.failure in (None, "refusal", "empty", "cut off")


def read_body(body: str) -> Reply:
    """Read the body of a 200. Anything that is not a chat completion is an "unreadable reply"."""
    unreadable = Reply(failure="unreadable reply", passing=True)
    try:
        completion = json.loads(body)
    except (ValueError, RecursionError):
        return unreadable
    choice = _first(completion.get("choices")) if isinstance(completion, dict) else None
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict):
        return unreadable
    usage = completion.get("usage")
    tokens = (_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    finish = choice.get("finish_reason")
    if message.get("refusal") or finish == "content_filter":
        return Reply(None, "refusal", *tokens)
    text = _text(message.get("content"))
    if text.strip():
        return Reply(text, None, *tokens, hit_limit=finish == "length")
    return Reply(None, "cut off" if finish == "length" else "empty", *tokens)


def read_status(status: int, code: str | None, message: str, wait_s: float | None, longest_wait_s: float) -> Reply:
    """Read a reply whose status is an error. `message` is the server's own, already free of secrets."""
    said = f" (HTTP {status}: {message[:_MOST_SAID]})"
    if status in _FATAL_STATUS:
        return Reply(failure="rejected", billed=False, fatal=_FATAL_STATUS[status] + said)
    if status == 429:
        fatal = ""
        if code == "insufficient_quota":
            fatal = "the account has no quota left" + said
        elif wait_s is not None and wait_s > longest_wait_s:
            fatal = f"the server asks to wait {wait_s:,.0f} s; run again then" + said
        return Reply(failure="rate limited", passing=True, billed=False, wait_s=wait_s, fatal=fatal)
    if status >= 500 or status in _PASSING_STATUS:
        return Reply(failure="server error", passing=True, billed=False, wait_s=wait_s)
    if code is not None and code.lower() in _REFUSAL_CODES:
        return Reply(failure="refusal", billed=False)
    if (code is not None and code.lower() in _TOO_LONG_CODES) or _TOO_LONG.search(message):
        return Reply(failure="too long", billed=False)
    return Reply(failure="rejected", billed=False, bad_form=status in _FORM_STATUS, said=message[:_MOST_SAID])


def _first(choices: object) -> dict[str, Any] | None:
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None


def _text(content: object) -> str:
    """Content is a string, or a list of parts of which the text ones count."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def _count(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
