"""Inputs as they are stored, and the key by which two inputs are the same."""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = re.compile(r"['’ʼ`´]")
# Symbols that carry meaning ($, %, +, #, @, &, <, >, =, *) stay: "c++" is not "c#", "-5" is not "5".
_PUNCTUATION = re.compile(r"[.,!?;:\"“”„«»()\[\]{}…¿¡](?!\d)|(?<!\d)[.,:](?=\d)")
_SPACES = re.compile(r"\s+")


def clean(text: str) -> str:
    """`text` in Unicode NFC without outer white space or NUL characters."""
    return unicodedata.normalize("NFC", text.replace("\x00", "")).strip()


def duplicate_key(text: str) -> str:
    """What stays of `text` when case, white space, apostrophes and punctuation are disregarded.

    Two inputs with the same key are exact duplicates. A text that is all punctuation keeps it.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = _SPACES.sub(" ", _PUNCTUATION.sub(" ", _APOSTROPHES.sub("", folded))).strip()
    return bare or _SPACES.sub(" ", folded).strip()
