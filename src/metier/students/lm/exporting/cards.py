"""The model card: README.md of an exported folder, with the front matter that Hugging Face reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metier.students.exports import write_bytes

# The licences that Hugging Face has a word for, of those that small base models carry.
_KNOWN = frozenset(
    ["apache-2.0", "mit", "gemma", "llama3.2", "llama3.1", "llama3", "cc-by-4.0", "cc-by-sa-4.0", "bsd-3-clause"]
)
_HUB_NAME = re.compile(r"^\w[\w.-]*/[\w.-]+$")


@dataclass(frozen=True)
class CardFile:
    """A file, or a folder whose `path` ends with a slash; its size is in bytes, `meaning` says what it is for."""

    path: str
    size_bytes: int
    meaning: str


@dataclass(frozen=True)
class CardText:
    """What a model card says. `measured` and `notes` are whole sentences; `files` have their paths in the specialist's
    folder.

    `licence_link` is an address or empty; `languages` are codes ("en"); `prompt` is an example prompt as the model wants
    it; `schema` the JSON Schema its answers are held to, as text, empty where there is none.
    """

    name: str
    description: str
    base_model: str
    licence: str
    conditions: str
    measured: Sequence[str]
    files: Sequence[CardFile]
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
        front_matter(card.base_model, card.licence, licence_link=card.licence_link, languages=card.languages),
        f"# {card.name}\n\n{card.description}",
        f"Base model: {card.base_model}. Licence: {card.licence}. {card.conditions}".rstrip(),
    ]
    if card.measured:
        parts.append("## How good it is\n\n" + bulleted(card.measured))
    if card.prompt:
        parts.append("## How to ask it\n\nGreedy decoding, with this very prompt:\n\n" + fenced(card.prompt))
    if card.schema:
        parts.append("Answers are held to this JSON Schema while they are written:\n\n" + fenced(card.schema, "json"))
    if card.files:
        rows = "\n".join(f"| `{one.path}` | {one.size_bytes / 1e6:,.1f} MB | {one.meaning} |" for one in card.files)
        parts.append(
            f"## Files\n\nPaths are in the specialist's folder.\n\n| file | size | what it is |\n|---|---|---|\n{rows}"
        )
    if card.notes:
        parts.append("## Notes\n\n" + bulleted(card.notes))
    return "\n\n".join(parts) + "\n"


def front_matter(
    base_model: str, licence: str, *, licence_link: str = "", languages: Sequence[str] = (), **more: object
) -> str:
    """The YAML block that Hugging Face reads; `base_model` is told where it is a name on the hub. `more` are further
    fields. JSON's strings and lists are YAML too."""
    known = licence.lower() in _KNOWN
    fields: dict[str, object] = {"license": licence.lower() if known else "other"}
    if not known:
        fields["license_name"] = re.sub(r"[^\w.]+", "-", licence.lower()).strip("-") or "unknown"
        if licence_link:
            fields["license_link"] = licence_link
    if _HUB_NAME.match(base_model):
        fields["base_model"] = base_model
    if languages:
        fields["language"] = list(languages)
    fields |= {"pipeline_tag": "text-generation", "tags": ["metier", "specialist"], **more}
    return "\n".join(
        ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()), "---"]
    )


def bulleted(sentences: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
