"""What is written rather than chosen, for the terminal: records by field, texts, failures of writing."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table

from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import CandidateScore, Evaluation
from metier.pages import figures
from metier.pages.console.kit import NAME_CHARS, brief_interval, table, text
from metier.pages.text import clip

_SHOWN_FIELDS = 20


def written_tables(evaluation: Evaluation) -> list[RenderableType]:
    """Scores of records, texts and writing, where the evaluation has any; F1 of each field beside all candidates."""
    scored = evaluation.candidates
    found: list[RenderableType] = []
    if any(item.records for item in scored):
        found += [_records(scored), _fields(scored)]
    if any(item.texts for item in scored):
        found.append(_texts(scored))
    if any(item.writing for item in scored):
        found.append(_writing(scored))
    return found


def _records(scored: tuple[CandidateScore, ...]) -> Table:
    rows = table("records, %", "micro-F1", "whole record", "not in the input", left=("records, %",))
    for item in scored:
        if (one := item.records) is not None:
            rows.add_row(_name(item), *(_share(value) for value in (one.micro_f1, one.whole_record, one.ungrounded)))
    return rows


def _fields(scored: tuple[CandidateScore, ...]) -> Table:
    named = [(item, item.records) for item in scored if item.records is not None]
    heads = [f"F1 %, {clip(item.name, 24)}" for item, _ in named]
    rows = table("field", *heads, left=("field",))
    for place, one in enumerate(named[0][1].fields[:_SHOWN_FIELDS]):
        cells = [_share(records.fields[place].f1) if place < len(records.fields) else "" for _, records in named]
        rows.add_row(text(clip(one.name, NAME_CHARS)), *cells)
    return rows


def _texts(scored: tuple[CandidateScore, ...]) -> Table:
    rows = table("texts, %", "ROUGE-L", "token F1", "Levenshtein", left=("texts, %",))
    for item in scored:
        if (one := item.texts) is not None:
            rows.add_row(_name(item), *(_share(value) for value in (one.rouge_l, one.token_f1, one.levenshtein)))
    return rows


def _writing(scored: tuple[CandidateScore, ...]) -> Table:
    rows = table("writing, %", "valid", "degenerate", "cut off", "never stopped", "too long", "n", left=("writing, %",))
    for item in scored:
        if (one := item.writing) is not None:
            shares = (one.valid, one.degenerate, one.cut_off, one.never_stopped, one.too_long)
            rows.add_row(_name(item), *(_share(value) for value in shares), figures.count(one.n))
    return rows


def _share(share: Estimate) -> str:
    return f"{figures.plain(100 * share.value)} ({brief_interval(share)})" if share.scored else "–"


def _name(item: CandidateScore) -> RenderableType:
    return text(clip(item.name, NAME_CHARS))
