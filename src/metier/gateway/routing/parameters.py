"""Which demands of a request a specialist can honour: an answer, written once, as the prompt asked for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from metier.artefacts.tasks import OutputKind
from metier.gateway.calls import Written

# What cannot change which label is right nor how it is written: addressing, sampling, book-keeping, effort. A new field
# of the API is not in here, so it escalates until someone has looked at it.
HARMLESS = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "repetition_penalty",
        "user",
        "safety_identifier",
        "metadata",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "reasoning",
        "verbosity",
        "parallel_tool_calls",
    }
)
# Looked at when the answer is there, or by the form in which it has to be written.
OF_THE_ANSWER = frozenset({"stop", "max_tokens", "max_completion_tokens", "response_format", "tools", "tool_choice"})


def _is_absent(value: object) -> bool:
    return not value


# Fields that change nothing with these values only.
HARMLESS_VALUES: dict[str, Callable[[Any], bool]] = {
    "n": lambda value: value is None or (value == 1 and not isinstance(value, bool)),
    "logprobs": _is_absent,
    "top_logprobs": _is_absent,
    "logit_bias": _is_absent,
    "modalities": lambda value: value is None or value == ["text"],
    "audio": _is_absent,
    "prediction": _is_absent,
    "functions": _is_absent,
    "function_call": lambda value: value in (None, "none", "auto"),
    "web_search_options": lambda value: value is None,
    # The client wants to find the answer again at the upstream, which never sees a kept call.
    "store": _is_absent,
}

# Fields that change what a text says, with the values that do not: how long it shall be.
_OF_TEXTS: dict[str, tuple[str | None, ...]] = {"verbosity": (None, "medium")}

# A run of letters or digits of a common word is a token or two; this reads a token in every three characters of a run, in
# every other sign and in every character beyond Latin-1, so it counts too many rather than too few.
_TOKEN = re.compile(r"[A-Za-z0-9\u00c0-\u00ff]{1,3}|[^\sA-Za-z0-9\u00c0-\u00ff]|\s+")
_CALL_TOKENS = 10  # the name's own and the envelope of a tool call


def refused_parameter(request: Mapping[str, Any], kind: OutputKind = OutputKind.LABEL) -> str | None:
    """The first field of a chat request that a specialist cannot honour, whatever it answers; None where it can all."""
    for name, value in request.items():
        if name in _OF_TEXTS and kind is OutputKind.TEXT:
            if value not in _OF_TEXTS[name]:
                return name
            continue
        if name in HARMLESS or name in OF_THE_ANSWER:
            continue
        is_harmless = HARMLESS_VALUES.get(name)
        if is_harmless is None or not is_harmless(value):
            return name
    return None


def refused_by_answer(written: Written, request: Mapping[str, Any]) -> str | None:
    """The field that would cut this answer short: a stop string within it, or too few tokens allowed; None where none."""
    texts = [text for text in (written.content, written.tool_name, written.arguments) if text]
    stop = request.get("stop")
    if stop:
        stops = [stop] if isinstance(stop, str) else stop
        if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
            return "stop"
        if any(one in text for one in stops if one for text in texts):
            return "stop"
    for name in ("max_tokens", "max_completion_tokens"):
        limit = request.get(name)
        if limit is None:
            continue
        if type(limit) is not int or limit < _tokens_at_most(written, texts):
            return name
    return None


def _tokens_at_most(written: Written, texts: list[str]) -> int:
    return sum(len(_TOKEN.findall(text)) for text in texts) + (_CALL_TOKENS if written.tool_name is not None else 0)
