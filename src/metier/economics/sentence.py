"""The outcome of an Economics in one honest sentence."""

from __future__ import annotations

import math

from metier.artefacts.economics import Economics
from metier.artefacts.estimates import Estimate
from metier.economics.payback import HORIZON_MONTHS


def summarise(economics: Economics, reason_none_kept: str = "") -> str:
    """The outcome in one sentence."""
    month, volume = economics.break_even_month, f"{economics.calls_per_month:,.0f} calls a month"
    share = economics.year_one_saving_share
    year = f"the first year costs {_change(share.value)} (90% range {_change(share.low)} to {_change(share.high)})"
    if math.isfinite(month.value) and economics.share_never > 0.5:
        return (
            f"Probably does not pay back: {economics.share_never:.0%} of draws never do; at the stated figures it does in "
            f"month {_month(month.value)} at {volume}, and {year}."
        )
    if math.isfinite(month.value):
        upper = f"{_month(month.high)}" if math.isfinite(month.high) else "never"
        never = f"; {economics.share_never:.0%} of draws never do" if economics.share_never >= 0.005 else ""
        return (
            f"Pays back in month {_month(month.value)} (90% range {_month(month.low)} to {upper}{never}) at {volume}; "
            f"{year}."
        )
    if reason_none_kept:
        return f"Does not pay back: {reason_none_kept}, so every call is still paid to the frontier."
    return f"Does not pay back: at {volume} {_why_never(economics)} {_needed_calls(economics.break_even_calls_month)}"


def _why_never(economics: Economics) -> str:
    frontier, specialist = economics.frontier.month_usd, economics.specialist.month_usd
    if frontier > specialist:
        return (
            f"the specialist saves {frontier - specialist:,.0f} USD a month and has not earned back its "
            f"{economics.specialist.once_usd:,.0f} USD within {HORIZON_MONTHS // 12} years."
        )
    dearest = max((line for line in economics.specialist.lines if not line.once), key=lambda line: line.usd)
    return (
        f"the frontier costs {frontier:,.0f} USD a month and the specialist {specialist:,.0f}, of which {dearest.name} "
        f"{dearest.usd:,.0f}."
    )


def _needed_calls(calls: Estimate) -> str:
    if not math.isfinite(calls.value):
        return "No volume makes it pay within a year."
    return f"It would pay back within a year from {calls.value:,.0f} calls a month."


def _change(saving_share: float) -> str:
    return f"{abs(saving_share):.0%} {'less' if saving_share >= 0 else 'more'}"


def _month(value: float) -> int:
    # Month 4 is the one that 3.72 lies in.
    return max(1, math.ceil(value))
