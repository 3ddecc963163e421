"""What lies in the store: artefacts, one artefact with its settings and lineage, and quarantined lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from metier.artefacts.kinds import Artefact, kind_of
from metier.artefacts.manifests import Manifest
from metier.artefacts.reports import Report
from metier.pages.console import findings
from metier.pages.console.benchmarks import benchmark_tables
from metier.pages.console.kit import GOOD, NAME_CHARS, panel, sentence, table, text
from metier.pages.text import clip

_MINUTE = len("2026-11-21T22:40")


def artefact_table(manifests: Iterable[Manifest]) -> RenderableType:
    """Artefacts, a row each, in the order given."""
    rows = table("kind", "id", "task", "time", "what", left=("kind", "id", "task", "time", "what"))
    for column in (rows.columns[1], rows.columns[3]):
        column.no_wrap = True
    for item in manifests:
        minute = item.time[:_MINUTE].replace("T", " ")
        cells = (item.kind, item.id, clip(item.task or "–", NAME_CHARS), minute, clip(item.summary, 160))
        rows.add_row(*(text(cell) for cell in cells))
    return rows


def manifest_panel(manifest: Manifest, folder: Path) -> RenderableType:
    """What an artefact is, where it lies, and the settings, seed and versions it was made with."""
    rows = table("", "", left=("",), header=False)
    facts = {
        "id": manifest.id,
        "task": manifest.task or "–",
        "made": manifest.time,
        "folder": str(folder),
        "seed": str(manifest.seed),
        "files": f"{len(manifest.files):,}",
        **{f"setting {name}": str(value) for name, value in manifest.settings.items()},
        **{f"version {name}": version for name, version in manifest.versions.items()},
    }
    for name, value in facts.items():
        rows.add_row(text(name, style="dim"), text(clip(value, 400), 400))
    return panel(rows, "blue", manifest.kind)


def artefact_view(artefact: Artefact) -> RenderableType:
    """An artefact's own table."""
    return _VIEWS[kind_of(artefact)](artefact)


def lineage_tree(manifest: Manifest, lineage: Iterable[Manifest]) -> RenderableType:
    """An artefact and what it was made from, down to the traffic; `lineage` holds the manifests of those artefacts.

    An artefact that several others were made from is shown in full once and named afterwards.
    """
    tree = Tree(_node(manifest))
    _grow(tree, manifest, {item.id: item for item in lineage}, {manifest.id})
    return tree


def quarantine_table(counts: Mapping[str, int], rows: pl.DataFrame) -> RenderableType:
    """Lines that could not be used: all of them counted by reason, then `rows` (path, line, reason, detail, excerpt)."""
    total = sum(counts.values())
    by_reason = table("reason", "lines", left=("reason",))
    for reason, n in counts.items():
        by_reason.add_row(text(clip(reason, 80)), f"{n:,}")
    shown = table("file:line", "reason", "excerpt", left=("file:line", "reason", "excerpt"))
    for path, line, reason, detail, excerpt in rows.select("path", "line", "reason", "detail", "excerpt").iter_rows():
        why = f"{reason}: {detail}" if detail else str(reason)
        place = f"{clip(str(path), NAME_CHARS)}:{line}"
        shown.add_row(text(place), text(clip(why, 120)), text(clip(str(excerpt), 60), style="dim"))
    more = [text(f"{rows.height:,} of {total:,} lines shown.", style="dim")] if total > rows.height else []
    return Group(by_reason, shown, *more)


def _report_view(report: Report) -> RenderableType:
    pages: Sequence[str] = [str(report.folder / name) for name in ("report.html", "report.json")]
    return panel(Group(sentence(report.verdict, "bold"), *(text(page, 400) for page in pages)), GOOD, report.task_name)


_VIEWS: dict[str, Callable[[Any], RenderableType]] = {
    "audit": findings.audit_table,
    "dataset": findings.dataset_table,
    "specialist": findings.specialist_table,
    "evaluation": findings.evaluation_table,
    "policy": findings.policy_panel,
    "economics": findings.economics_table,
    "report": _report_view,
    "benchmark": benchmark_tables,
}


def _node(manifest: Manifest) -> Text:
    label = text(f"{manifest.kind} ", style="bold")
    label.append_text(text(manifest.id, style="cyan"))
    summary = clip(manifest.summary, 100)
    return label.append_text(text(f"  {summary}", style="dim")) if summary else label


def _grow(tree: Tree, manifest: Manifest, known: Mapping[str, Manifest], shown: set[str]) -> None:
    for name, source in manifest.inputs.items():
        found = known.get(source)
        if found is None:
            tree.add(text(f"{name} {source}"))
        elif source in shown:
            tree.add(text(f"{found.kind} {source} (above)", style="dim"))
        else:
            shown.add(source)
            _grow(tree.add(_node(found)), found, known, shown)
