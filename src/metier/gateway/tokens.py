"""Counts tokens from characters where nobody gives the number: for kept answers, and for streams without usage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

# English text in the vocabularies of OpenAI's models; https://help.openai.com/en/articles/4936856 gives the same rule.
CHARS_PER_TOKEN = 4.0
# Weight of the older calls in the running ratio: the last hundred or so decide.
_DECAY = 0.99
# A ratio is kept for that many models; names come from clients, and must not fill the memory.
_MAX_MODELS = 256


class TokenRatios:
    """Characters per token, per model, learnt from the answers that say how many tokens they took."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}

    def learn(self, model: str, chars: tuple[int, int], tokens: tuple[int, int]) -> None:
        """A call's (input, output) characters and tokens."""
        sums = self._sums.get(model)
        if sums is None:
            if len(self._sums) >= _MAX_MODELS:
                return
            # One call's worth of the rule of thumb to begin with: a first call of three characters must not decide.
            sums = self._sums[model] = [400.0, 100.0, 400.0, 100.0]
        for i, value in enumerate((chars[0], tokens[0], chars[1], tokens[1])):
            sums[i] = sums[i] * _DECAY + value

    def estimate(self, model: str | None, chars: tuple[int, int]) -> tuple[int, int]:
        """(input, output) tokens of a call with that many characters; at least 1 where there are any."""
        sums = self._sums.get(model or "")
        rates = (CHARS_PER_TOKEN, CHARS_PER_TOKEN) if sums is None else (sums[0] / sums[1], sums[2] / sums[3])
        return _tokens(chars[0], rates[0]), _tokens(chars[1], rates[1])


def _tokens(chars: int, per_token: float) -> int:
    return max(1, round(chars / per_token)) if chars else 0


def request_chars(request: Mapping[str, Any]) -> int:
    """Characters of what the model reads: the messages' texts, or `input`, and the tools; pictures do not count."""
    chars = 0
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            chars += _content_chars(message.get("content"))
    if (given := request.get("input")) is not None:
        chars += _content_chars(given)
    if isinstance(instructions := request.get("instructions"), str):
        chars += len(instructions)
    if tools := request.get("tools"):
        chars += len(orjson.dumps(tools))
    return chars


def _content_chars(content: object) -> int:
    if isinstance(content, str):
        return len(content)
    if not isinstance(content, list):
        return 0
    chars = 0
    for part in content:
        if isinstance(part, str):
            chars += len(part)
        elif isinstance(part, dict):
            text = part.get("text")
            chars += len(text) if isinstance(text, str) else _content_chars(part.get("content"))
    return chars
