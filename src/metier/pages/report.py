"""The report: one HTML page that needs nothing else, and the same content as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from metier.pages import figures, plots, tables, written
from metier.pages.content import Headline, Quality, ReportData
from metier.pages.gather import STAGES, gather
from metier.pages.highlights import key_figures
from metier.pages.inputs import ReportInputs
from metier.pages.schema import to_json_values
from metier.pages.text import as_sentence, clip, longest_word
from metier.pages.verdict import leading_specialist, volume
from metier.pages.views import baseline_table, view_sections


@dataclass(frozen=True)
class RenderedReport:
    """`html` is one self-contained page; `data` the same content, ready for JSON, in the form of report.schema.json."""

    html: str
    data: dict[str, Any]
    headline: Headline

    def json(self) -> str:
        """`data` as standard JSON text."""
        return json.dumps(self.data, indent=1, allow_nan=False, ensure_ascii=False)


def report(inputs: ReportInputs, *, time: str) -> RenderedReport:
    """Render what is known of a task; `time` (ISO 8601) is when the report is made.

    Artefacts that are missing leave a gap that names the command which fills it. All text from outside is escaped, and the
    page forbids itself every request and every script but its own.
    """
    content = gather(inputs, time)
    page = _environment().get_template("report.html.jinja").render(data=content, **_view(content), **_assets())
    return RenderedReport(page, to_json_values(content), content.headline)


def _view(content: ReportData) -> dict[str, Any]:
    quality, economics, policy, data = content.quality, content.economics, content.policy, content.data
    return {
        "key_figures": key_figures(content),
        "missing": dict.fromkeys(STAGES) | {item.stage: item for item in content.missing},
        "quality": _quality_view(content) if quality else {},
        "written": _written_view(quality) if quality else {},
        "cost": {
            "results": tables.economics_table(economics),
            "bills": [tables.bill_table(bill) for bill in (economics.frontier, economics.specialist)],
            "bills_plot": plots.bills_plot(economics),
            "cash_plot": plots.cash_plot(economics),
            "drop_plot": plots.price_drop_plot(economics),
            "assumptions": tables.assumption_table(economics),
        }
        if economics
        else {},
        "risk": {
            "plot": plots.risk_plot(policy, content.n_curve),
            "certificate": tables.certificate_table(policy.certificate) if policy.certificate else None,
        }
        if policy
        else {},
        "training": {
            "models": written.language_model_table([item.card for item in content.specialists]),
            "table": tables.specialist_table([item.card for item in content.specialists]),
            "plots": [(item.card.student, plots.learning_plot(item)) for item in content.specialists if item.measured],
        },
        "views": {
            "sections": view_sections([item.card for item in content.specialists]),
            "baselines": baseline_table(content),
        },
        "dataset": {
            "plot": plots.split_plot(data),
            "tables": [
                table
                for table in (tables.removed_table(data), tables.provenance_table(data), tables.rarest_table(data))
                if table.rows
            ],
            "contradictions": tables.contradiction_table(data),
        }
        if data
        else {},
        "volume": volume(economics) if economics else "",
        "audit": tables.audit_table(content.audit) if content.audit else None,
        "lineage": {
            "table": tables.lineage_table(content),
            "folded": [
                table for table in (tables.settings_table(content), tables.version_table(content)) if table.rows
            ],
        },
    }


def _quality_view(content: ReportData) -> dict[str, Any]:
    quality = content.quality
    if quality is None:
        return {}
    leader = leading_specialist(quality)
    confused = [item for item in quality.candidates if item.confusions]
    first = sorted(confused, key=lambda item: leader is None or item.name != leader.name)
    return {
        "candidates": tables.candidate_table(quality),
        "effort": tables.effort_table(quality),
        "comparisons": tables.comparison_table(quality),
        "tests": tables.tests_table(quality),
        "accuracy_plot": plots.accuracy_plot(quality),
        "difference_plot": plots.difference_plot(quality) if quality.comparisons else None,
        "confusions": [tables.confusion_table(item) for item in first],
        "ood": tables.ood_table(quality),
        "latency_plot": plots.latency_plot(quality),
    }


def _written_view(quality: Quality) -> dict[str, Any]:
    leader = leading_specialist(quality)
    scored = [item for item in quality.candidates if item.records is not None]
    first = sorted(scored, key=lambda item: leader is None or item.name != leader.name)
    return {
        "records": written.records_table(quality),
        "fields": [written.fields_table(item) for item in first],
        "texts": written.texts_table(quality),
        "writing": written.writing_table(quality),
        "secondary": written.secondary_table(quality),
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("metier.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=figures.count,
        level=figures.level,
        percent=figures.percent,
        usd=figures.usd,
        clip=clip,
        moment=figures.moment,
        sentence=as_sentence,
        unbroken=longest_word,
    )
    return environment


@cache
def _assets() -> dict[str, str]:
    """Style sheet and script, with the hashes by which the page's own policy lets them in and nothing else."""
    folder = files("metier.pages") / "templates"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("style.css", "report.js"))
    return {
        "style": Markup(style),
        "script": Markup(script),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
    }


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
