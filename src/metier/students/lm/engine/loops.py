"""The run-time guard: a model that repeats itself is stopped long before the token limit."""

from __future__ import annotations

# An answer may rightly hold a few equal items in a row, or a line of dashes; six times and 96 characters it does not.
# Whatever is stopped here is degenerate by `metrics.generation` too: its last 15 characters occur four times or more.
_REPEATS = 6
_SPAN_CHARS = 96
_TAIL_CHARS = 15


def is_looping(text: str) -> bool:
    """Whether the end of `text` is one piece repeated six times or more without a break, over 96 characters or more."""
    if len(text) < _SPAN_CHARS:
        return False
    earlier = text.rfind(text[-_TAIL_CHARS:], 0, len(text) - 1)
    if earlier < 0:
        return False
    period = len(text) - _TAIL_CHARS - earlier
    span = max(_SPAN_CHARS, _REPEATS * period)
    return len(text) >= span and text[-span:-period] == text[-span + period :]
