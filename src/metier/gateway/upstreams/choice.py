"""Which upstreams a model's name leads to, and under which name they know it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from metier.gateway.upstreams.options import Options

_REMEMBERED_NAMES = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """`model` is the name to send where it differs from the one asked for, else None."""

    upstream: str
    model: str | None = None


class Choice:
    """An alias leads to its targets in order; another name to the upstreams that serve it, in the order of the settings;
    no name at all to every upstream."""

    def __init__(self, upstreams: Sequence[Options], aliases: Mapping[str, Sequence[str]]) -> None:
        self._aliases = {name: tuple(map(_target, targets)) for name, targets in aliases.items()}
        self._served = [(upstream.name, _pattern(upstream.models)) for upstream in upstreams]
        names = [*aliases, *(name for upstream in upstreams for name in upstream.models if "*" not in name)]
        self.model_names = tuple(dict.fromkeys(names))
        self.targets = lru_cache(maxsize=_REMEMBERED_NAMES)(self._targets)

    def _targets(self, model: str | None) -> tuple[Target, ...]:
        if model in self._aliases:
            return self._aliases[model]
        return tuple(
            Target(name)
            for name, pattern in self._served
            if model is None or pattern is None or pattern.fullmatch(model) is not None
        )


def _target(text: str) -> Target:
    upstream, _, model = text.partition("/")
    return Target(upstream, model)


def _pattern(globs: Sequence[str]) -> re.Pattern[str] | None:
    """None for any name. Only * is a wildcard: brackets and question marks stand for themselves."""
    if not globs:
        return None
    return re.compile("|".join(".*".join(map(re.escape, glob.split("*"))) for glob in globs), re.DOTALL)
