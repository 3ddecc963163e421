"""A call's request as plain text: roles and texts of its messages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Prompt:
    """The messages of one request. `has_image` tells that some message holds more than text."""

    roles: tuple[str, ...]
    texts: tuple[str, ...]
    has_image: bool = False

    @property
    def n_chars(self) -> int:
        return sum(map(len, self.texts))


def read_prompt(messages: str | None) -> Prompt:
    """The prompt of a trace's `messages`; text that is not a list of messages is taken as one user message."""
    try:
        listed = orjson.loads(messages or "[]")
    except orjson.JSONDecodeError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(message, dict) for message in listed):
        return Prompt(("user",), (messages or "",))
    roles, texts, has_image = [], [], False
    for message in listed:
        text, image = _read_content(message.get("content"))
        roles.append(str(message.get("role") or "user"))
        texts.append(text)
        has_image = has_image or image
    return Prompt(tuple(roles), tuple(texts), has_image)


# The messages of a labelled chat by role; the text is None where the input stands.
Frame = tuple[tuple[str, str | None], ...]


def frame_of(prompt: Prompt) -> Frame:
    """What stands around the input of a labelled chat, which is its last user message."""
    said = [place for place, role in enumerate(prompt.roles) if role == "user"]
    last = said[-1] if said else len(prompt.roles) - 1
    return tuple(
        (role, None if place == last else text)
        for place, (role, text) in enumerate(zip(prompt.roles, prompt.texts, strict=True))
    )


def prompt_of(messages: object) -> Prompt | None:
    """The prompt of a request's list of messages, as `read_prompt` gives it once the request is a trace; None for what is
    no list of messages. `has_image` tells of any part that is no text."""
    if not isinstance(messages, list):
        return None
    roles, texts, has_image = [], [], False
    for message in messages:
        if type(message) is not dict:
            return None
        content, role = message.get("content"), message.get("role")
        if type(content) is not str:
            content, other = _request_content(content)
            has_image = has_image or other
        roles.append(role if type(role) is str and role else "user")
        texts.append(content)
    return Prompt(tuple(roles), tuple(texts), has_image)


def _request_content(content: object) -> tuple[str, bool]:
    """The text of a content that is no string, and whether there is more in it than text."""
    if content is None:
        return "", False
    if not isinstance(content, list):
        return "", True
    texts = [part.get("text") if isinstance(part, dict) else part for part in content]
    read = [text for text in texts if isinstance(text, str)]
    return "\n".join(read), len(read) < len(content)


def _read_content(content: Any) -> tuple[str, bool]:
    """The text of a message's content, which is a string or a list of typed parts, and whether an image came with it."""
    if isinstance(content, str):
        return content, False
    if not isinstance(content, list):
        return "", False
    parts = [part for part in content if isinstance(part, dict)]
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return "\n".join(texts), any("image" in str(part.get("type", "")) for part in parts)


def text_key(text: str) -> int:
    """A 64-bit hash of a text, the same in every process (Python's own hash of a string is not)."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def input_key(text: str) -> int:
    """The hash of a text without regard to case and white space."""
    return text_key(" ".join(text.casefold().split()))
