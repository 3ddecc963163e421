"""Axes: from data to pixels, with round ticks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup

from metier.pages.charts import svg

Form = Callable[[float], str]
# Past these a double cannot be placed on a page any more; such values are left out like infinite ones.
_HUGE, _TINY = 1e15, 1e-15


def drawable(value: float, log: bool = False) -> bool:
    """Whether a value can be given a place: finite, of a sane size, and positive on a logarithmic axis."""
    return abs(value) <= _HUGE and (value >= _TINY or not log)


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic scale from [low, high] to [start, end] in pixels, with its ticks."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of `value`, held inside the axis."""
        low, high, here = (
            math.log10(item) if self.log else item for item in (self.low, self.high, self._inside(value))
        )
        return self.start + (here - low) / (high - low) * (self.end - self.start)

    def _inside(self, value: float) -> float:
        return min(max(value, self.low), self.high)


def linear(values: Iterable[float], start: float, end: float, *, n_ticks: int = 5, floor: float | None = None,
           ceiling: float | None = None) -> Axis:  # fmt: skip
    """An axis around the drawable `values`, widened to round ticks but never past `floor` and `ceiling`."""
    finite = [value for value in values if drawable(value)]
    low, high = min(finite), max(finite)
    if high - low < 1e-9 * max(1.0, abs(high)):
        margin = abs(high) * 0.1 or 1.0
        low, high = low - margin, high + margin
    step = _round_step((high - low) / n_ticks)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    low = low if floor is None else max(low, floor)
    high = high if ceiling is None else min(high, ceiling)
    first = math.ceil(low / step - 1e-9)
    ticks = tuple(k * step for k in range(first, math.floor(high / step + 1e-9) + 1))
    return Axis(low, high, start, end, ticks)


def logarithmic(values: Iterable[float], start: float, end: float, *, n_ticks: int = 6) -> Axis:
    """A base-10 axis around the drawable `values`, ticks at 1, 2, 5 times powers of ten as far as they fit."""
    finite = [value for value in values if drawable(value, log=True)]
    low, high = min(finite) * 0.8, max(finite) * 1.25
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(ticks) <= n_ticks:
            break
    else:
        ticks = ticks[:: math.ceil(len(ticks) / n_ticks)]
    if len(ticks) < 2:
        ticks = [tick for tick in linear((low, high), start, end, n_ticks=n_ticks).ticks if low <= tick <= high]
    return Axis(low, high, start, end, tuple(ticks), log=True)


def horizontal(axis: Axis, form: Form, label: str, top: float, bottom: float) -> list[Markup]:
    """Grid lines from `top` to `bottom`, tick labels and the axis label beneath."""
    parts = [svg.line(axis.at(tick), top, axis.at(tick), bottom, "grid") for tick in axis.ticks]
    parts += [svg.text(form(tick), axis.at(tick), bottom + 17, anchor="middle", class_="tick") for tick in axis.ticks]
    return [*parts, svg.text(label, axis.end, bottom + 36, anchor="end", class_="axis-label")]


def vertical(axis: Axis, form: Form, label: str, left: float, right: float, top: float) -> list[Markup]:
    """Grid lines from `left` to `right`, tick labels beside them, the axis label above at `top`."""
    parts = [svg.line(left, axis.at(tick), right, axis.at(tick), "grid") for tick in axis.ticks]
    parts += [svg.text(form(tick), left - 8, axis.at(tick) + 4, anchor="end", class_="tick") for tick in axis.ticks]
    return [*parts, svg.text(label, 0, top, class_="axis-label")]


def _round_step(raw: float) -> float:
    """The smallest of 1, 2, 2.5, 5, 10 times a power of ten that is at least `raw`."""
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= raw * (1 - 1e-9))
