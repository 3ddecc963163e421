"""Measures the PII scrub: recall and precision per entity type on a generated test set, with Wilson intervals.

    python benchmarks/pii.py --out pii.json [--per-entity 400]

Every sentence is made from a template and a generated value whose place is known: valid card, IBAN, CPF and CNPJ check
digits, telephone numbers of eight countries as libphonenumber says people write them, and sentences without personal data
that look as if they had some (order numbers, dates, prices, versions, times, names of code). A value counts as found if
every character of it is inside findings, of whatever type; a finding is right if it covers personal data of its own type.
Rows "loosely", "no cue" and "lower case" are in the set because people write like this, not because the scrub finds them.
Templates are ours, and the recognisers were adjusted on them: real text is more varied, so the figures are a ceiling.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SEED = 20240229
_FIRST_NAMES = """
Anna John Maria Mohammed Priya Wei Carlos Fatima Olga Pierre Ingrid Kwame Yuki Lars Aisha Diego Chloé José Siobhán Grace
Hope Mark Will April Rosa
"""
_LAST_NAMES = """
Smith Silva Müller García Nguyen Okafor Rossi Kowalski O'Brien Jensen Santos Patel Kim Dubois Ivanova Haddad Park Young
Brown Lopez-Ruiz
"""
_FIRST, _LAST = tuple(_FIRST_NAMES.split()), tuple(_LAST_NAMES.split())
_DOMAINS = ("example.com", "mail.example.org", "acme.co.uk", "empresa.com.br", "uni-bonn.de", "sub.domain.io")
_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "BR", "IN")


@dataclass(frozen=True)
class Sentence:
    """A text and the personal data in it, as (entity, group, start, end); `group` divides an entity in the table."""

    text: str
    spans: tuple[tuple[str, str, int, int], ...]


def _digits(rng: random.Random, n: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(n))


def email(rng: random.Random) -> str:
    first, last = rng.choice(_FIRST).lower(), rng.choice(_LAST).lower().replace("'", "")
    ascii_name = f"{first}{rng.choice(['.', '_', '', '-'])}{last}".encode("ascii", "ignore").decode()
    made = f"{ascii_name}{rng.choice(['', '', str(rng.randrange(100)), '+news'])}@{rng.choice(_DOMAINS)}"
    return made.upper() if rng.random() < 0.1 else made


def phone(rng: random.Random) -> str:
    import phonenumbers

    while True:
        region = rng.choice(_REGIONS)
        example = phonenumbers.example_number_for_type(region, rng.choice([0, 1]))
        if example is None:
            continue
        national = str(example.national_number)
        number = phonenumbers.PhoneNumber(example.country_code, int(national[:-6] + _digits(rng, 6)))
        if phonenumbers.is_valid_number(number):
            form = rng.choice(
                [phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL, 0]
            )
            return str(phonenumbers.format_number(number, form))


def card(rng: random.Random) -> str:
    prefix, length = rng.choice([("4", 16), ("5" + rng.choice("12345"), 16), ("34", 15), ("37", 15), ("6011", 16)])
    body = prefix + _digits(rng, length - len(prefix) - 1)
    total = sum(d if i % 2 else (2 * d if d < 5 else 2 * d - 9) for i, d in enumerate(map(int, reversed(body))))
    number = body + str(-total % 10)
    cuts = [4, 8, 12] if length == 16 else [4, 10]
    separator = rng.choice(["", " ", "-"])
    return separator.join(number[a:b] for a, b in zip([0, *cuts], [*cuts, length], strict=True))


def iban(rng: random.Random) -> str:
    country, shape = rng.choice([("DE", "18"), ("FR", "23"), ("ES", "20"), ("PT", "21"), ("GB", "A14"), ("NL", "B10")])
    letters = "".join(rng.choice("ABCDEFGHJK") for _ in range(4)) if shape[0] in "AB" else ""
    body = letters + _digits(rng, int(shape.lstrip("AB")))
    check = 98 - int("".join(str(int(char, 36)) for char in body + country + "00")) % 97
    whole = f"{country}{check:02d}{body}"
    return " ".join(whole[i : i + 4] for i in range(0, len(whole), 4)) if rng.random() < 0.5 else whole


def ip(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return str(ipaddress.IPv4Address(rng.randrange(1 << 24, 1 << 32)))
    address = ipaddress.IPv6Address((0x20010DB8 << 96) | rng.getrandbits(rng.choice([16, 64, 96])))
    return address.exploded if rng.random() < 0.5 else address.compressed


def _brazilian(rng: random.Random, n: int, weights: Sequence[Sequence[int]]) -> str:
    number = _digits(rng, n)
    for weight in weights:
        rest = sum(w * int(d) for w, d in zip(weight, number, strict=True)) % 11
        number += str(0 if rest < 2 else 11 - rest)
    return number


def cpf(rng: random.Random) -> str:
    n = _brazilian(rng, 9, (range(10, 1, -1), range(11, 1, -1)))
    return rng.choice([f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}", f"{n[:9]}-{n[9:]}", n])


def cnpj(rng: random.Random) -> str:
    first = (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    n = _brazilian(rng, 12, (first, (6, *first)))
    return rng.choice([f"{n[:2]}.{n[2:5]}.{n[5:8]}/{n[8:12]}-{n[12:]}", n])


def ssn(rng: random.Random) -> str:
    area = rng.choice([rng.randrange(1, 666), rng.randrange(667, 900)])
    return f"{area:03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10_000):04d}"


def name(rng: random.Random) -> str:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    middle = rng.choice(["", "", "", " de", " van der", f" {rng.choice('ABCDEFGHJKLM')}."])
    return f"{first}{middle} {last}"


def lower_name(rng: random.Random) -> str:
    return name(rng).lower()


def loose_email(rng: random.Random) -> str:
    at, dot = rng.choice([(" at ", " dot "), (" (at) ", " (dot) "), (" @ ", ".")])
    return email(rng).replace("@", at).replace(".", dot)


def loose_phone(rng: random.Random) -> str:
    digits = [char for char in phone(rng) if char.isdigit()]
    return rng.choice(["", ".", " ", "-"]).join("".join(digits[i : i + 3]) for i in range(0, len(digits), 3))


def loose_card(rng: random.Random) -> str:
    digits = card(rng).replace(" ", "").replace("-", "")
    return rng.choice([".", "  ", "/"]).join(digits[i : i + 4] for i in range(0, len(digits), 4))


def loose_iban(rng: random.Random) -> str:
    return rng.choice([iban(rng).lower(), iban(rng).replace(" ", "-")])


def loose_ssn(rng: random.Random) -> str:
    return ssn(rng).replace("-", rng.choice(["", ".", " - "]))


_VALUES: dict[str, tuple[str, Callable[[random.Random], str], tuple[str, ...]]] = {
    "EMAIL": (
        "EMAIL",
        email,
        ("write to {} please", "{} is my address", "login fails for <{}>.", "e-mail: {}, urgent", "({})"),
    ),
    "PHONE": (
        "PHONE",
        phone,
        (
            "call me at {}",
            "my number is {}, thanks",
            "Tel.: {}",
            "you can reach me on {} after 5",
            "whatsapp {} please",
        ),
    ),
    "CARD": ("CARD", card, ("my card {} was declined", "charge {} instead", "card number: {}.", "block {} now please")),
    "IBAN": ("IBAN", iban, ("transfer it to {}", "IBAN: {}", "my account is {} at the bank", "from {} to savings")),
    "IP": ("IP", ip, ("requests from {} time out", "my ip is {}", "block {}, please", "host {} is down")),
    "CPF": ("CPF", cpf, ("meu CPF é {}", "cpf: {}", "titular {} do cartão", "o documento {} está errado")),
    "CNPJ": ("CNPJ", cnpj, ("CNPJ {}", "a empresa {} pediu a nota", "nota fiscal para {}", "cnpj: {}, por favor")),
    "SSN": ("SSN", ssn, ("my ssn is {}", "SSN: {}", "social security number {}", "{} is my social")),
    "NAME, cued": (
        "NAME",
        name,
        (
            "my name is {}",
            "Dear Mr. {}, welcome",
            "this is {} speaking",
            "Best regards,\n{}",
            "Customer name: {}",
            "Meu nome é {}",
        ),
    ),
    "NAME, no cue": (
        "NAME",
        name,
        ("{} cannot log in", "the order of {} is late", "send it to {} instead", "{} told me to call"),
    ),
    "EMAIL, loosely": ("EMAIL", loose_email, ("write to {} please", "{} is my address")),
    "PHONE, loosely": ("PHONE", loose_phone, ("call me at {}", "my number is {}, thanks", "you can reach me on {}")),
    "CARD, loosely": ("CARD", loose_card, ("my card {} was declined", "charge {} instead")),
    "IBAN, loosely": ("IBAN", loose_iban, ("transfer it to {}", "my account is {} at the bank")),
    "SSN, loosely": ("SSN", loose_ssn, ("my ssn is {}", "{} is my social")),
    "NAME, lower case": ("NAME", lower_name, ("my name is {}", "this is {} speaking", "{} cannot log in")),
}
_CLEAN: tuple[Callable[[random.Random], str], ...] = (
    lambda r: f"order {_digits(r, 9)} has not arrived",
    lambda r: (
        f"invoice {r.randrange(2015, 2026)}-{_digits(r, 5)} is due on {r.randrange(1, 29)}/{r.randrange(1, 13)}/2024"
    ),
    lambda r: f"the price went from ${r.randrange(1000):,}.{_digits(r, 2)} to ${r.randrange(10**6):,}.00",
    lambda r: (
        f"version {r.randrange(20)}.{r.randrange(20)}.{r.randrange(20)} crashes"
        f" since 2024-0{r.randrange(1, 10)}-1{r.randrange(10)}"
    ),
    lambda r: f"wake me at {r.randrange(1, 12)}:{r.randrange(10, 60)} in {r.randrange(10, 99)} days",
    lambda r: f"tracking number {_digits(r, 12)} shows no movement",
    lambda r: f"std::vector<int> and a{r.randrange(9)}::b fail on line {_digits(r, 4)}",
    lambda r: f"my card ending in {_digits(r, 4)} was charged {r.randrange(2, 9)} times",
    lambda r: f"what is the exchange rate of {_digits(r, 5)} euro to dollar",
    lambda r: f"{r.choice(['Dear Sir or Madam', 'Dear Customer', 'Hello Team'])}, please check ticket #{_digits(r, 6)}",
    lambda r: (
        f"this is {r.choice(['Monday', 'the third time', 'not what I ordered', 'urgent'])},"
        f" item {_digits(r, 4)}-{_digits(r, 4)}"
    ),
    lambda r: f"I live in room {_digits(r, 3)}, building {r.randrange(1, 40)}, postcode {_digits(r, 5)}",
)


def make(per_entity: int, seed: int = SEED) -> list[Sentence]:
    """`per_entity` sentences of each kind, and as many without personal data as there are with."""
    rng = random.Random(seed)
    made = []
    for group, (entity, value, templates) in _VALUES.items():
        for _ in range(per_entity):
            before, after = rng.choice(templates).split("{}")
            text = value(rng)
            made.append(Sentence(before + text + after, ((entity, group, len(before), len(before) + len(text)),)))
    clean = [Sentence(rng.choice(_CLEAN)(rng), ()) for _ in range(per_entity * len(_VALUES))]
    return made + clean


def measure(sentences: Sequence[Sentence]) -> dict[str, object]:
    """Recall per group and precision per entity, as [found, of, low, high], and the time a text takes."""
    from metier.curation.pii import Scrubber

    scrubber = Scrubber()
    recall: dict[str, list[bool]] = defaultdict(list)
    precision: dict[str, list[bool]] = defaultdict(list)
    spoiled = 0
    missed: Counter[tuple[str, str]] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    begun = time.process_time()
    for sentence in sentences:
        findings = scrubber.find(sentence.text)
        covered = {i for finding in findings for i in range(finding.start, finding.end)}
        for _, group, start, end in sentence.spans:
            hidden = all(i in covered for i in range(start, end) if not sentence.text[i].isspace())
            recall[group].append(hidden)
            missed.update([] if hidden else [(group, sentence.text)])
        for finding in findings:
            right = any(e == finding.entity and finding.start < b and a < finding.end for e, _, a, b in sentence.spans)
            precision[finding.entity].append(right)
            wrong.update([] if right else [(finding.entity, sentence.text)])
        spoiled += bool(findings) and not sentence.spans
    n_clean = sum(not sentence.spans for sentence in sentences)
    return {
        "recall": {group: _share(found) for group, found in recall.items()},
        "precision": {entity: _share(right) for entity, right in sorted(precision.items())},
        "clean_texts_changed": _share([True] * spoiled + [False] * (n_clean - spoiled)),
        "ms_per_text": 1000 * (time.process_time() - begun) / len(sentences),
        "n": len(sentences),
        "missed": [list(item) for item in list(missed)[:40]],
        "wrong": [list(item) for item in list(wrong)[:40]],
    }


def _share(outcomes: Sequence[bool]) -> list[float]:
    from metier.statistics.intervals import wilson

    return [sum(outcomes), len(outcomes), *wilson(sum(outcomes), len(outcomes))]


def table(figures: dict[str, object]) -> str:
    """The figures as Markdown."""
    lines = ["| entity | recall (95% interval) | n | precision (95% interval) | n |", "|---|---|---|---|---|"]
    recall, precision = figures["recall"], figures["precision"]
    assert isinstance(recall, dict)
    assert isinstance(precision, dict)
    for group, found in recall.items():
        entity = _VALUES[group][0]
        first = next(other for other, (name_of, *_) in _VALUES.items() if name_of == entity) == group
        right = _cells(precision[entity])[1:] if first and entity in precision else " | |"
        lines.append(f"| {group} {_cells(found)}{right}")
    spoiled = figures["clean_texts_changed"]
    assert isinstance(spoiled, list)
    lines += [
        "",
        f"Sentences without personal data that were changed: {100 * spoiled[0] / spoiled[1]:.1f}%"
        f" ({100 * spoiled[2]:.1f}–{100 * spoiled[3]:.1f}%) of {spoiled[1]:,}. {figures['ms_per_text']:.2f} ms a text.",
    ]
    return "\n".join(lines)


def _cells(share: list[float]) -> str:
    found, n, low, high = share
    return f"| {100 * found / n:.1f}% ({100 * low:.1f}–{100 * high:.1f}) | {n:,} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=None, help="where to write the figures as JSON")
    parser.add_argument("--per-entity", type=int, default=400)
    arguments = parser.parse_args()
    figures = measure(make(arguments.per_entity))
    print(table(figures))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(figures, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
