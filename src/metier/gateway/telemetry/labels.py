"""Label values out of bounded sets, so that no client can make the number of time series grow."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from fnmatch import fnmatchcase

OTHER = "other"
NONE = "none"
# Which calls exist; the gateway names an endpoint by its path.
_ENDPOINTS = {
    path: name
    for name, short in {
        "chat": "chat/completions",
        "responses": "responses",
        "embeddings": "embeddings",
        "models": "models",
        "feedback": "feedback",
    }.items()
    for path in (f"/v1/{short}", f"/{short}", short, name)
}
# 0: no answer was sent. 499: the client hung up (nginx' habit). Others are shown by their class.
_STATUSES = frozenset({200, 201, 204, *range(400, 430), 431, 451, 499, 500, 501, 502, 503, 504, 529})
_CODE = re.compile(r"[a-z0-9_]{1,40}")
_MAX_CODES = 64
_MAX_REMEMBERED = 1024
_RELOAD_S = 1.0


def endpoint_label(endpoint: str) -> str:
    """chat, responses, embeddings, models, feedback, or other."""
    return _ENDPOINTS.get(endpoint, OTHER)


def status_label(status: int) -> str:
    """The HTTP status, or its class ("5xx") where it is not a common one; "none" where no answer was sent."""
    if status in _STATUSES:
        return str(status)
    if status == 0:
        return NONE
    return f"{status // 100}xx" if 100 <= status < 600 else OTHER


class KnownNames:
    """Names that may be labels, `*` as wildcard; `names` is asked again (at most once a second) when one is not known.

    A name that fits a wildcard is shown as the wildcard, any further name as "other".
    """

    def __init__(self, names: Callable[[], Collection[str]], clock: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._clock = clock
        self._load()

    def _load(self) -> None:
        names = self._names()
        self._patterns = tuple(name for name in names if "*" in name)
        self._labels = {name: name for name in names}
        self._loaded_at = self._clock()

    def label(self, name: str | None) -> str:
        """The label of a name; "none" where there is no name."""
        if name is None:
            return NONE
        found = self._labels.get(name)
        return found if found is not None else self._unknown(name)

    def _unknown(self, name: str) -> str:
        if self._clock() - self._loaded_at >= _RELOAD_S:
            self._load()
            if name in self._labels:
                return self._labels[name]
        label = next((pattern for pattern in self._patterns if fnmatchcase(name, pattern)), OTHER)
        # Names come from clients, so only some are remembered; the next reload forgets them.
        if label != OTHER and len(self._labels) < _MAX_REMEMBERED:
            self._labels[name] = label
        return label


class Codes:
    """Error codes, ours and upstreams': the first 64 that look like codes are shown, others as "other"."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def label(self, code: str) -> str:
        if code in self._seen:
            return code
        if len(self._seen) >= _MAX_CODES or not _CODE.fullmatch(code):
            return OTHER
        self._seen.add(code)
        return code
