"""Personal data out, typed placeholders in: recognisers of presidio and our own, without a language model.

Presidio's analyzer needs a spaCy model that the package index does not carry. Its recognisers for e-mail, IBAN (check
digits), card (Luhn), IP and phone (libphonenumber) need none and are asked directly; CPF, CNPJ (check digits), US SSN
and names are ours. Names are found after cue words only ("my name is", "Mr"): a name without one stays. What each
recogniser finds is measured by `benchmarks/pii.py` (docs/curate.md).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from metier.errors import MissingExtra
from metier.progress import Progress, silent

ENTITIES = ("EMAIL", "PHONE", "CARD", "IBAN", "IP", "CPF", "CNPJ", "SSN", "NAME")

_PRESIDIO_NAMES = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
}
# Where two findings overlap, the more specific one wins; a phone number is what digits are when nothing else fits.
_PRECEDENCE = ("EMAIL", "IBAN", "CNPJ", "CPF", "CARD", "SSN", "IP", "PHONE", "NAME")
_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "BR", "IN")
_REPORT_EVERY = 2_000

_CPF = re.compile(r"(?<![\d.\-+])\d{3}\.?\d{3}\.?\d{3}-?\d{2}(?![\d\-]|\.\d)")
_CNPJ = re.compile(r"(?<![\d.\-+])\d{2}\.?\d{3}\.?\d{3}/?\d{4}-?\d{2}(?![\d\-]|\.\d)")
_SSN = re.compile(r"(?<![\d\-])(?!000|666|9\d\d)\d{3}(?P<gap>[-. ]| - )(?!00)\d{2}(?P=gap)(?!0000)\d{4}(?![\d\-])")
# Cards as people type them, with separators that presidio's recogniser does not know.
_CARD = re.compile(r"(?<![\d.\-+])\d{4}(?P<gap>[./]|  )\d{4,6}(?P=gap)\d{4,5}(?:(?P=gap)\d{3,4})?(?![\d\-]|\.\d)")
_AT, _DOT = r"\s*(?:@|\(at\)|\[at\]|\bat\b)\s*", r"\s*(?:\(dot\)|\[dot\]|\bdot\b|\bponto\b)\s*"
_LOCAL = rf"[\w+\-]+(?:(?:\.|{_DOT})[\w+\-]+)*"
_SPELT_EMAIL = re.compile(
    rf"{_LOCAL}{_AT}(?:[\w\-]+{_DOT})+[a-z]{{2,}}|[\w.+\-]+ @ (?:[\w\-]+\.)+[a-z]{{2,}}", re.IGNORECASE
)
_SSN_BARE = re.compile(
    r"(?:\bssn|social security(?: number)?)\W{0,3}(?:is\W+|number\W+)?((?!000|666|9\d\d)\d{9})\b", re.IGNORECASE
)
_WORD = r"[A-ZÀ-ÖØ-Þ][\w'’\-]+"
_PARTICLE = r"(?:de|da|do|dos|das|van|von|der|den|del|di|la|le|bin|al)"
_FULL_NAME = rf"({_WORD}(?:\s+(?:{_PARTICLE}\s+){{0,2}}{_WORD}|\s+[A-Z]\.){{0,3}})"
_CUES = (
    r"(?i:\bmy (?:full )?name(?: is|['’]s|:)|\bi am called|\bthis is|\b(?:hi|hello),? i['’]?m"
    r"|\bmeu nome [eé]|\bme chamo|\bmi nombre es|\bje m['’]appelle|\bich hei(?:ß|ss)e"
    r"|\b(?:mr|mrs|ms|miss|dr|prof|sr|sra|senhor|senhora|herr|frau|mme)\b\.?"
    r"|\b(?:full |customer |client |patient )?name\s*:|\bdear|\bsigned,?"
    r"|\b(?:kind |best |warm )?regards,|\bsincerely,|\batenciosamente,|\bcheers,)"
)
_TITLE = r"(?:(?i:mr|mrs|ms|miss|dr|prof|sr|sra|senhora?|herr|frau|mme)\b\.?\s*)?"
_NAME = re.compile(rf"{_CUES}\s*{_TITLE}{_FULL_NAME}")
# What stands after a cue word without being a name. Days and months are names too ("April Park"), but not alone.
_CALENDAR_WORDS = """
monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september
october november december
"""
_OTHER_WORDS = """
sir madam customer team support all everyone colleagues friend friends member user valued hiring i it he she we you they
the a an my our your this that not ok okay please thanks thank mr mrs ms miss dr prof sr sra senhor senhora herr frau mme
"""
_CALENDAR, _NOT_NAMES = frozenset(_CALENDAR_WORDS.split()), frozenset(_OTHER_WORDS.split())
_PLAIN_DIGITS = re.compile(r"^\d+$")
_PHONE_CUE = re.compile(
    r"(?:phone|tel|cell|mobile|\bcall|\btext|whatsapp|contact|\breach|my number|\bfone|telefone|celular|\bfax)"
    r"\W*(?:\w+\W+){0,4}$",
    re.IGNORECASE,
)
# Shorter numbers, in most countries those without an area code, look like item and case numbers.
_FULL_PHONE_DIGITS = 9
_DATE_SHAPE = re.compile(r"^(?:\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ]\d{2,4})$")
_CONTEXT_CHARS = 60
# Presidio's score of a match whose check digits are wrong is 0, that of a lone "::" (IPv6's "any address") 0.1.
_LEAST_SCORE = 0.1
_LEAST_IPV6_GROUPS = 3


@dataclass(frozen=True, order=True)
class Finding:
    """`text[start:end]` is an `entity`, one of ENTITIES."""

    start: int
    end: int
    entity: str


class Scrubber:
    """Replaces personal data by `<EMAIL>`, `<PHONE>` ... and counts what it replaced.

    Raises:
        MissingExtra: presidio-analyzer is not installed.
    """

    def __init__(self) -> None:
        self._recognisers = _presidio()
        self._counts: Counter[str] = Counter()
        self._n_texts = 0

    def find(self, text: str) -> list[Finding]:
        """Personal data in `text`, in order, without overlaps."""
        found = [finding for recogniser in self._recognisers for finding in _ask(recogniser, text)]
        found += _own(text)
        return _without_overlaps(found)

    def __call__(self, text: str) -> str:
        """`text` with a typed placeholder in place of each finding."""
        findings = self.find(text)
        for finding in reversed(findings):
            text = f"{text[: finding.start]}<{finding.entity}>{text[finding.end :]}"
        self._counts.update(finding.entity for finding in findings)
        self._n_texts += bool(findings)
        return text

    def scrub_all(self, texts: Sequence[str | None], progress: Progress = silent) -> list[str | None]:
        """Each text scrubbed; equal texts are looked at, and counted, once."""
        done: dict[str | None, str | None] = {None: None}
        for i, text in enumerate(texts):
            if text not in done:
                done[text] = self(text)  # type: ignore[arg-type]
            if i % _REPORT_EVERY == 0:
                progress("Removing personal data", i, len(texts))
        return [done[text] for text in texts]

    def notes(self) -> tuple[str, ...]:
        """What was replaced so far, for the dataset's notes."""
        counts = ", ".join(f"{n:,} {entity}" for entity, n in sorted(self._counts.items()))
        return (f"personal data replaced in {self._n_texts:,} distinct texts: {counts or 'none found'}",)


def _presidio() -> list[Any]:
    try:
        from presidio_analyzer import PatternRecognizer
        from presidio_analyzer.predefined_recognizers import (
            CreditCardRecognizer,
            EmailRecognizer,
            IbanRecognizer,
            IpRecognizer,
            PhoneRecognizer,
        )
    except ImportError as error:
        raise MissingExtra("pii", "Removing personal data") from error
    return [
        # The e-mail recogniser's own check of the domain fetches a list from the network.
        PatternRecognizer("EMAIL_ADDRESS", patterns=EmailRecognizer.PATTERNS),
        IbanRecognizer(),
        CreditCardRecognizer(),
        IpRecognizer(),
        PhoneRecognizer(supported_regions=_REGIONS, leniency=1),
    ]


def _ask(recogniser: Any, text: str) -> list[Finding]:
    """What one of presidio's recognisers finds; phone numbers only where digits look like one in their surroundings."""
    # Capitals, as IBANs are known by, where they leave every character in its place ("ß" would become "SS").
    capitals = text.upper() if recogniser.supported_entities == ["IBAN_CODE"] else text
    results = recogniser.analyze(capitals if len(capitals) == len(text) else text, recogniser.supported_entities, None)
    found = [Finding(r.start, r.end, _PRESIDIO_NAMES[r.entity_type]) for r in results if r.score > _LEAST_SCORE]
    return [finding for finding in found if _PLAUSIBLE.get(finding.entity, _always)(text, finding)]


def _always(_text: str, _finding: Finding) -> bool:
    return True


def _is_address(text: str, finding: Finding) -> bool:
    """Names of code ("a::b") and the machine itself ("::1") have the form of an IPv6 address, but few groups."""
    number = text[finding.start : finding.end]
    return ":" not in number or sum(bool(group) for group in number.split(":")) >= _LEAST_IPV6_GROUPS


def _is_phone(text: str, finding: Finding) -> bool:
    """libphonenumber takes many digit strings for a number: dates are none; bare digits, and numbers without an area
    code, need a cue word before them."""
    number = text[finding.start : finding.end]
    if _DATE_SHAPE.match(number):
        return False
    before = text[max(0, finding.start - _CONTEXT_CHARS) : finding.start]
    telling = not _PLAIN_DIGITS.match(number) and sum(char.isdigit() for char in number) >= _FULL_PHONE_DIGITS
    return telling or _PHONE_CUE.search(before) is not None


_PLAUSIBLE: dict[str, Callable[[str, Finding], bool]] = {"PHONE": _is_phone, "IP": _is_address}


def _own(text: str) -> list[Finding]:
    found = [Finding(*m.span(), "CPF") for m in _CPF.finditer(text) if _check_digits(m[0], _CPF_WEIGHTS)]
    found += [Finding(*m.span(), "CNPJ") for m in _CNPJ.finditer(text) if _check_digits(m[0], _CNPJ_WEIGHTS)]
    found += [Finding(*m.span(), "CARD") for m in _CARD.finditer(text) if _luhn(m[0])]
    found += [Finding(*m.span(), "EMAIL") for m in _SPELT_EMAIL.finditer(text)]
    found += [Finding(*m.span(), "SSN") for m in _SSN.finditer(text)]
    found += [Finding(*m.span(1), "SSN") for m in _SSN_BARE.finditer(text)]
    return found + [Finding(*m.span(1), "NAME") for m in _NAME.finditer(text) if not _is_word(m[1])]


def _is_word(name: str) -> bool:
    words = [word.casefold().rstrip(".'’") for word in name.split()]
    return words[0] in _NOT_NAMES or all(word in _NOT_NAMES | _CALENDAR for word in words)


def _luhn(number: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(char) for char in reversed(number) if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _check_digits(number: str, weights: tuple[tuple[int, ...], ...]) -> bool:
    """The modulo-11 check digits of the Brazilian tax authority; numbers of one repeated digit are not issued."""
    digits = [int(char) for char in number if char.isdigit()]
    if len(set(digits)) == 1:
        return False
    for weight in weights:
        rest = sum(w * d for w, d in zip(weight, digits, strict=False)) % 11
        if digits[len(weight)] != (0 if rest < 2 else 11 - rest):
            return False
    return True


_CPF_WEIGHTS = (tuple(range(10, 1, -1)), tuple(range(11, 1, -1)))
_CNPJ_WEIGHTS = ((5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))


def _without_overlaps(found: Sequence[Finding]) -> list[Finding]:
    taken: list[Finding] = []
    for finding in sorted(found, key=lambda f: (_PRECEDENCE.index(f.entity), f.start - f.end, f.start)):
        if all(finding.end <= other.start or finding.start >= other.end for other in taken):
            taken.append(finding)
    return sorted(taken)
