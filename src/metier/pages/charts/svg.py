"""SVG elements as escaped text. Colours and fonts come from the page's style sheet through class names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Size:
    """Width and height in CSS pixels; a chart is drawn anew for each, so that its text keeps its size."""

    width: int
    height: int

    @property
    def narrow(self) -> bool:
        return self.width < 500


WIDE = Size(720, 330)
NARROW = Size(328, 300)


def element(name: str, *children: str, **attributes: object) -> Markup:
    """<name attributes>children</name>; a trailing underscore is dropped and others become hyphens (`class_`, `x1`)."""
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return Markup(f"<{name}{''.join(parts)}>{''.join(escape(child) for child in children)}</{name}>")


def text(
    content: str, x: float, y: float, *, anchor: str = "start", class_: str | None = None, full: str = ""
) -> Markup:
    """A line of text; `full` is shown on hover where `content` had to be cut."""
    hint = [element("title", full)] if full and full != content else []
    return element("text", escape(content), *hint, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def marker(x: float, y: float, role: str) -> Markup:
    """The mark of a point: its shape tells the role as well as its colour does."""
    if role == "frontier":
        return element("rect", x=x - 4.5, y=y - 4.5, width=9, height=9, class_=f"mark {role}")
    if role == "neutral":
        return element("path", d=f"M{_value(x)} {_value(y - 6)}l6 6l-6 6l-6 -6z", class_=f"mark {role}")
    return element("circle", cx=x, cy=y, r=5, class_=f"mark {role}")


def path(points: Iterable[tuple[float, float]], *, closed: bool = False) -> str:
    """Path data through pixel positions."""
    steps = " L".join(f"{_value(x)} {_value(y)}" for x, y in points)
    return f"M{steps}{'Z' if closed else ''}"


def drawing(size: Size, *children: str, label: str) -> Markup:
    """The whole picture; `label` is what is read aloud in its place."""
    return element(
        "svg",
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {size.width} {size.height}",
        width=size.width,
        height=size.height,
        class_=f"chart {'narrow' if size.narrow else 'wide'}",
        role="img",
        aria_label=label,
    )


def _value(value: object) -> object:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"an SVG coordinate must be finite, received {value}")
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return value
