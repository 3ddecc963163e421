"""Prompts as token ids: special tokens count in the frame of a prompt, never in the input that somebody sent."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from metier.students.lm.parts import Prompt

Run = tuple[str, bool]


def runs_of(prompt: str, specials: Collection[str]) -> list[Run]:
    """The prompt cut at the special tokens that count: (text, whether it is a special token), none empty.

    The input of a `Prompt` is one piece with the plain text around it, so that plain inputs get the very tokens that the
    whole text would get. In any other string special tokens count wherever they stand.
    """
    start, stop = (prompt.start, prompt.stop) if isinstance(prompt, Prompt) else (len(prompt), len(prompt))
    before, after = _cut(str(prompt[:start]), specials), _cut(str(prompt[stop:]), specials)
    tail = before.pop()[0] if before and not before[-1][1] else ""
    head = after.pop(0)[0] if after and not after[0][1] else ""
    middle = f"{tail}{prompt[start:stop]}{head}"
    return [*before, *([(middle, False)] if middle else []), *after]


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """A prompt's ids with a `tokenizers.Tokenizer`, the beginning-of-text token first where the model wants one."""
    specials = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    ids: list[int] = list(tokenizer.encode("", add_special_tokens=True).ids)
    for text, is_special in runs_of(prompt, specials):
        ids += [tokenizer.token_to_id(text)] if is_special else encode_text(tokenizer, text)
    return ids


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """The ids of plain text: an answer, an input. What looks like a special token in it is plain text too.

    From here on the tokenizer reads special tokens in no text.
    """
    tokenizer.encode_special_tokens = True
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def _cut(text: str, specials: Collection[str]) -> list[Run]:
    if not specials:
        return [(text, False)] if text else []
    # The longest first: one special token's text may begin with another's.
    pattern = "|".join(re.escape(special) for special in sorted(specials, key=len, reverse=True))
    pieces = re.split(f"({pattern})", text)
    return [(piece, odd % 2 == 1) for odd, piece in enumerate(pieces) if piece]
