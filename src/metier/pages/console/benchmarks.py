"""A public benchmark for the terminal: our specialists, what their policies would keep, and what is published beside it."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Table

from metier.artefacts.benchmarks import Benchmark, CauseScore, Contestant, FormScore
from metier.artefacts.estimates import Estimate
from metier.pages import figures
from metier.pages.console.kit import NAME_CHARS, brief_interval, sentence, table, text, warnings
from metier.pages.text import clip

_N_REASONS = 8


def benchmark_tables(benchmark: Benchmark) -> RenderableType:
    """Every specialist by form of question, what it would keep and how fast it is, causes, and published results."""
    best = max(benchmark.contestants, key=lambda one: one.forms[0].pass_at_1.value)
    forms = ", ".join(f"{form} {n:,}" for form, n in benchmark.forms)
    lines = [
        sentence(
            f"{clip(benchmark.file, NAME_CHARS)}: {benchmark.n:,} questions ({forms}) about {benchmark.n_clusters:,} drive "
            "windows; intervals are over windows."
        ),
        *(
            sentence(f"Set aside: {item.n:,} × {item.reason} ({'; '.join(item.places)})")
            for item in benchmark.set_aside
        ),
    ]
    return Group(
        *lines,
        _scores(benchmark),
        _service(benchmark),
        text(f"Causes, {best.name}", style="bold"),
        _causes(best.forms[0]),
        text("Published results, not measured by us", style="bold"),
        _published(benchmark, best),
        *(sentence(line, "dim") for line in _sources(benchmark)),
        *(sentence(line) for one in benchmark.contestants for line in _lines(one)),
        sentence(benchmark.summary, "bold"),
        *warnings(benchmark.notes),
    )


def _scores(benchmark: Benchmark) -> Table:
    n_samples = max(one.n_samples for one in benchmark.contestants)
    drawn = (f"maj@{n_samples} %",) if n_samples > 1 else ()
    rows = table(
        "specialist", "questions", "n", "windows", "pass@1 %", "strict %", *drawn, "no box", "failed",
        left=("specialist", "questions"),
    )  # fmt: skip
    for one in benchmark.contestants:
        for score in one.forms if len(one.forms) > 2 else one.forms[:1]:
            rows.add_row(
                text(clip(one.name, NAME_CHARS)),
                text(score.form),
                figures.count(score.n),
                figures.count(score.n_clusters),
                _share(score.pass_at_1),
                figures.plain(100 * score.exact.value),
                *((_share(score.majority),) if drawn else ()),
                figures.count(score.n_unboxed),
                figures.count(score.n_failed),
            )
    return rows


def _service(benchmark: Benchmark) -> Table:
    rows = table("specialist", "kept %", "wrong of kept %", "at most", "answers/s", "p50", "p95", left=("specialist",))
    for one in benchmark.contestants:
        kept = one.forms[0].kept
        rows.add_row(
            text(clip(one.name, NAME_CHARS)),
            *(
                ("–", "–", "–")
                if kept is None
                else (_share(kept.coverage), _share(kept.error), figures.level(kept.alpha))
            ),
            figures.plain(one.answers_per_s, 0),
            figures.duration(one.latency.p50_s),
            figures.duration(one.latency.p95_s),
        )
    return rows


def _causes(score: FormScore) -> Table:
    rows = table("cause", "n", "right %", "precision %", "most often taken for", left=("cause", "most often taken for"))
    for cause in score.causes:
        rows.add_row(
            text(clip(cause.cause, NAME_CHARS)),
            figures.count(cause.n),
            _share(cause.recall),
            "–" if math.isnan(cause.precision) else figures.plain(100 * cause.precision),
            text(_taken_for(score, cause)),
        )
    return rows


def _taken_for(score: FormScore, cause: CauseScore) -> str:
    wrong = [one for one in score.confusions if one.truth == cause.cause and one.answer != cause.cause]
    wrong.sort(key=lambda one: -one.n)
    return ", ".join(f"{clip(one.answer, 12)} ({one.n:,})" for one in wrong[:2]) or "–"


def _published(benchmark: Benchmark, best: Contestant) -> Table:
    ahead = f"{clip(best.name, 12)} − it, points"
    rows = table("published", "questions", "accuracy %", "n", "source", ahead, left=("published", "questions"))
    sources = _source_numbers(benchmark)
    for one in benchmark.published:
        rows.add_row(
            text(clip(one.name, NAME_CHARS)),
            text(one.form),
            _share(one.accuracy, 2),
            figures.count(one.accuracy.n) if one.accuracy.n else "–",
            str(sources[one.source]),
            _points(one.ahead),
        )
    return rows


def _source_numbers(benchmark: Benchmark) -> dict[str, int]:
    return {source: place for place, source in enumerate(dict.fromkeys(one.source for one in benchmark.published), 1)}


def _sources(benchmark: Benchmark) -> list[str]:
    return [f"{number}: {source}." for source, number in _source_numbers(benchmark).items()]


def _lines(one: Contestant) -> list[str]:
    name, overlap = clip(one.name, NAME_CHARS), one.overlap
    found = [f"{name}, kept answers: {one.kept_note}."] if one.kept_note else []
    if not math.isnan(overlap.largest_share):
        found.append(
            f"{name}: {overlap.n_near:,} of {overlap.n_windows:,} windows are near-duplicates of its "
            f"{overlap.n_training:,} training windows; the nearest pair shares {figures.percent(overlap.largest_share, 0)} "
            "of its rows."
        )
    found += [f"{name}, wrong as there is no answer: {n:,} × {reason}" for reason, n in one.failures[:_N_REASONS]]
    if one.latency.condition:
        found.append(f"{name}, times with the reading of the input: {one.latency.condition}.")
    return found


def _share(share: Estimate, digits: int = 1) -> str:
    if not share.scored:
        return "–"
    if math.isnan(share.low):
        return figures.plain(100 * share.value, digits)
    return f"{figures.plain(100 * share.value, digits)} ({brief_interval(share)})"


def _points(difference: Estimate) -> str:
    if not difference.scored:
        return "–"
    interval = "" if math.isnan(difference.low) else f" ({figures.span(difference, figures.points)})"
    return f"{figures.points(difference.value)}{interval}"
