"""Horizontal bars from zero, with intervals: bills line by line, savings at other prices, split sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from metier.pages.charts import axes, svg
from metier.pages.charts.axes import Form, drawable
from metier.pages.charts.svg import Size
from metier.pages.text import clip

_ROW, _NARROW_ROW, _HEADING = 26, 42, 30
_BAR = 14
_LABEL_WIDTH, _VALUE_WIDTH = 220, 110
_PIXELS_A_CHARACTER = 6.9
_BOTTOM = 46


@dataclass(frozen=True)
class Bar:
    """One bar. Bars of one `group` stand under its name, so that colour never tells alone."""

    label: str
    value: float
    shown: str
    low: float = math.nan
    high: float = math.nan
    role: str = "specialist"
    group: str = ""


def bar_chart(size: Size, bars: Sequence[Bar], *, form: Form, axis_label: str, label: str) -> Markup | None:
    """The chart, its height given by its bars; None where no value is finite. A bar that is not scored keeps its row."""
    if not any(drawable(bar.value) for bar in bars):
        return None
    start, end = (24, size.width - 30) if size.narrow else (_LABEL_WIDTH, size.width - _VALUE_WIDTH)
    values = [0.0, *(value for bar in bars for value in (bar.value, bar.low, bar.high))]
    axis = axes.linear(values, start + 6, end, n_ticks=max(2, int((end - start) // 90)))
    parts, y, group = list[Markup](), 6.0, ""
    for bar in bars:
        if bar.group and bar.group != group:
            group = bar.group
            parts.append(svg.text(clip(group, 60), 0, y + 18, class_="group-label"))
            y += _HEADING
        parts += _bar(bar, axis, y, size)
        y += _NARROW_ROW if size.narrow else _ROW
    grid = axes.horizontal(axis, form, axis_label, 6, y)
    zero = svg.line(axis.at(0), 6, axis.at(0), y, "zero")
    return svg.drawing(Size(size.width, int(y + _BOTTOM)), *grid, zero, *parts, label=label)


def _bar(bar: Bar, axis: axes.Axis, y: float, size: Size) -> list[Markup]:
    room = size.width - len(bar.shown) * _PIXELS_A_CHARACTER - 16 if size.narrow else _LABEL_WIDTH - 8
    name = clip(bar.label, max(6, int(room / _PIXELS_A_CHARACTER)))
    text_y, bar_y = (y + 13, y + 19) if size.narrow else (y + 17, y + 6)
    parts = [
        svg.text(name, 0, text_y, class_="row-label", full=bar.label),
        svg.text(bar.shown, size.width, text_y, anchor="end", class_="row-value"),
    ]
    if not drawable(bar.value):
        return parts
    left, right = sorted((axis.at(0), axis.at(bar.value)))
    parts.append(
        svg.element(
            "rect", x=left, y=bar_y, width=max(right - left, 1.0), height=_BAR, rx=1.5, class_=f"bar {bar.role}"
        )
    )
    if drawable(bar.low) and drawable(bar.high) and bar.high > bar.low:
        middle = bar_y + _BAR / 2
        ends = axis.at(bar.low), axis.at(bar.high)
        parts.append(svg.line(ends[0], middle, ends[1], middle, "whisker bar-range"))
        parts += [svg.line(x, middle - 4, x, middle + 4, "whisker bar-range") for x in ends]
    return parts
