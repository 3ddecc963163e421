"""What customers write: a request wrapped in greetings, history and distractions, typed the way people type."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import TypeVar

from metier.labs import support_phrases
from metier.labs.grammar import Choice, compile_choice, compile_lexicon, expand

T = TypeVar("T")

# Frequencies fall with the rank of the intent as rank^-0.6: the tail of a real support desk is long.
_TAIL = 0.6
_OUT_OF_SCOPE_SHARE = 0.03
# Shares at difficulty 1, to which all scale: of telling words made rare; of messages that mean the rarer of two things;
# up to which share messages mention a request that is settled, or add a second one (the prompts say: the first counts).
_REWORDED = 0.9
_AMBIGUOUS = 0.03
_SETTLED = 0.20
_SECOND = 0.27
_SETTLED_REQUESTS = (
    ("last week I wrote: ", " that is solved. now: "),
    ("you have already answered this one: ", " what I ask today is: "),
    ("forget my earlier message, ", " it is done. instead: "),
    ("my wife asked: ", " never mind that, for me it is: "),
    ("before, it was ", " this time it's something else, "),
    ("I thought I had to write ", " but no, that one sorted itself out. however, "),
)
_ALSO = ("also, ", "and another thing: ", "besides, ", "oh, and ", "by the way, ", "once that is done: ")
_NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz", strict=True))


@dataclass(frozen=True)
class Message:
    """`text` as written, `truth` what it asks for. `hard`: even a careful reader may take it for something else."""

    text: str
    truth: str
    hard: bool


@dataclass(frozen=True)
class Habit:
    """How a customer writes: `sloppiness` typos a word, in [0, 0.1]; `chatty` in [0, 1]; `lower` leaves out capitals."""

    sloppiness: float
    chatty: float
    lower: bool


@dataclass(frozen=True)
class Phrasebook:
    """The phrases of the support desk, compiled."""

    intents: dict[str, Choice]
    names: tuple[str, ...]
    cumulative: tuple[float, ...]
    out_of_scope: Choice
    greetings: Choice
    context: Choice
    distractions: Choice
    closings: Choice
    telling: re.Pattern[str]


@lru_cache(maxsize=1)
def phrasebook() -> Phrasebook:
    """The compiled phrases (made once, on first use)."""
    lexicon = compile_lexicon(support_phrases.WORDS)
    intents = {name: compile_choice(patterns, lexicon) for name, patterns in support_phrases.INTENTS.items()}
    weights = [(rank + 2) ** -_TAIL for rank in range(len(intents))]
    return Phrasebook(
        intents=intents,
        names=tuple(intents),
        cumulative=tuple(accumulate(weights)),
        out_of_scope=compile_choice(support_phrases.OUT_OF_SCOPE, lexicon),
        greetings=compile_choice(support_phrases.GREETINGS, lexicon),
        context=compile_choice(support_phrases.CONTEXT, lexicon),
        distractions=compile_choice(support_phrases.DISTRACTIONS, lexicon),
        closings=compile_choice(support_phrases.CLOSINGS, lexicon),
        # Longest first, so that "gift card" is not read as "gift" and "card".
        telling=re.compile(rf"\b({'|'.join(sorted(support_phrases.SYNONYMS, key=len, reverse=True))})\b"),
    )


def labels() -> tuple[str, ...]:
    """All labels a message may have, OTHER last."""
    return (*phrasebook().names, support_phrases.OTHER)


def habit(rng: Random) -> Habit:
    """A customer's way of writing."""
    return Habit(sloppiness=0.06 * rng.random() ** 2, chatty=rng.random(), lower=rng.random() < 0.4)


def write_message(rng: Random, habit: Habit, difficulty: float) -> Message:
    """One message. `difficulty` in [0, 1] scales rare words, settled and second requests, typos and ambiguity."""
    book, random = phrasebook(), rng.random
    if random() < _OUT_OF_SCOPE_SHARE:
        text = _wrap(rng, book, habit, expand((book.out_of_scope,), rng))
        return Message(_typed(text, rng, habit, difficulty), support_phrases.OTHER, False)
    truth = book.names[bisect(book.cumulative, random() * book.cumulative[-1])]
    fate = random() / difficulty if difficulty else 1.0
    # What is written could mean two things, and the rarer one is meant.
    ambiguous = fate < _AMBIGUOUS
    asked = _request(rng, book, _pick(support_phrases.CONFUSABLE[truth], random()) if ambiguous else truth, difficulty)
    if _AMBIGUOUS <= fate < _SETTLED:
        before, after = _pick(_SETTLED_REQUESTS, random())
        asked = f"{before}{_request(rng, book, _other(truth, rng, book), difficulty)}{after}{asked}"
    elif _SETTLED <= fate < _SECOND:
        asked = f"{asked} {_pick(_ALSO, random())}{_request(rng, book, _other(truth, rng, book), difficulty)}"
    text = _wrap(rng, book, habit, asked)
    return Message(_typed(text, rng, habit, difficulty), truth, fate < _SECOND)


def _request(rng: Random, book: Phrasebook, intent: str, difficulty: float) -> str:
    return _reworded(expand((book.intents[intent],), rng), rng, book, _REWORDED * difficulty)


def _other(truth: str, rng: Random, book: Phrasebook) -> str:
    """Another request, half of the time one that is easily taken for it."""
    if rng.random() < 0.5:
        return _pick(support_phrases.CONFUSABLE[truth], rng.random())
    return _pick(book.names, rng.random())


def _wrap(rng: Random, book: Phrasebook, habit: Habit, asked: str) -> str:
    random, chatty = rng.random, habit.chatty
    parts = [book.greetings]
    parts += [book.context] * ((random() < chatty) + (random() < 0.4 * chatty))
    if random() < 0.15 + 0.45 * chatty:
        parts.insert(1 + int(random() * len(parts)), book.distractions)
    closing = expand((book.closings,), rng) if random() < 0.5 * chatty else ""
    return f"{expand(tuple(parts), rng)}{asked}{closing}"


def _reworded(text: str, rng: Random, book: Phrasebook, share: float) -> str:
    def rarer(found: re.Match[str]) -> str:
        word = found.group()
        return _pick(support_phrases.SYNONYMS[word], rng.random()) if rng.random() < share else word

    return book.telling.sub(rarer, text)


def _typed(text: str, rng: Random, habit: Habit, difficulty: float) -> str:
    text = text.strip()
    if habit.lower:
        text = text.lower()
    elif text[0].islower():
        text = text[0].upper() + text[1:]
    typos = habit.sloppiness * difficulty * len(text) / 5
    number = int(typos) + (rng.random() < typos % 1)
    for _ in range(number):
        text = _typo(text, int(rng.random() * len(text)), rng.random())
    return text


def _typo(text: str, at: int, kind: float) -> str:
    if kind < 0.35:
        return text[:at] + text[at + 1 :] if len(text) > 1 else text
    if kind < 0.6:
        return text[:at] + text[at : at + 2][::-1] + text[at + 2 :]
    if kind < 0.8:
        return text[:at] + text[at : at + 1] + text[at:]
    return text[:at] + _NEIGHBOURS.get(text[at], text[at]) + text[at + 1 :]


def _pick(options: Sequence[T], uniform: float) -> T:
    return options[int(uniform * len(options))]
