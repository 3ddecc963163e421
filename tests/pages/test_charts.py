"""Charts: scales put values where they belong, drawings are well-formed and hold only what is finite."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from metier.pages import figures
from metier.pages.charts import axes
from metier.pages.charts.bars import Bar, bar_chart
from metier.pages.charts.forest import Line, Row, forest_plot
from metier.pages.charts.lines import Point, Rule, Scale, Series, line_chart
from metier.pages.charts.svg import NARROW, WIDE, Size, marker, path

SVG = "{http://www.w3.org/2000/svg}"
NAN, INF = math.nan, math.inf
finite = st.floats(-1e12, 1e12)
wild = st.floats()
ATTACK = '</text><script>alert(1)</script>" onload="alert(2)'


def parsed(drawing: Markup | None) -> ET.Element:
    assert drawing is not None
    root = ET.fromstring(drawing)
    assert root.tag == f"{SVG}svg"
    return root


def texts(root: ET.Element) -> list[str]:
    return [item.text or "" for item in root.iter(f"{SVG}text")]


def coordinates(drawing: Markup) -> list[float]:
    return [float(number) for number in re.findall(r' (?:x|y|x1|x2|y1|y2|cx|cy|width|height)="([^"]*)"', drawing)]


def test_linear_ticks_are_round() -> None:
    axis = axes.linear([0.03, 0.97], 0, 100)
    assert axis.ticks == pytest.approx((0, 0.2, 0.4, 0.6, 0.8, 1.0))
    assert (axis.low, axis.high) == pytest.approx((0, 1))
    assert axis.at(0.25) == pytest.approx(25)


def test_logarithmic_ticks_are_decades() -> None:
    axis = axes.logarithmic([0.001, 10], 0, 100)
    assert axis.ticks == pytest.approx((0.001, 0.01, 0.1, 1, 10))
    assert axis.at(0.1) == pytest.approx(50, abs=0.5)


def test_logarithmic_axis_within_half_a_decade_has_ticks() -> None:
    assert len(axes.logarithmic([3.1, 3.3], 0, 100).ticks) >= 2


@given(st.lists(finite, min_size=1), st.floats(1, 1_000))
def test_values_stay_on_the_axis(values: list[float], end: float) -> None:
    axis = axes.linear(values, 0, end)
    assert all(0 <= axis.at(value) <= end + 1e-6 for value in values)
    assert all(axis.low - 1e-9 * abs(axis.low) <= tick <= axis.high + 1e-9 * abs(axis.high) for tick in axis.ticks)
    assert 1 <= len(axis.ticks) <= 9


def test_axis_does_not_pass_its_floor() -> None:
    axis = axes.linear([0.0, 0.0], 0, 100, floor=0.0, ceiling=1.0)
    assert axis.low == 0
    assert axis.high > 0


def test_line_chart_draws_what_is_finite() -> None:
    series = [
        Series("risk", "specialist", (Point(0.1, 0.01), Point(0.5, NAN), Point(0.9, 0.06)), form="steps"),
        Series("point", "neutral", (Point(0.8, 0.04, 0.03, 0.05, 0.78, 0.82),), form="dots"),
        Series("nothing", "frontier", (Point(NAN, NAN),), band=True),
    ]
    scale = Scale("x", figures.level)
    drawing = line_chart(WIDE, series, scale, scale, label="spoken", rules=[Rule(0.05, "α = 5%"), Rule(NAN, "gone")])
    root = parsed(drawing)
    assert root.get("aria-label") == "spoken"
    assert root.get("role") == "img"
    assert {"α = 5%", "risk", "point"} <= set(texts(root))
    assert not {"gone", "nothing"} & set(texts(root))


def test_steps_hold_each_value_back_to_the_one_before() -> None:
    series = [Series("s", "specialist", (Point(0, 0), Point(1, 1)), form="steps")]
    drawing = line_chart(Size(600, 300), series, Scale("", str), Scale("", str), label="")
    trace = next(item for item in parsed(drawing).iter(f"{SVG}path") if item.get("class") == "trace specialist")
    corners = [tuple(map(float, part.split())) for part in (trace.get("d") or "")[1:].split(" L")]
    assert len(corners) == 3
    assert corners[0][0] == corners[1][0]  # up first
    assert corners[1][1] == corners[2][1]  # then along


@pytest.mark.parametrize("size", [WIDE, NARROW])
@given(values=st.lists(st.tuples(wild, wild, wild, wild), max_size=6))
def test_no_number_breaks_a_chart(size: Size, values: list[tuple[float, float, float, float]]) -> None:
    rows = [Row("a", value, low, high, "shown") for value, low, high, _ in values]
    bars = [Bar("a", value, "shown", low, high) for value, low, high, _ in values]
    line = [Series("s", "specialist", tuple(Point(x, y, low, high) for x, y, low, high in values), band=True)]
    form = figures.significant
    for drawing in (
        forest_plot(size, rows, form=form, axis_label="", label="", lines=[Line(0.0, "zero")]),
        forest_plot(size, [row for row in rows if row.value > 0], form=form, axis_label="", label="", log=True),
        bar_chart(size, bars, form=form, axis_label="", label=""),
        line_chart(size, line, Scale("", form), Scale("", form), label=""),
        line_chart(size, line, Scale("", form, log=True), Scale("", form), label=""),
    ):
        if drawing is not None:
            parsed(drawing)
            assert all(math.isfinite(number) for number in coordinates(drawing))


def test_charts_of_nothing_are_none() -> None:
    form = figures.plain
    assert forest_plot(WIDE, [Row("a", NAN, NAN, NAN, "not scored")], form=form, axis_label="", label="") is None
    assert bar_chart(WIDE, [], form=form, axis_label="", label="") is None
    assert line_chart(WIDE, [], Scale("", form), Scale("", form), label="") is None


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_names_are_escaped_and_cut(size: Size) -> None:
    long = "x" * 400
    rows = [Row(ATTACK, 0.5, 0.4, 0.6, ATTACK), Row(long, 0.5, 0.4, 0.6, "shown")]
    root = parsed(
        forest_plot(size, rows, form=figures.level, axis_label=ATTACK, label=ATTACK, lines=[Line(0.5, ATTACK)])
    )
    assert not list(root.iter(f"{SVG}script"))
    assert root.get("onload") is None
    assert long in [item.text for item in root.iter(f"{SVG}title")]
    assert max(len(text) for text in texts(root) if text.startswith("x")) < 50


def test_shape_tells_the_role() -> None:
    shapes = {ET.fromstring(marker(0, 0, role)).tag for role in ("specialist", "frontier", "neutral")}
    assert shapes == {"circle", "rect", "path"}


def test_coordinates_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        path([(NAN, 0.0)])


def test_bars_start_at_zero_and_grow_either_way() -> None:
    bars = [Bar("up", 100.0, "100"), Bar("down", -50.0, "-50")]
    drawing = bar_chart(WIDE, bars, form=figures.usd, axis_label="", label="")
    boxes = list(parsed(drawing).iter(f"{SVG}rect"))
    up, down = ((float(box.get("x") or 0), float(box.get("width") or 0)) for box in boxes)
    assert up[0] == pytest.approx(down[0] + down[1], abs=0.02)
    assert up[1] == pytest.approx(2 * down[1], rel=0.01)


def test_bars_of_a_group_stand_under_its_name() -> None:
    bars = [Bar("a", 1.0, "1", group="one"), Bar("b", 1.0, "1", group="one"), Bar("c", 1.0, "1", group="two")]
    shown = texts(parsed(bar_chart(WIDE, bars, form=figures.plain, axis_label="", label="")))
    assert [text for text in shown if text in {"one", "two", "a", "b", "c"}] == ["one", "a", "b", "two", "c"]
