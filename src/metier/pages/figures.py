"""Numbers as people read them. NaN is "not scored", infinity is "never"."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from metier.artefacts.estimates import Estimate

Form = Callable[[float], str]
NOT_SCORED = "not scored"
NEVER = "never"
_MINUS = "−"
_SMALLEST_P = 0.001
_KILO = 1024
# Beyond these, digits tell nothing that an exponent does not.
_HUGE, _TINY = 1e15, 1e-9


def plain(value: float, digits: int = 1) -> str:
    """A number with thousands separators and a real minus sign."""
    if math.isnan(value):
        return NOT_SCORED
    if math.isinf(value):
        return NEVER if value > 0 else f"{_MINUS}∞"
    text = (f"{value:,.{digits}f}" if abs(value) < _HUGE else f"{value:.2e}").replace("-", _MINUS)
    return text.removeprefix(_MINUS) if not text.strip(f"{_MINUS}0.,") else text


def count(value: float) -> str:
    """A whole number: 4,500."""
    return plain(value, 0)


def significant(value: float, digits: int = 3) -> str:
    """A number of any size in `digits` significant digits: 0.00025, 3.72, 1,250."""
    if not math.isfinite(value) or value == 0:
        return plain(value, 0)
    if abs(value) < _TINY:
        return f"{value:.2e}".replace("-", _MINUS)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = plain(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: float, digits: int = 1) -> str:
    """A share in [0, 1] as a percentage: 97.0%."""
    return f"{plain(100 * value, digits)}%" if math.isfinite(value) else plain(value)


def points(value: float, digits: int = 1) -> str:
    """A difference of shares in signed percentage points: +2.9."""
    text = plain(100 * value, digits)
    return f"+{text}" if math.isfinite(value) and value > 0 else text


def level(value: float) -> str:
    """A confidence level or a small rate, without needless decimals: 95%, 2.5%."""
    return f"{significant(100 * value)}%" if math.isfinite(value) else plain(value)


def usd(value: float) -> str:
    """Dollars, with as many decimals as the size of the sum deserves: $4,930, $12.50, $0.00025."""
    if math.isnan(value):
        return NOT_SCORED
    if math.isinf(value):
        return "without bound" if value > 0 else f"{_MINUS}$∞"
    size = abs(value)
    text = count(size) if size >= 100 or size == 0 else plain(size, 2) if size >= 1 else significant(size)
    return f"{_MINUS}${text}" if value < 0 else f"${text}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them: 3.1 ms, 1.24 s, 4.0 min, 1.5 h."""
    if not math.isfinite(seconds):
        return plain(seconds)
    for limit, scale, unit in ((1e-3, 1e6, "µs"), (1, 1e3, "ms"), (90, 1, "s"), (5_400, 1 / 60, "min")):
        if seconds < limit:
            return f"{significant(seconds * scale)} {unit}"
    return f"{significant(seconds / 3_600)} h"


def size(n_bytes: float) -> str:
    """Bytes in binary units: 22.9 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if n_bytes < _KILO:
            return f"{significant(n_bytes)} {unit}"
        n_bytes /= _KILO
    return f"{significant(n_bytes)} GiB"


def p_value(value: float) -> str:
    """A p-value: 0.28, 0.004, <0.001."""
    if math.isnan(value):
        return NOT_SCORED
    return f"<{_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def moment(time: str) -> str:
    """An ISO 8601 time to the minute: 2026-11-21 22:40 UTC. What cannot be read is given back as it is."""
    try:
        read = datetime.fromisoformat(time)
    except ValueError:
        return time
    return f"{read:%Y-%m-%d %H:%M} {read.tzname() or ''}".rstrip()


def month(value: float) -> str:
    """The month in which something that takes `value` months has happened: 3.72 is month 4."""
    return f"month {max(1, math.ceil(value)):,}" if math.isfinite(value) else plain(value)


def span(estimate: Estimate, form: Form) -> str:
    """The interval of an estimate: 96.5% to 97.5%."""
    if math.isnan(estimate.low) and math.isnan(estimate.high):
        return NOT_SCORED
    return f"{form(estimate.low)} to {form(estimate.high)}"


def month_span(estimate: Estimate) -> str:
    """The range of a break-even: 1 to 4, 3 to never."""
    ends = [month(end).removeprefix("month ") for end in (estimate.low, estimate.high)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
