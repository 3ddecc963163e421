"""The prompts of the support desk: several wordings of the same job, the message not always last."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from metier.labs.grammar import expand
from metier.labs.messages import labels, phrasebook
from metier.labs.support_phrases import OTHER

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Wording:
    """Constant text before and after the input, in a system message and in the user's message."""

    system: str
    before: str
    after: str

    def messages(self, text: str) -> Messages:
        """The request's messages with `text` in its place."""
        user = {"role": "user", "content": f"{self.before}{text}{self.after}"}
        return [{"role": "system", "content": self.system}, user] if self.system else [user]


@lru_cache(maxsize=1)
def intent_wordings() -> tuple[Wording, ...]:
    """Three wordings of "which of these labels is it?"."""
    names = "\n".join(f"- {name}" for name in labels())
    return (
        Wording(
            "You sort incoming messages for the customer service of Halden, an online shop for household devices.\n"
            "Read the customer's message and answer with exactly one of the labels below, nothing else.\n"
            "If there are several requests, the first one counts. What is already settled does not count.\n"
            f"If nothing fits, answer {OTHER}.\n\nLabels, each with an example:\n{_examples()}",
            "",
            "",
        ),
        Wording(
            "",
            'Which topic does this customer message belong to?\n\nMessage: """',
            f'"""\n\nTopics:\n{names}\n\nThe first open request decides; "{OTHER}" is for everything that is not for us. '
            "Reply with the topic's name only.",
        ),
        Wording(
            "Act as the router of Halden's help desk. Tickets go to teams by label. Output one label in lower case, "
            f"without quotes or explanation. Open requests only, the first if there are many.\nLABELS\n{names}",
            "New ticket:\n\n",
            "\n\nLabel:",
        ),
    )


ORDER_WORDINGS = (
    Wording(
        "Extract the order from the e-mail as JSON with the keys items (a list of product and quantity), city, delivery "
        "and po_number. Use null for what is not mentioned.",
        "",
        "",
    ),
    Wording("", "Turn this order into JSON (items, city, delivery, po_number):\n---\n", "\n---\nJSON only."),
)
SUMMARY_WORDINGS = (
    Wording(
        "Summarise the ticket for the next agent in at most two sentences. Keep order numbers and amounts.", "", ""
    ),
    Wording("You write hand-over notes.", "Ticket so far:\n", "\n\nWrite the note."),
)
ORDER_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "order",
        "schema": {
            "type": "object",
            "properties": {
                "items": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"product": {"type": "string"}, "quantity": {"type": "integer"}},
                        "required": ["product", "quantity"],
                    },
                },
                "city": {"type": ["string", "null"]},
                "delivery": {"type": ["string", "null"]},
                "po_number": {"type": ["string", "null"]},
            },
            "required": ["items", "city", "delivery", "po_number"],
        },
    },
}


def _examples() -> str:
    # A fixed seed of its own: the prompt must be the same text in every log.
    rng, book = Random(20), phrasebook()
    lines = [f"- {name}: {expand((book.intents[name],), rng)}" for name in book.names]
    return "\n".join([*lines, f"- {OTHER}: do you sponsor our football club?"])
