"""Lines that many inputs share: instructions around the input, headings, the header of a table. They make no two inputs
alike, so near-duplicates are looked for in what remains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

# Lines are counted in so many inputs at most, spread evenly over all; below the fewest, what recurs may be chance.
_SAMPLE = 2_000
_FEWEST = 50
_SHARED = 0.2
# A text is compared whole where less than this remains of it.
_LEAST_CHARS = 40


def without_boilerplate(texts: Sequence[str]) -> list[str]:
    """Each text without the lines that a fifth of the texts hold."""
    if len(texts) < _FEWEST:
        return list(texts)
    sample = texts[:: -(-len(texts) // _SAMPLE)]
    counts = Counter(line for text in sample for line in set(text.splitlines()) if line.strip())
    shared = {line for line, n in counts.items() if n >= _SHARED * len(sample)}
    return [_stripped(text, shared) for text in texts] if shared else list(texts)


def _stripped(text: str, shared: set[str]) -> str:
    kept = "\n".join(line for line in text.splitlines() if line not in shared).strip()
    return kept if len(kept) >= _LEAST_CHARS else text
