"""What a tuned language model says of itself: where it comes from, under what terms, and in what forms it is stored."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import RenderableType

from metier.artefacts.specialists import Card, LanguageModel
from metier.pages import figures
from metier.pages.console.kit import table, text

_CELL_CHARS = 1_000


def language_model_table(card: Card) -> RenderableType | None:
    """The facts of a language model, a row each; None for a student that is none."""
    if card.language_model is None:
        return None
    rows = table("", "", left=("", ""), header=False)
    for name, value in _facts(card, card.language_model):
        if value:
            rows.add_row(text(name, style="dim"), text(value, _CELL_CHARS))
    return rows


def _facts(card: Card, model: LanguageModel) -> Iterator[tuple[str, str]]:
    commit = f"commit {model.base_revision}, " if model.base_revision else ""
    yield "base model", f"{card.base_model} ({commit}sha256 {model.base_sha256[:12]}…)"
    yield "licence", f"{card.licence}. {model.conditions}"
    yield "vocabulary", _vocabulary(model)
    yield "prompt", _prompt(model)
    yield "tuning", _tuning(model)
    yield "preference", model.preference
    yield "refit", model.refit
    yield "builds", ", ".join(f"{name} {figures.size(n_bytes)}" for name, n_bytes in model.builds)
    yield "answers with", f"{model.served}. {card.precision_reason}"
    yield "parity", model.parity


def _vocabulary(model: LanguageModel) -> str:
    tokens = f"{figures.count(model.n_vocabulary)} of {figures.count(model.n_vocabulary_base)} tokens"
    parameters = f"{figures.count(model.n_parameters)} of {figures.count(model.n_parameters_base)} parameters"
    return f"{tokens}, {parameters}. {model.vocabulary}"


def _prompt(model: LanguageModel) -> str:
    saved = model.prompt_tokens_saved
    told = "" if math.isnan(saved) else f"{figures.plain(saved)} tokens saved a call. "
    return f"{told}{model.baking}"


def _tuning(model: LanguageModel) -> str:
    parts = [model.method]
    if not math.isnan(model.examples_per_s):
        parts.append(f"{figures.plain(model.examples_per_s)} examples a second")
    if not math.isnan(model.tokens_per_s):
        parts.append(f"{figures.plain(model.tokens_per_s, 0)} tokens a second")
    if model.peak_memory_bytes:
        parts.append(f"at most {figures.size(model.peak_memory_bytes)} of memory")
    return ", ".join(parts)
