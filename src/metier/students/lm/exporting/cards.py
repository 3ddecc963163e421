"""The model card: README.md of an exported folder, with the front matter that Hugging Face reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metier.students.exports import write_bytes

# The licences that Hugging Face has a word for, of those that small base models carry.
_KNOWN = frozenset(
    ["apache-2.0", "mit", "gemma", "llama3.2", "llama3.1", "llama3", "cc-by-4.0", "cc-by-sa-4.0", "bsd-3-clause"]
)
_HUB_NAME = re.compile(r"^\w[\w.-]*/[\w.-]+$")


@dataclass(frozen=True)
class CardText:
    """What a model card says. `measured` and `notes` are whole sentences; `files` are names with sizes in bytes.

    `licence_link` is an address or empty; `languages` are codes ("en"); `prompt` is an example prompt as the model wants
    it; `schema` the JSON Schema its answers are held to, as text, empty where there is none.
    """

    name: str
    description: str
    base_model: str
    licence: str
    conditions: str
    measured: Sequence[str]
    files: Mapping[str, int]
    licence_link: str = ""
    languages: Sequence[str] = ()
    prompt: str = ""
    schema: str = ""
    notes: Sequence[str] = ()


def write_model_card(folder: Path, card: CardText) -> Path:
    """Write `folder`/README.md, at once or not at all; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "README.md"
    write_bytes(path, card_text(card).encode())
    return path


def card_text(card: CardText) -> str:
    """The card as Markdown with front matter."""
    parts = [
        _front_matter(card),
        f"# {card.name}\n\n{card.description}",
        f"Base model: {card.base_model}. Licence: {card.licence}. {card.conditions}".rstrip(),
    ]
    if card.measured:
        parts.append("## How good it is\n\n" + _bullets(card.measured))
    if card.prompt:
        parts.append("## How to ask it\n\nGreedy decoding, with this very prompt:\n\n" + _fenced(card.prompt))
    if card.schema:
        parts.append("Answers are held to this JSON Schema while they are written:\n\n" + _fenced(card.schema, "json"))
    if card.files:
        rows = "\n".join(f"| `{name}` | {size / 1e6:,.1f} MB |" for name, size in card.files.items())
        parts.append(f"## Files\n\n| file | size |\n|---|---|\n{rows}")
    if card.notes:
        parts.append("## Notes\n\n" + _bullets(card.notes))
    return "\n\n".join(parts) + "\n"


def _front_matter(card: CardText) -> str:
    """YAML; JSON's strings and lists are YAML too."""
    known = card.licence.lower() in _KNOWN
    fields: dict[str, object] = {"license": card.licence.lower() if known else "other"}
    if not known:
        fields["license_name"] = re.sub(r"[^\w.]+", "-", card.licence.lower()).strip("-") or "unknown"
        if card.licence_link:
            fields["license_link"] = card.licence_link
    if _HUB_NAME.match(card.base_model):
        fields["base_model"] = card.base_model
    if card.languages:
        fields["language"] = list(card.languages)
    fields["pipeline_tag"] = "text-generation"
    fields["tags"] = ["metier", "specialist"]
    return "\n".join(
        ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()), "---"]
    )


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
