"""Tables of what is written rather than chosen: records field by field, texts, and how the writing went."""

from __future__ import annotations

from collections.abc import Sequence

from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import CandidateScore, WritingScore
from metier.artefacts.specialists import Card, LanguageModel
from metier.artefacts.tasks import OutputKind
from metier.pages import figures
from metier.pages.content import Quality
from metier.pages.tables import Table, pair
from metier.pages.text import clip

_NAME_CHARS = 48


def fields_table(item: CandidateScore) -> Table:
    """One candidate field by field, then over all fields."""
    records = item.records
    name = clip(item.name, 60)
    columns = ("field", "in the truth", "exact", "normalised", "precision", "recall", "F1")
    if records is None:
        return Table(f"Fields, in percent: {name}", columns, ())
    rows = tuple(
        (
            clip(one.name, _NAME_CHARS),
            figures.count(one.n_present),
            *(_share(value, 0) for value in (one.exact, one.normalised, one.precision, one.recall, one.f1)),
        )
        for one in records.fields
    )
    return Table(f"Fields, in percent: {name}", columns, rows)


def records_table(quality: Quality) -> Table:
    """Every candidate's records as a whole."""
    rows = tuple(
        (_named(item), *(_share(value) for value in (one.micro_f1, one.macro_f1, one.whole_record, one.ungrounded)))
        for item in quality.candidates
        if (one := item.records) is not None
    )
    columns = ("candidate", "micro-F1", "macro-F1", "whole record right", "values not in the input")
    return Table("All fields together, in percent", columns, rows)


def texts_table(quality: Quality) -> Table:
    """Every candidate's texts."""
    scored = [(item, item.texts) for item in quality.candidates if item.texts is not None]
    rows = tuple(
        (_named(item), _share(item.accuracy), _share(one.rouge_l), _share(one.token_f1), _share(one.levenshtein))
        for item, one in scored
    )
    limit = figures.plain(scored[0][1].acceptable_from, 2) if scored else ""
    columns = ("candidate", f"acceptable (ROUGE-L ≥ {limit})", "ROUGE-L", "token F1", "Levenshtein ratio")
    return Table("Texts against the expected ones, in percent", columns, rows)


def writing_table(quality: Quality) -> Table:
    """How every candidate's writing went; a text has no schema to be valid under. What never stopped is degenerate or cut
    off."""
    judged = quality.kind is OutputKind.FIELDS
    rows = tuple(
        (_named(item), figures.count(one.n), *(_share(value) for value in _rates(one, judged)))
        for item in quality.candidates
        if (one := item.writing) is not None
    )
    valid = ("valid under the schema",) if judged else ()
    columns = ("candidate", "answers", *valid, "degenerate", "cut off", "never stopped", "input too long")
    return Table("How the writing went, in percent of the answers", columns, rows)


def secondary_table(quality: Quality) -> Table:
    """Paired differences of scores that carry no verdict."""
    rows = tuple(
        (pair(item), name, figures.points(value.value), figures.span(value, figures.points))
        for item in quality.comparisons
        for name, value in item.secondary
    )
    return Table("Further differences on the same items, in points", ("pair", "score", "difference", "interval"), rows)


def language_model_table(cards: Sequence[Card]) -> Table:
    """What a tuned language model has to say of itself: a column for each."""
    described = [(card, _described(card, card.language_model)) for card in cards if card.language_model is not None]
    rows = tuple((name, *(words[name] for _, words in described)) for name in (described[0][1] if described else ()))
    return Table("What was trained", ("", *(card.student for card, _ in described)), rows)


def _described(card: Card, model: LanguageModel) -> dict[str, str]:
    builds = ", ".join(f"{name} {figures.size(n)}" for name, n in model.builds)
    return {
        "base model": card.base_model or "–",
        "weights it started from (SHA-256)": model.base_sha256 or "–",
        "their commit on the hub": model.base_revision or "–",
        "licence and its conditions": " — ".join(part for part in (card.licence, model.conditions) if part) or "–",
        "vocabulary": f"{_shrunk(model.n_vocabulary_base, model.n_vocabulary, 'tokens')}; {model.vocabulary}",
        "parameters": _shrunk(model.n_parameters_base, model.n_parameters, ""),
        "prompt": _baked(model),
        "tuning": _tuning(model),
        "builds": builds or "–",
        "served build": model.served or "–",
        "served against trained": model.parity or "–",
        "preference tuning": model.preference or "not done",
        "learning from the tune split too": model.refit or "not done",
    }


def _shrunk(before: int, after: int, unit: str) -> str:
    words = f" {unit}" if unit else ""
    if before == after or not before:
        return f"{figures.count(after)}{words}"
    return f"{figures.count(before)} → {figures.count(after)}{words} ({figures.percent(after / before, 0)} are left)"


def _baked(model: LanguageModel) -> str:
    saved = model.prompt_tokens_saved
    told = f"{figures.significant(saved)} tokens saved a call" if saved > 0 else "no tokens saved"
    return f"{told}; {model.baking}" if model.baking else told


def _tuning(model: LanguageModel) -> str:
    speed = (
        f"{figures.significant(model.examples_per_s)} examples/s, {figures.significant(model.tokens_per_s)} tokens/s"
    )
    return f"{model.method}; {speed}; {figures.size(model.peak_memory_bytes)} of memory at most"


def _rates(one: WritingScore, judged: bool) -> tuple[Estimate, ...]:
    return (*((one.valid,) if judged else ()), one.degenerate, one.cut_off, one.never_stopped, one.too_long)


def _share(estimate: Estimate, digits: int = 1) -> str:
    """Percent without the sign, as many stand side by side: 96.0 (91.2–98.4); `digits` are the bounds'."""
    if not estimate.scored:
        return figures.NOT_SCORED
    low, high = (figures.plain(100 * bound, digits) for bound in (estimate.low, estimate.high))
    return f"{figures.plain(100 * estimate.value)} ({low}–{high})"


def _named(item: CandidateScore) -> str:
    return clip(item.name, _NAME_CHARS)
