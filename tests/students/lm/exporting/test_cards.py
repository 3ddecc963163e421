"""Model cards: front matter that a YAML reader takes, and text that nothing in it can break."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metier.students.lm.exporting import CardFile, CardText, card_text, write_model_card

CARD = CardText(
    name="receipts: fields",
    description="Reads company, date, address and total from a receipt's text.",
    base_model="google/gemma-3-270m",
    licence="gemma",
    conditions="Use is bound to the Gemma terms: https://ai.google.dev/gemma/terms",
    measured=["Whole records right: 81.0% of 100 (72.2% to 87.5%)."],
    files=[CardFile("builds/q8_0.gguf", 117_000_000, "the model in 8 bits")],
    languages=["en"],
    prompt="a\n```\nb",
    schema='{"type": "object"}',
)


def _front(text: str) -> dict[str, object]:
    yaml = pytest.importorskip("yaml")
    front: dict[str, object] = yaml.safe_load(text.split("---\n")[1])
    return front


def test_the_front_matter(tmp_path: Path) -> None:
    text = write_model_card(tmp_path / "export", CARD).read_text()
    assert _front(text) == {
        "license": "gemma",
        "base_model": "google/gemma-3-270m",
        "language": ["en"],
        "pipeline_tag": "text-generation",
        "tags": ["metier", "specialist"],
    }
    assert "81.0% of 100" in text
    assert "| `builds/q8_0.gguf` | 117.0 MB | the model in 8 bits |" in text
    assert "````\na\n```\nb\n````" in text


def test_a_licence_without_a_word_at_the_hub_and_a_local_base() -> None:
    text = card_text(
        replace(CARD, licence='House "rules" v2', licence_link="https://example.org/x", base_model="./base")
    )
    front = _front(text)
    assert front["license"] == "other"
    assert front["license_name"] == "house-rules-v2"
    assert front["license_link"] == "https://example.org/x"
    assert "base_model" not in front
