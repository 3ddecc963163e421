"""The few figures beside the verdict, for a reader in a hurry."""

from __future__ import annotations

from dataclasses import dataclass

from metier.artefacts.evaluations import CandidateScore
from metier.pages import figures, words
from metier.pages.content import ReportData
from metier.pages.text import clip
from metier.pages.verdict import leading_specialist, never_pays, volume


@dataclass(frozen=True)
class KeyFigure:
    """One of the few figures beside the verdict."""

    label: str
    value: str
    detail: str


def key_figures(content: ReportData) -> tuple[KeyFigure, ...]:
    """What a reader in a hurry compares: quality, share kept, break-even, speed."""
    found = [_accuracy_figure(content), _coverage_figure(content), _payback_figure(content), _latency_figure(content)]
    return tuple(item for item in found if item is not None)


def _accuracy_figure(content: ReportData) -> KeyFigure | None:
    leader = _leader(content)
    if content.quality is None or leader is None:
        return None
    others = [item for item in content.quality.candidates if item.role == "generalist" and item.accuracy.scored]
    detail = ", ".join(f"{clip(item.name, 30)} {figures.percent(item.accuracy.value)}" for item in others[:2])
    fallback = f"{figures.level(leader.accuracy.level)} interval {figures.span(leader.accuracy, figures.percent)}"
    right = words.right(content.quality.kind, content.quality.basis).capitalize()
    label = f"{right}, {clip(leader.name, 30)}"
    return KeyFigure(label, figures.percent(leader.accuracy.value), detail or fallback)


def _coverage_figure(content: ReportData) -> KeyFigure | None:
    if content.policy is None:
        return None
    given = content.policy.certificate
    if given is None:
        return KeyFigure("Calls kept", "none", "no certificate could be given")
    promise = f"at most {figures.level(given.alpha)} wrong, confidence {figures.level(1 - given.delta)}"
    return KeyFigure("Calls kept", figures.percent(given.coverage.value, 0), promise)


def _payback_figure(content: ReportData) -> KeyFigure | None:
    economics = content.economics
    if economics is None:
        return None
    saving = f"saves {figures.usd(economics.saving_usd_month.value)} a month"
    if never_pays(economics):
        return KeyFigure("Pays back", "never", f"at {volume(economics)}")
    return KeyFigure("Pays back in", figures.month(economics.break_even_month.value), saving)


def _latency_figure(content: ReportData) -> KeyFigure | None:
    leader = _leader(content)
    if leader is None or leader.latency.n == 0:
        return None
    return KeyFigure(
        "One answer takes", figures.duration(leader.latency.p50_s), f"p99 {figures.duration(leader.latency.p99_s)}"
    )


def _leader(content: ReportData) -> CandidateScore | None:
    return leading_specialist(content.quality) if content.quality else None
