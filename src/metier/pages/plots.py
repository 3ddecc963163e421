"""Which numbers become which chart: every figure of the report with its caption and the table of what it draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from metier.artefacts.economics import Economics
from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import CandidateScore, Comparison
from metier.artefacts.policies import Policy
from metier.pages import figures, words
from metier.pages.charts.bars import Bar, bar_chart
from metier.pages.charts.forest import Line, Row, forest_plot
from metier.pages.charts.lines import Point, Rule, Scale, Series, line_chart
from metier.pages.charts.svg import NARROW, WIDE, Size
from metier.pages.content import DataSummary, Quality, SpecialistSummary
from metier.pages.tables import Table, pair
from metier.pages.text import clip

Draw = Callable[[Size], Markup | None]


@dataclass(frozen=True)
class Plot:
    """A chart in both widths (None where nothing was scored), what it says, and its numbers."""

    title: str
    caption: str
    wide: Markup | None
    narrow: Markup | None
    table: Table


def accuracy_plot(quality: Quality) -> Plot:
    """Every candidate's accuracy with its interval."""
    word = "Agreement with the teacher" if quality.basis == "teacher" else words.right(quality.kind).capitalize()
    items = [item for item in quality.candidates if item.accuracy.scored]
    rows = [_estimate_row(item.name, item.accuracy, figures.percent, _role(item)) for item in items]

    def draw(size: Size) -> Markup | None:
        axis = f"{word.lower()} on {quality.n_judged or quality.n_test:,} test items"
        return forest_plot(
            size, rows, form=lambda value: figures.level(value), axis_label=axis, label=_spoken(word, rows)
        )

    table = tuple(_estimate_cells(item.name, item.accuracy, figures.percent) for item in items)
    caption = "Mark: estimate (circle: specialist, square: generalist). Line: interval. Axis does not start at zero."
    return _plot(word, caption, draw, ("candidate", word.lower(), "interval", "n", "method"), table)


def difference_plot(quality: Quality) -> Plot:
    """The forest plot: specialist minus generalist, against no difference and against the margin."""
    rows = [_estimate_row(pair(item), item.difference, figures.points, "specialist") for item in quality.comparisons]
    margins = sorted({item.margin for item in quality.comparisons})
    lines = [Line(-margin, f"margin {figures.points(-margin)}") for margin in margins] + [
        Line(0.0, "no difference", "zero-rule")
    ]

    def draw(size: Size) -> Markup | None:
        return forest_plot(
            size,
            rows,
            form=figures.points,
            axis_label="difference in points; right: specialist better",
            label=_spoken("Difference in accuracy, percentage points", rows),
            lines=lines,
        )

    table = tuple(_difference_cells(item) for item in quality.comparisons)
    caption = (
        "A specialist whose whole interval lies right of the margin line is non-inferior; right of zero, superior. The "
        "test that decides (below) looks at one side alone: an interval may still reach over the margin by a little."
    )
    return _plot(
        "Difference to the generalist", caption, draw, ("pair", "difference", "interval", "margin", "n"), table
    )


def latency_plot(quality: Quality) -> Plot:
    """Median and tail of a single answer, on a logarithmic axis."""
    measured = [item for item in quality.candidates if not math.isnan(item.latency.p50_s)]
    rows = [
        Row(
            item.name,
            item.latency.p50_s,
            item.latency.p50_s,
            item.latency.p99_s,
            f"{figures.duration(item.latency.p50_s)} … {figures.duration(item.latency.p99_s)}",
            _role(item),
        )
        for item in measured
    ]

    def draw(size: Size) -> Markup | None:
        spoken = _spoken("Latency of one answer, median to 99th percentile", rows)
        usable = [row for row in rows if row.value > 0]
        return forest_plot(
            size, usable, form=figures.duration, axis_label="time for one answer (log scale)", label=spoken, log=True
        )

    table = tuple(_latency_cells(item) for item in quality.candidates)
    columns = ("candidate", "p50", "p95", "p99", "n", "condition")
    return _plot("Time for one answer", "Mark: median. Line: up to the 99th percentile.", draw, columns, table)


def risk_plot(policy: Policy, n_curve: int) -> Plot:
    """Coverage against risk in steps, with the promised limit and the certificate's point."""
    given = policy.certificate
    curve = tuple(Point(point.coverage, point.risk) for point in policy.curve)
    series = [Series("wrong among the answers kept", "specialist", curve, form="steps")]
    rules = []
    if given is not None:
        spot = Point(
            given.coverage.value,
            given.risk.value,
            given.risk.low,
            given.risk.high,
            given.coverage.low,
            given.coverage.high,
        )
        series.append(Series("certified threshold, with intervals", "neutral", (spot,), form="dots"))
        rules = [Rule(given.alpha, f"α = {figures.level(given.alpha)}")]
    x = Scale("share of calls kept (coverage)", figures.level, floor=0.0, ceiling=1.0, include=(0.0, 1.0))
    y = Scale("share wrong among those kept (risk)", figures.level, floor=0.0, ceiling=1.0, include=(0.0,))

    def draw(size: Size) -> Markup | None:
        return line_chart(size, series, x, y, rules=rules, label=_spoken_curve(policy))

    rows = tuple(
        (
            figures.percent(point.coverage),
            figures.percent(point.risk, 2),
            figures.count(point.n_kept),
            f"{point.threshold:.4f}",
        )
        for point in policy.curve
    )
    shown = f" {len(curve)} of {n_curve:,} points are drawn." if n_curve > len(curve) else ""
    caption = f"The more calls are kept, the more of the harder ones are among them.{shown}"
    return _plot("Share wrong by share kept", caption, draw, ("coverage", "risk", "kept", "threshold"), rows)


def cash_plot(economics: Economics) -> Plot:
    """Cumulative cost of both sides, with the ranges."""
    frontier = tuple(
        Point(month.month, month.frontier_usd, month.frontier_low_usd, month.frontier_high_usd)
        for month in economics.cash
    )
    specialist = tuple(
        Point(month.month, month.specialist_usd, month.specialist_low_usd, month.specialist_high_usd)
        for month in economics.cash
    )
    when = economics.break_even_month
    rules = (
        [Rule(when.value, f"break-even {figures.significant(when.value)}", along="y")]
        if _inside(when.value, frontier)
        else []
    )
    series = [
        Series("frontier only", "frontier", frontier, band=True),
        Series("specialist, with what it escalates", "specialist", specialist, band=True),
    ]
    x = Scale("months", figures.count)
    y = Scale("dollars spent so far", figures.usd, include=(0.0,))

    def draw(size: Size) -> Markup | None:
        return line_chart(size, series, x, y, rules=rules, label=_spoken_cash(economics))

    rows = tuple(
        (
            str(month.month),
            figures.usd(month.frontier_usd),
            _range(month.frontier_low_usd, month.frontier_high_usd, figures.usd),
            figures.usd(month.specialist_usd),
            _range(month.specialist_low_usd, month.specialist_high_usd, figures.usd),
        )
        for month in economics.cash
    )
    columns = ("month", "frontier", "90% range", "specialist", "90% range")
    return _plot("Money spent so far", "Lines: at the stated figures. Bands: 90% ranges.", draw, columns, rows)


def bills_plot(economics: Economics) -> Plot:
    """What a month costs on either side, line by line."""
    sides = ((economics.frontier, "frontier"), (economics.specialist, "specialist"))
    lines = [(bill, line, role) for bill, role in sides for line in bill.lines if not line.once]
    bars = [
        Bar(line.name, line.usd, figures.usd(line.usd), line.low, line.high, role, bill.side)
        for bill, line, role in lines
    ]

    def draw(size: Size) -> Markup | None:
        spoken = "Dollars a month by line. " + _sentences((f"{bar.group}, {bar.label}", bar.shown) for bar in bars)
        return bar_chart(size, bars, form=figures.usd, axis_label="dollars a month", label=spoken)

    rows = tuple(
        (bill.side, line.name, figures.usd(line.usd), _range(line.low, line.high, figures.usd))
        for bill, line, _ in lines
    )
    return _plot(
        "What a month costs", "Thin lines: stated uncertainty.", draw, ("side", "line", "a month", "range"), rows
    )


def price_drop_plot(economics: Economics) -> Plot:
    """The saving in the first month should the frontier become cheaper."""
    names = [_drop_name(drop.factor, drop.fall_per_year) for drop in economics.price_drops]
    bars = [
        Bar(name, drop.saving_usd_month, figures.usd(drop.saving_usd_month))
        for name, drop in zip(names, economics.price_drops, strict=True)
    ]

    def draw(size: Size) -> Markup | None:
        spoken = "Saving in the first month by frontier price. " + _sentences((bar.label, bar.shown) for bar in bars)
        return bar_chart(size, bars, form=figures.usd, axis_label="dollars saved in the first month", label=spoken)

    rows = tuple(
        (
            name,
            figures.usd(drop.saving_usd_month),
            figures.month(drop.break_even_month),
            figures.percent(drop.share_never),
        )
        for name, drop in zip(names, economics.price_drops, strict=True)
    )
    columns = ("frontier's price", "saved in month 1", "break-even", "never pays back")
    return _plot("If the frontier gets cheaper", "Escalated calls get cheaper with it.", draw, columns, rows)


def learning_plot(specialist: SpecialistSummary) -> Plot:
    """Accuracy against training examples: measured, fitted, and the labels that a target needs."""
    measured = tuple(
        Point(point.n_train, point.accuracy.value, point.accuracy.low, point.accuracy.high)
        for point in specialist.measured
    )
    fitted = tuple(Point(point.n_train, point.accuracy) for point in specialist.forecast)
    reach = specialist.forecast[-1].n_train if specialist.forecast else math.inf
    targets = specialist.learning_curve.targets if specialist.learning_curve else ()
    forecast = tuple(
        Point(labels.value, target, x_low=labels.low, x_high=min(labels.high, reach))
        for target, labels in targets
        if labels.value <= reach
    )
    series = [
        Series("fitted curve", "fit", fitted),
        Series("measured, 95% interval", "specialist", measured, form="dots"),
        Series("labels needed, with interval", "neutral", forecast, form="dots"),
    ]
    x = Scale("training examples (log scale)", figures.significant, log=True)
    y = Scale("accuracy on the tune split", figures.level, ceiling=1.0)

    def draw(size: Size) -> Markup | None:
        return line_chart(size, series, x, y, label=_spoken_learning(specialist))

    rows = [
        (
            figures.count(point.n_train),
            "measured",
            figures.percent(point.accuracy.value),
            figures.span(point.accuracy, figures.percent),
        )
        for point in specialist.measured
    ]
    rows += [
        (
            figures.significant(labels.value),
            "forecast",
            figures.percent(target),
            f"{figures.span(labels, figures.significant)} examples",
        )
        for target, labels in targets
    ]
    note = specialist.learning_curve.note if specialist.learning_curve else ""
    return _plot("What more labels would bring", note, draw, ("examples", "", "accuracy", "interval"), tuple(rows))


def split_plot(data: DataSummary) -> Plot:
    """How many examples each split has."""
    bars = [Bar(split.name, split.n, figures.count(split.n), role="neutral") for split in data.splits]

    def draw(size: Size) -> Markup | None:
        spoken = "Examples per split. " + _sentences((bar.label, bar.shown) for bar in bars)
        return bar_chart(size, bars, form=figures.count, axis_label="examples", label=spoken)

    rows = tuple(
        (split.name, figures.count(split.n), figures.count(split.n_groups), figures.count(split.n_classes))
        for split in data.splits
    )
    return _plot("Splits", "No group is in two splits.", draw, ("split", "examples", "groups", "labels"), rows)


def _plot(title: str, caption: str, draw: Draw, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> Plot:
    return Plot(title, caption, draw(WIDE), draw(NARROW), Table(f"Numbers: {title}", columns, rows))


def _role(item: CandidateScore) -> str:
    return "specialist" if item.role == "specialist" else "frontier"


def _estimate_row(label: str, estimate: Estimate, form: Callable[[float], str], role: str) -> Row:
    shown = (
        f"{form(estimate.value)}  [{form(estimate.low)}, {form(estimate.high)}]"
        if estimate.scored
        else figures.NOT_SCORED
    )
    return Row(label, estimate.value, estimate.low, estimate.high, shown, role)


def _estimate_cells(name: str, estimate: Estimate, form: Callable[[float], str]) -> tuple[str, ...]:
    method = f"{estimate.method}, {figures.level(estimate.level)}" if estimate.method else figures.level(estimate.level)
    return clip(name, 48), form(estimate.value), figures.span(estimate, form), figures.count(estimate.n), method


def _difference_cells(item: Comparison) -> tuple[str, ...]:
    difference = item.difference
    span = figures.span(difference, figures.points)
    return pair(item), figures.points(difference.value), span, figures.points(-item.margin), figures.count(item.n)


def _latency_cells(item: CandidateScore) -> tuple[str, ...]:
    time = item.latency
    spans = (figures.duration(value) for value in (time.p50_s, time.p95_s, time.p99_s))
    return clip(item.name, 48), *spans, figures.count(time.n), time.condition


def _range(low: float, high: float, form: Callable[[float], str]) -> str:
    return figures.NOT_SCORED if math.isnan(low) and math.isnan(high) else f"{form(low)} to {form(high)}"


def _drop_name(factor: float, fall_per_year: float) -> str:
    if fall_per_year:
        return f"falls {figures.level(fall_per_year)} a year"
    return "as today" if factor == 1 else f"{figures.level(factor)} of today's"


def _inside(value: float, points: Sequence[Point]) -> bool:
    return math.isfinite(value) and bool(points) and points[0].x <= value <= points[-1].x


def _spoken(what: str, rows: Sequence[Row]) -> str:
    return f"{what}. {_sentences((row.label, row.shown) for row in rows)}"


def _sentences(pairs: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in pairs) + "."


def _spoken_curve(policy: Policy) -> str:
    given = policy.certificate
    if not policy.curve:
        return "Coverage against risk: no points."
    last = policy.curve[-1]
    end = f"At {figures.percent(last.coverage)} coverage {figures.percent(last.risk)} of the kept answers are wrong."
    if given is None:
        return f"Coverage against risk. {end} No threshold was certified."
    return (
        f"Coverage against risk. {end} At the certified threshold {figures.percent(given.coverage.value)} of calls are "
        f"kept and {figures.percent(given.risk.value)} of those are wrong; the limit is {figures.level(given.alpha)}."
    )


def _spoken_cash(economics: Economics) -> str:
    if not economics.cash:
        return "Money spent so far: no months."
    last = economics.cash[-1]
    return (
        f"Cumulative cost over {last.month} months: frontier only {figures.usd(last.frontier_usd)}, specialist "
        f"{figures.usd(last.specialist_usd)}. Break-even: {figures.month(economics.break_even_month.value)}."
    )


def _spoken_learning(specialist: SpecialistSummary) -> str:
    pairs = ((f"{point.n_train:,} examples", figures.percent(point.accuracy.value)) for point in specialist.measured)
    return f"Learning curve of {specialist.card.student}. {_sentences(pairs)}"
