"""The jobs in the support desk's traffic: intents (label), orders (fields), notes (text) and whatever people ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from metier.labs import open_phrases, support_phrases
from metier.labs.answers import label_answer
from metier.labs.grammar import Choice, compile_choice, compile_lexicon, expand
from metier.labs.messages import Habit, write_message
from metier.labs.prompts import (
    ORDER_FORMAT,
    ORDER_WORDINGS,
    SUMMARY_WORDINGS,
    Messages,
    Wording,
    intent_wordings,
)

# One order e-mail in thirty is read wrongly: a quantity off by one.
_WRONG_ORDER = 1 / 30


@dataclass(frozen=True)
class Call:
    """One call without its place in time: `truth` is the right answer where the job has one, else None. Where the answer
    is structured, `label` is what it says, and `tool` the tool whose arguments it is."""

    job: str
    messages: Messages
    answer: str
    truth: str | None
    parameters: dict[str, Any]
    label: str | None = None
    tool: str | None = None

    @property
    def said(self) -> str:
        """What is compared with the truth."""
        return self.answer if self.label is None else self.label


Job = Callable[[Random, Habit, float], Call]


def intent_call(rng: Random, habit: Habit, difficulty: float) -> Call:
    """A customer's message and its label."""
    message = write_message(rng, habit, difficulty)
    wording = _usual(intent_wordings(), rng)
    return Call("intent", wording.messages(message.text), label_answer(message, rng), message.truth, {"temperature": 0})


def order_call(rng: Random, _habit: Habit, _difficulty: float) -> Call:
    """An order by e-mail and its fields as JSON."""
    text, fields = _order(rng)
    answer = dict(fields, items=[dict(item) for item in fields["items"]])
    if rng.random() < _WRONG_ORDER:
        answer["items"][0]["quantity"] += 1
    wording = _usual(ORDER_WORDINGS, rng)
    parameters = {"temperature": 0, "response_format": ORDER_FORMAT}
    return Call("order", wording.messages(text), json.dumps(answer), json.dumps(fields), parameters)


def note_call(rng: Random, habit: Habit, difficulty: float) -> Call:
    """A ticket of a few messages and a hand-over note in free words."""
    asked = [write_message(rng, habit, difficulty) for _ in range(1 + int(rng.random() * 3))]
    replies = [expand((_book().replies,), rng) for _ in asked]
    thread = "\n".join(f"Customer: {one.text}\nAgent: {reply}" for one, reply in zip(asked, replies, strict=True))
    topics = " and ".join(dict.fromkeys(one.truth.replace("_", " ") for one in asked))
    answer = expand((_book().notes,), rng).replace("TOPIC", topics)
    return Call("note", _usual(SUMMARY_WORDINGS, rng).messages(thread), answer, None, {"temperature": 0.3})


def open_call(rng: Random, _habit: Habit, _difficulty: float) -> Call:
    """A colleague's question to the assistant: no two are the same job."""
    book = _book()
    question = expand((book.clauses,), rng)
    for _ in range(int(rng.random() * 3)):
        question += _pick(open_phrases.JOINTS, rng) + expand((book.clauses,), rng)
    content = question[0].upper() + question[1:] + _pick(open_phrases.MARKS, rng)
    messages = [{"role": "user", "content": content}]
    sentences = 3 + int(rng.random() * 8)
    answer = " ".join(expand((book.sentences,), rng) for _ in range(sentences))
    return Call("open", messages, answer, None, {})


# Shares of the traffic.
JOBS: dict[str, tuple[float, Job]] = {
    "intent": (0.60, intent_call),
    "order": (0.15, order_call),
    "note": (0.10, note_call),
    "open": (0.15, open_call),
}


@dataclass(frozen=True)
class _Book:
    product: Choice
    city: Choice
    future: Choice
    number: Choice
    replies: Choice
    notes: Choice
    clauses: Choice
    sentences: Choice


@lru_cache(maxsize=1)
def _book() -> _Book:
    words = compile_lexicon({**support_phrases.WORDS, **open_phrases.WORDS})
    return _Book(
        product=words["product"],
        city=words["city"],
        future=words["future"],
        number=words["number"],
        replies=compile_choice(open_phrases.REPLIES, words),
        notes=compile_choice(open_phrases.NOTES, words),
        clauses=compile_choice(open_phrases.CLAUSES, words),
        sentences=compile_choice(open_phrases.SENTENCES, words),
    )


def _order(rng: Random) -> tuple[str, dict[str, Any]]:
    book = _book()
    items = [
        {"product": expand((book.product,), rng), "quantity": 1 + int(rng.random() ** 3 * 40)}
        for _ in range(1 + int(rng.random() * 3))
    ]
    city = expand((book.city,), rng) if rng.random() < 0.8 else None
    delivery = expand((book.future,), rng) if rng.random() < 0.7 else None
    po = f"PO-{expand((book.number,), rng)}" if rng.random() < 0.6 else None
    wanted = ", ".join(f"{item['quantity']} x {item['product']}" for item in items)
    parts = [expand((_order_opening(),), rng), wanted, "."]
    parts += (
        [f" Deliver to {city}." if rng.random() < 0.5 else f" The goods go to our branch in {city}."] if city else []
    )
    parts += [f" We need them by {delivery}."] if delivery else []
    parts += [f" Our reference is {po}." if rng.random() < 0.5 else f" ({po})"] if po else []
    return "".join(parts), {"items": items, "city": city, "delivery": delivery, "po_number": po}


@lru_cache(maxsize=1)
def _order_opening() -> Choice:
    return compile_choice(open_phrases.ORDER_OPENINGS, {})


def _pick(options: tuple[str, ...], rng: Random) -> str:
    return options[int(rng.random() * len(options))]


def _usual(wordings: tuple[Wording, ...], rng: Random) -> Wording:
    """The first wording is the usual one: squared, a uniform number falls on low places more often."""
    return wordings[int(rng.random() ** 2 * len(wordings))]
