"""The operator's calls beside root causes: alarms to classify (labels), tickets to sum up (texts), and open questions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from metier.labs.grammar import Choice, compile_choice, compile_lexicon, expand
from metier.labs.jobs import Call
from metier.labs.telecom import desk_phrases as words

# Share of alarms that the made-up frontier model gets wrong.
_WRONG_ALARM = 0.07
_TRIAGE = (
    "You triage alarms of a mobile network. Read the alarm and answer with exactly one of these classes, nothing else:\n"
    + ", ".join(words.ALARMS)
)
_HANDOVER = (
    "Sum up this trouble ticket for the next shift in two or three sentences. Keep sites, times and figures as they are "
    "written, and say what is open.\n\nTicket:\n"
)


def alarm_call(rng: Random) -> Call:
    """An alarm and its class."""
    book = _book()
    truth = _pick(tuple(book.alarms), rng)
    text = expand((book.frames,), rng).replace("ALARM", expand((book.alarms[truth],), rng))
    said = words.MISTAKEN[truth] if rng.random() < _WRONG_ALARM else truth
    messages = [{"role": "system", "content": _TRIAGE}, {"role": "user", "content": text}]
    return Call("alarm", messages, said, truth, {"temperature": 0})


def ticket_call(rng: Random) -> Call:
    """A ticket of a few entries and its summary, which is drawn from them."""
    book = _book()
    entries = [expand((book.openings,), rng)]
    entries += [expand((book.steps,), rng) for _ in range(2 + int(rng.random() * 4))]
    written = [_capital(entry) for entry in entries]
    ticket = "\n".join(f"{expand((book.hours,), rng)} {entry}" for entry in written)
    answer = f"{written[0]} {written[-1]} {_capital(expand((book.endings,), rng))}"
    return Call("ticket", [{"role": "user", "content": _HANDOVER + ticket}], answer, None, {"temperature": 0.3})


def open_call(rng: Random) -> Call:
    """An engineer's question: no two are the same job."""
    book = _book()
    asked = expand((book.questions,), rng)
    for _ in range(int(rng.random() * 3)):
        asked += _pick(words.JOINTS, rng) + expand((book.questions,), rng)
    answer = " ".join(_capital(expand((book.sentences,), rng)) for _ in range(3 + int(rng.random() * 8)))
    return Call("open", [{"role": "user", "content": _capital(asked) + _pick(("?", ".", ""), rng)}], answer, None, {})


@dataclass(frozen=True)
class _Book:
    frames: Choice
    alarms: dict[str, Choice]
    openings: Choice
    steps: Choice
    endings: Choice
    hours: Choice
    questions: Choice
    sentences: Choice


@lru_cache(maxsize=1)
def _book() -> _Book:
    known = compile_lexicon({**words.WORDS, "alarm": ("ALARM",)})
    return _Book(
        frames=compile_choice(words.ALARM_FRAMES, known),
        alarms={name: compile_choice(patterns, known) for name, patterns in words.ALARMS.items()},
        openings=compile_choice(words.TICKET_OPENINGS, known),
        steps=compile_choice(words.TICKET_STEPS, known),
        endings=compile_choice(words.SUMMARY_ENDINGS, known),
        hours=known["hours"],
        questions=compile_choice(words.QUESTIONS, known),
        sentences=compile_choice(words.SENTENCES, known),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _pick(options: tuple[str, ...], rng: Random) -> str:
    return options[int(rng.random() * len(options))]
