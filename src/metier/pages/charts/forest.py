"""Estimates with their intervals, a row each: accuracies, and differences against the margin line (a forest plot)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from metier.pages.charts import axes, svg
from metier.pages.charts.axes import Form, drawable
from metier.pages.charts.svg import Size
from metier.pages.text import clip

_WIDE_ROW, _NARROW_ROW = 34, 46
_LABEL_WIDTH, _VALUE_WIDTH = 190, 150
_PIXELS_A_CHARACTER = 6.9
_BOTTOM = 46


@dataclass(frozen=True)
class Row:
    """One estimate; `shown` is its figure in words. `role` gives colour and mark. NaN is left out but keeps its row."""

    label: str
    value: float
    low: float
    high: float
    shown: str
    role: str = "specialist"


@dataclass(frozen=True)
class Line:
    """A vertical reference line with its name."""

    value: float
    label: str
    role: str = "limit"


def forest_plot(
    size: Size,
    rows: Sequence[Row],
    *,
    form: Form,
    axis_label: str,
    label: str,
    lines: Sequence[Line] = (),
    log: bool = False,
) -> Markup | None:
    """The plot, its height given by its rows; None where no value is finite. Beyond [low, high] nothing is drawn."""
    lines = [line for line in lines if drawable(line.value)]
    if not any(drawable(row.value, log) for row in rows):
        return None
    row_height = _NARROW_ROW if size.narrow else _WIDE_ROW
    top = 12.0 + 18 * len(lines)
    bottom = top + row_height * len(rows)
    start, end = (22, size.width - 22) if size.narrow else (_LABEL_WIDTH, size.width - _VALUE_WIDTH)
    values = [end for row in rows for end in (row.value, row.low, row.high)] + [line.value for line in lines]
    n_ticks = max(2, int((end - start) // 76))
    make = axes.logarithmic if log else axes.linear
    axis = make(values, start, end, n_ticks=n_ticks)
    parts = axes.horizontal(axis, form, axis_label, top, bottom)
    for index, line in enumerate(lines):
        parts += _line(line, axis, 12.0 + 18 * index, bottom)
    for index, row in enumerate(rows):
        parts += _row(row, axis, top + row_height * index, size)
    return svg.drawing(Size(size.width, int(bottom + _BOTTOM)), *parts, label=label)


def _line(line: Line, axis: axes.Axis, y: float, bottom: float) -> list[Markup]:
    x = axis.at(line.value)
    near_end = x > (axis.start + axis.end) / 2
    side = "end" if near_end else "start"
    return [
        svg.line(x, y - 8, x, bottom, f"rule {line.role}"),
        svg.text(line.label, x + (-6 if near_end else 6), y, anchor=side, class_="rule-label"),
    ]


def _row(row: Row, axis: axes.Axis, y: float, size: Size) -> list[Markup]:
    room = size.width - len(row.shown) * _PIXELS_A_CHARACTER - 16 if size.narrow else _LABEL_WIDTH - 14
    name = clip(row.label, max(6, int(room / _PIXELS_A_CHARACTER)))
    if size.narrow:
        middle = y + 32
        words = [svg.text(name, 0, y + 16, class_="row-label", full=row.label)]
        words.append(svg.text(row.shown, size.width, y + 16, anchor="end", class_="row-value"))
    else:
        middle = y + _WIDE_ROW / 2
        words = [svg.text(name, 0, middle + 4, class_="row-label", full=row.label)]
        words.append(svg.text(row.shown, size.width, middle + 4, anchor="end", class_="row-value"))
    return [*words, *_mark(row, axis, middle)]


def _mark(row: Row, axis: axes.Axis, y: float) -> list[Markup]:
    if not drawable(row.value, axis.log):
        return []
    low, high = (bound if not math.isnan(bound) else row.value for bound in (row.low, row.high))
    x_low, x_high = axis.at(low), axis.at(high)
    caps = [svg.line(x, y - 5, x, y + 5, f"whisker {row.role}") for x in (x_low, x_high)]
    return [svg.line(x_low, y, x_high, y, f"whisker {row.role}"), *caps, svg.marker(axis.at(row.value), y, row.role)]
