"""The options of a question: which of the eight causes each one says, and by which label the question calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz import fuzz

from metier.errors import Unreadable
from metier.views.telelogs.tables import quoted


@dataclass(frozen=True)
class Cause:
    """One of the eight causes as an option says it.

    `keyword` must occur in an option that says it, no word of `contrary` may (it would say the opposite), and no number
    but `numbers`: another threshold is another cause. `essence`: what says it, however else it is worded.
    """

    text: str
    keyword: str
    essence: str
    contrary: frozenset[str]
    numbers: frozenset[str] = frozenset()


def _cause(text: str, keyword: str, essence: str, contrary: str, numbers: str = "") -> Cause:
    return Cause(text, keyword, essence, frozenset(contrary.split()), frozenset(numbers.split()))


# The texts as published (arXiv 2507.21974).
KNOWN: dict[str, Cause] = {
    "C1": _cause(
        "The serving cell's downtilt angle is too large, causing weak coverage at the far end.",
        r"tilt",
        r"tilt.*\btoo (large|big|steep|high)\b|excessive\b.*tilt",
        "small smaller strong near",
    ),
    "C2": _cause(
        "The serving cell's coverage distance exceeds 1km, resulting in over-shooting.",
        r"distance|over-?\s?shoot",
        r"cover.*\b(exceeds?|over|beyond|(more|greater|larger) than) (1 ?km|1000 ?m)\b",
        "within below less under short",
        "1 1.0 1000",
    ),
    "C3": _cause(
        "A neighboring cell provides higher throughput.",
        r"neighbou?r.*throughput|throughput.*neighbou?r",
        r"neighbou?r.*(provides?|offers?).*(higher|better) throughput|(higher|better) throughput.*from.*neighbou?r",
        "lower less worse",
    ),
    "C4": _cause(
        "Non-colocated co-frequency neighboring cells cause severe overlapping coverage.",
        r"overlap|co-?\s?frequency",
        r"(severe|serious|excessive)(ly)? overlap",
        "slight insufficient lack missing",
    ),
    "C5": _cause(
        "Frequent handovers degrade performance.",
        r"hand-?\s?(over|off)",
        r"\bfrequent hand ?(over|off)s?\b",
        "few rare rarely infrequent missing late delayed",
    ),
    "C6": _cause(
        "Neighbor cell and serving cell have the same PCI mod 30, leading to interference.",
        r"mod",
        r"(same|equal|identical).*\bpci mod(ulo)? ?30\b|\bpci mod(ulo)? ?30 (collision|conflict|interference)",
        "different distinct unequal",
        "30",
    ),
    "C7": _cause(
        "Test vehicle speed exceeds 40km/h, impacting user throughput.",
        r"speed|fast",
        r"\bspeed\b.*\b(exceeds?|exceeding|above|over|(more|greater|higher|faster) than) 40 ?km",
        "below under less slow",
        "40",
    ),
    "C8": _cause(
        "Average scheduled RBs are below 160, affecting throughput.",
        r"\brbs?\b|resource blocks?",
        r"average.*(\brbs?\b|resource blocks?).*\b(below|under|(less|lower|fewer) than) 160\b",
        "above exceed exceeds over more",
        "160",
    ),
}
CLASSES = tuple(KNOWN)

# How alike an option and the published text must be, of 100, and by how much more than the second best. Rewordings
# of a word or two stay above 75; texts of two different causes are at most 60 alike.
_ALIKE, _AHEAD = 72.0, 6.0
_DENIALS = frozenset(["not", "no", "never", "without", "isn", "doesn", "aren", "none"])

_LABEL = r"([A-Za-z]{0,2}\d{1,2}|[ivx]{2,4}|[IVX]{2,4}|[A-Za-z])"
_CALLED = r"(?:(?i:(?:root\s+)?(?:cause|option|choice|reason))\s*#?\s*)?"
_PARTED = r"(?:[)\].:：、>=][)\].:：>\s*]*|\s*[-\u2013\u2014]\s+|\t\s*)"
_LINE = re.compile(rf"\s*[-*•(\[<\"']*\s*{_CALLED}{_LABEL}\s*\**(?:\s*){_PARTED}(?<=[\s)\].:：、*>=])(\S.*)")
_INLINE = re.compile(rf"(?<![\w.]){_LABEL}\s?[):.：]\s+")


def find_choices(prose: Sequence[str]) -> dict[str, str] | None:
    """Each class offered, to its label in this question; None where no options are there.

    Raises Unreadable where an option says none of the eight causes, two options say the same, or causes stand there without
    a label.
    """
    found = _found(tuple(prose))
    return None if found is None else dict(found)


# Questions of one source say the same around their tables.
@lru_cache(maxsize=64)
def _found(prose: tuple[str, ...]) -> dict[str, str] | None:
    # Stretches of labelled lines: the options, but also numbered instructions or notes, of which none names a cause.
    lists = [options for options in (*_listed(prose), *_inline(prose)) if options]
    offering = [options for options in lists if any(cause_of(text) for _, text in options)]
    if not offering:
        if any(len(options) > 1 for options in lists):
            label, text = next(options for options in lists if len(options) > 1)[0]
            raise Unreadable(f"option {label}: {quoted(text)} is none of the eight causes, nor is any other")
        bare = [line for line in prose if _tells(line)]
        if len(bare) > 1:
            raise Unreadable(f"options without a label: {quoted(bare[0])} and {len(bare) - 1} more")
        return None
    labels = _labels([option for options in offering for option in options])
    lost = [line for line in prose if (cause := _tells(line)) and cause not in labels]
    if lost:
        raise Unreadable(f"an option whose label cannot be told: {quoted(lost[0])}")
    return labels


def _tells(line: str) -> str | None:
    """The cause that a line says, whatever two words at most stand before it."""
    words = line.split(None, 2)
    tails = (" ".join(words[n:]) for n in range(len(words)))
    return next((cause for tail in tails if (cause := cause_of(tail))), None)


def _labels(options: Sequence[tuple[str, str]]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for label, text in options:
        cause = cause_of(text)
        if cause is None:
            raise Unreadable(f"option {label}: {quoted(text)} is none of the eight causes")
        if labels.get(cause, label) != label:
            raise Unreadable(f"options {labels[cause]} and {label} both say cause {cause}")
        labels[cause] = label
    if len(set(labels.values())) != len(labels):
        raise Unreadable(f"two options have the same label: {', '.join(labels.values())}")
    return labels


def _listed(prose: Sequence[str]) -> list[list[tuple[str, str]]]:
    lists: list[list[tuple[str, str]]] = [[]]
    for line in prose:
        option = _LINE.fullmatch(line)
        if option and len(_INLINE.findall(line)) < 2:
            lists[-1].append((option[1], option[2].strip()))
        elif lists[-1]:
            lists.append([])
    return lists


def _inline(prose: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Options that stand one after the other in one line."""
    lists = []
    for line in prose:
        parts = _INLINE.split(line)
        labels, texts = parts[1::2], parts[2::2]
        if len(labels) > 1:
            options = [(label, text.strip(" ;,")) for label, text in zip(labels, texts, strict=True)]
            # Prose with a full stop after a number looks the same at a glance; it names no cause.
            if any(cause_of(text) for _, text in options):
                lists.append(options)
    return lists


@lru_cache(maxsize=4096)
def cause_of(text: str) -> str | None:
    """The cause ("C1" to "C8") that an option's text says, None where it says none of them clearly."""
    words = _words(text)
    scores = sorted(((fuzz.token_set_ratio(words, _PLAIN[name]), name) for name in KNOWN), reverse=True)
    (best, name), (second, _) = scores[:2]
    if best < _ALIKE or best - second < _AHEAD:
        meant = [name for name, cause in KNOWN.items() if re.search(cause.essence, words)]
        if len(meant) != 1:
            return None
        name = meant[0]
    cause = KNOWN[name]
    said = set(words.split())
    numbers = set(re.findall(r"\d+(?:\.\d+)?", _thousands(text)))
    if said & (_DENIALS | cause.contrary) or not numbers <= cause.numbers:
        return None
    return name if re.search(cause.keyword, text.lower()) else None


def _words(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", _thousands(text).lower()).strip()


def _thousands(text: str) -> str:
    """1,000 as 1000."""
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)


_PLAIN: Mapping[str, str] = {name: _words(cause.text) for name, cause in KNOWN.items()}
