"""Ids of traces."""

from __future__ import annotations

import os
from collections.abc import Iterator

_ID_BYTES = 16
_IDS_AT_ONCE = 256


def trace_ids() -> Iterator[str]:
    """ "mtr-" and 32 hexadecimal digits, without end. Nobody can guess one from others: which kept answers are audited is
    drawn by them. The system is asked for many at once, because a system call lets another thread take the interpreter."""
    n_digits = 2 * _ID_BYTES
    while True:
        digits = os.urandom(_ID_BYTES * _IDS_AT_ONCE).hex()
        for start in range(0, len(digits), n_digits):
            yield f"mtr-{digits[start : start + n_digits]}"
