"""Log lines about callers that were turned away: a few, however many try. Never a key, at most its id."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY_S = 10.0
_MAX_REMEMBERED = 1000
_log = logging.getLogger(__name__)


class RefusalLog:
    """One line in ten seconds for each reason and key, which counts the refusals since the line before."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lines: dict[tuple[str, str | None], tuple[float, int]] = {}

    def __call__(self, reason: str, key_id: str | None) -> None:
        now = self._monotonic()
        began, n = self._lines.get((reason, key_id), (-EVERY_S, 0))
        if now - began < EVERY_S:
            self._lines[reason, key_id] = (began, n + 1)
            return
        if len(self._lines) >= _MAX_REMEMBERED:
            self._lines.clear()
        self._lines[reason, key_id] = (now, 0)
        key = "" if key_id is None else f" key={key_id}"
        _log.warning("call refused: reason=%s%s n=%d", reason, key, n + 1)
