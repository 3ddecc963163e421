"""Lines with bands: learning curves, cumulative cost, coverage against risk (as steps)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from metier.pages.charts import axes, svg
from metier.pages.charts.axes import Axis, Form, drawable
from metier.pages.charts.svg import Size

_TICK_WIDTH = 68
_PIXELS_A_CHARACTER = 6.8
_LEGEND_ROW = 20


@dataclass(frozen=True)
class Point:
    """A position, with a vertical and a horizontal interval where there is one."""

    x: float
    y: float
    low: float = math.nan
    high: float = math.nan
    x_low: float = math.nan
    x_high: float = math.nan


@dataclass(frozen=True)
class Series:
    """Points of one thing. `role` (specialist, frontier, neutral, limit) gives colour, dash and mark; `form` says how the
    points are joined: line, dots (with whiskers), or steps (each value holds from its x back to the one before)."""

    name: str
    role: str
    points: tuple[Point, ...]
    form: str = "line"
    band: bool = False


@dataclass(frozen=True)
class Scale:
    """How an axis is named and numbered, and how far it may go."""

    label: str
    form: Form
    log: bool = False
    floor: float | None = None
    ceiling: float | None = None
    include: tuple[float, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A reference line at `value` across the chart (`along` x: horizontal at y = value; y: vertical at x = value)."""

    value: float
    label: str
    along: str = "x"
    role: str = "limit"


def line_chart(
    size: Size, series: Sequence[Series], x: Scale, y: Scale, *, label: str, rules: Sequence[Rule] = ()
) -> Markup | None:
    """The chart, or None where no point is finite."""
    shown = [_drawable(item, x.log) for item in series]
    shown = [item for item in shown if item.points]
    if not shown:
        return None
    rules = [rule for rule in rules if drawable(rule.value)]
    legend = _legend(shown, size)
    top = 34 + _LEGEND_ROW * legend.n_rows
    right, bottom = size.width - 16, size.height - 44
    y_axis = _axis(
        y, [point.y for item in shown for point in item.points] + _ends(shown) + _at(rules, "x"), bottom, top
    )
    left = 16 + _PIXELS_A_CHARACTER * max(len(y.form(tick)) for tick in y_axis.ticks)
    x_axis = _axis(
        x, [point.x for item in shown for point in item.points] + _sides(shown) + _at(rules, "y"), left, right
    )
    parts: list[Markup] = [
        *legend.parts,
        *axes.vertical(y_axis, y.form, y.label, left, right, top - 14),
        *axes.horizontal(x_axis, x.form, x.label, top, bottom),
    ]
    parts += [part for item in shown for part in _band(item, x_axis, y_axis)]
    parts += [part for rule in rules for part in _rule(rule, x_axis, y_axis)]
    parts += [part for item in shown for part in _trace(item, x_axis, y_axis)]
    return svg.drawing(size, *parts, label=label)


def _drawable(series: Series, log: bool) -> Series:
    points = tuple(point for point in series.points if drawable(point.x, log) and drawable(point.y))
    return Series(series.name, series.role, points, series.form, series.band)


def _axis(scale: Scale, values: Sequence[float], start: float, end: float) -> Axis:
    n_ticks = max(2, int(abs(end - start) // _TICK_WIDTH))
    if scale.log:
        return axes.logarithmic([*values, *scale.include], start, end, n_ticks=n_ticks)
    return axes.linear([*values, *scale.include], start, end, n_ticks=n_ticks, floor=scale.floor, ceiling=scale.ceiling)


def _ends(series: Sequence[Series]) -> list[float]:
    return [end for item in series for point in item.points for end in (point.low, point.high)]


def _sides(series: Sequence[Series]) -> list[float]:
    return [side for item in series for point in item.points for side in (point.x_low, point.x_high)]


def _at(rules: Sequence[Rule], along: str) -> list[float]:
    return [rule.value for rule in rules if rule.along == along]


def _band(series: Series, x_axis: Axis, y_axis: Axis) -> list[Markup]:
    points = [point for point in series.points if drawable(point.low) and drawable(point.high)]
    if not series.band or len(points) < 2:
        return []
    above = [(x_axis.at(point.x), y_axis.at(point.high)) for point in points]
    below = [(x_axis.at(point.x), y_axis.at(point.low)) for point in reversed(points)]
    return [svg.element("path", d=svg.path([*above, *below], closed=True), class_=f"band {series.role}")]


def _trace(series: Series, x_axis: Axis, y_axis: Axis) -> list[Markup]:
    spots = [(x_axis.at(point.x), y_axis.at(point.y)) for point in series.points]
    if series.form == "dots":
        whiskers = [part for point in series.points for part in _whiskers(point, series.role, x_axis, y_axis)]
        return [*whiskers, *(svg.marker(*spot, series.role) for spot in spots)]
    if series.form == "steps":
        spots = spots[:1] + [spot for before, after in pairwise(spots) for spot in ((before[0], after[1]), after)]
    return [svg.element("path", d=svg.path(spots), class_=f"trace {series.role}")]


def _whiskers(point: Point, role: str, x_axis: Axis, y_axis: Axis) -> list[Markup]:
    x, y = x_axis.at(point.x), y_axis.at(point.y)
    parts = []
    if drawable(point.low) and drawable(point.high):
        parts.append(svg.line(x, y_axis.at(point.low), x, y_axis.at(point.high), f"whisker {role}"))
    if drawable(point.x_low) and drawable(point.x_high):
        parts.append(svg.line(x_axis.at(point.x_low), y, x_axis.at(point.x_high), y, f"whisker {role}"))
    return parts


def _rule(rule: Rule, x_axis: Axis, y_axis: Axis) -> list[Markup]:
    if rule.along == "x":
        y = y_axis.at(rule.value)
        return [
            svg.line(x_axis.start, y, x_axis.end, y, f"rule {rule.role}"),
            svg.text(
                rule.label, x_axis.start + 6, y - 6 if y - y_axis.end > _LEGEND_ROW else y + 15, class_="rule-label"
            ),
        ]
    x = x_axis.at(rule.value)
    near_end = x > (x_axis.start + x_axis.end) / 2
    return [
        svg.line(x, y_axis.start, x, y_axis.end, f"rule {rule.role}"),
        svg.text(
            rule.label,
            x + (-6 if near_end else 6),
            y_axis.end + 14,
            anchor="end" if near_end else "start",
            class_="rule-label",
        ),
    ]


@dataclass(frozen=True)
class _Legend:
    parts: tuple[Markup, ...]
    n_rows: int


def _legend(series: Sequence[Series], size: Size) -> _Legend:
    """One row of names, or a row each where they do not fit. The width of a character errs wide."""
    widths = [34 + _PIXELS_A_CHARACTER * len(item.name) + 18 for item in series]
    in_rows = sum(widths) > size.width
    parts, x = [], 0.0
    for row, (item, width) in enumerate(zip(series, widths, strict=True)):
        y = 10.0 + (_LEGEND_ROW * row if in_rows else 0)
        parts += [_swatch(item, x, y), svg.text(item.name, x + 34, y + 4, class_="legend")]
        x += 0 if in_rows else width
    return _Legend(tuple(parts), len(series) if in_rows else 1)


def _swatch(series: Series, x: float, y: float) -> Markup:
    if series.form == "dots":
        return svg.marker(x + 13, y, series.role)
    return svg.line(x, y, x + 26, y, f"trace {series.role}")
