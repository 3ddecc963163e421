"""SROIE (Huang et al., ICDAR 2019): scanned receipts, their words with boxes, and four fields of each as people read it.

Read are the files of the repository zzzDavid/ICDAR-2019-SROIE: box/NAME.csv and key/NAME.json. Words are put in reading
order and asked about as a company would ask its frontier model; the answer is what people read.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

from metier.errors import BadInput
from metier.labs.corpora import Corpus, LeftOut, chat, need
from metier.labs.dealing import deal
from metier.labs.receipts import parse_boxes, reading_order

NAME = "sroie"
FIELDS = ("company", "date", "address", "total")
# About 400 receipts are left to train on.
SIZES = {"tune": 63, "calibration": 63, "test": 100}
# A company with more receipts than a fifth of the test split is trained on: it alone would decide what is measured.
LARGEST_COMPANY = 20
# Names this similar are one company: misread letters, a branch, dots and spaces in its form of business.
SAME_COMPANY = 85.0
_FORMS = re.compile(r"\b(?:sdn|bhd|bnd|s b|m|plt|co|enterprise|trading|restaurant|restoran)\b")
_SIGNS = re.compile(r"[^\w\s]|_")

SYSTEM = """\
You are the receipt reader of an accounts-payable department. You get the text of one scanned receipt as the OCR \
engine read it, in reading order, one printed line a line, columns parted by two spaces. The OCR may have misread \
letters; the receipt may be in English, Malay or Chinese transliteration. Your answer is booked by a program without\
 anybody looking at it, so be exact.

Return one JSON object with these keys, and nothing else (no explanation, no code fence):

- "company": the name of the business that issued the receipt, as printed, with its form (SDN BHD, ENTERPRISE, PLT, \
S/B ...) and, where it is part of the name, the branch in brackets. It usually stands at the top. Not the customer, \
not the cashier, not the company registration number, not a slogan.
- "date": the date on which the receipt was issued, exactly as printed, without the time of day and without the \
weekday. Do not change its form: 25/12/2018, 25-12-18, 25 DEC 2018 and 20181225 all stay as they are. If several \
dates are printed, take the date of the sale, not the due date and not the date of a promotion.
- "address": the postal address of the branch that issued the receipt, on one line, the printed lines in their order\
 with one space between them, with postcode, town and state. Without telephone, fax, e-mail, web site and tax \
numbers.
- "total": the final amount to be paid, rounding and tax included, as printed, with two decimals. Not the subtotal, \
not the cash handed over, not the change, not the tax alone. Leave out "TOTAL" and the like; keep a currency sign \
only where it is printed as part of the amount.

Leave a key out if the receipt does not show it. Never guess, never complete from general knowledge, never \
translate, never correct a name.

The object must be valid against this JSON Schema:
{"type": "object", "properties": {"company": {"type": "string"}, "date": {"type": "string"}, "address": {"type": \
"string"}, "total": {"type": "string"}}, "required": ["company", "date", "total"], "additionalProperties": false}

Example of a receipt:
LUCKY STAR MART SDN BHD
(884512-X)
12, JALAN BESAR 3/4, TAMAN MERU,
41050 KLANG, SELANGOR.
TEL: 03-5555 0199
INVOICE NO: 0045123  DATE: 04/02/2018 14:33
MINERAL WATER 1.5L  2  2.40  4.80
TOTAL (RM)  4.80
CASH  10.00
CHANGE  5.20

Its answer:
{"company": "LUCKY STAR MART SDN BHD", "date": "04/02/2018", "address": "12, JALAN BESAR 3/4, TAMAN MERU, 41050 \
KLANG, SELANGOR.", "total": "4.80"}"""


def labelled(folder: Path, seed: int = 0) -> Corpus:
    """Every receipt of `folder` whose four fields are known, as a labelled chat with its split and its company as group.

    A receipt whose truth lacks a field, or has it empty, is left out: nobody says whether the receipt shows it. Raises
    NotFound where the files are not there, BadInput where they are not SROIE's.
    """
    need((folder / "key", folder / "box"), NAME)
    read, left_out = [], []
    for path in sorted((folder / "key").glob("*.json")):
        text, fields = _text(folder / "box" / f"{path.stem}.csv"), _fields(path)
        lacking = [name for name in FIELDS if not str(fields.get(name) or "").strip()]
        if lacking:
            left_out.append(LeftOut(path.stem, f"the truth has no {' and no '.join(lacking)}"))
        elif not text:
            left_out.append(LeftOut(path.stem, "no words were recognised"))
        else:
            read.append((path.stem, text, {name: str(fields[name]).strip() for name in FIELDS}))
    if not read:
        raise BadInput(f"{folder / 'key'} holds no receipt with the fields {', '.join(FIELDS)}")
    groups = companies([fields["company"] for _, _, fields in read])
    splits = deal(groups, SIZES, "train", LARGEST_COMPANY, seed)
    chats = tuple(
        chat(f"{NAME}-{stem}", SYSTEM, text, fields, split=split, group=group)
        for (stem, text, fields), split, group in zip(read, splits, groups, strict=True)
    )
    return Corpus(chats, tuple(left_out), _remarks([(text, fields) for _, text, fields in read]))


def companies(names: list[str]) -> list[str]:
    """One name for each company: names that are nearly the same, directly or through others, share the most frequent."""
    from rapidfuzz import fuzz, process
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    counts = Counter(names)
    distinct = sorted(counts)
    bare = [_bare(name) for name in distinct]
    alike = process.cdist(bare, bare, scorer=fuzz.ratio) >= SAME_COMPANY
    # "DOMINO'S PIZZA" is a branch's name less the town; one short word in common is chance.
    within = process.cdist(bare, bare, scorer=fuzz.token_set_ratio) >= 100.0
    long = [len(name) >= 8 for name in bare]
    shared = [[within[i][j] and long[i] and long[j] for j in range(len(bare))] for i in range(len(bare))]
    part = connected_components(csr_array(alike | shared), directed=False)[1]
    usual: dict[int, str] = {}
    for name, number in zip(distinct, part.tolist(), strict=True):
        usual[number] = max(usual.get(number, name), name, key=lambda one: (counts[one], one))
    group_of = dict(zip(distinct, (usual[number] for number in part.tolist()), strict=True))
    return [group_of[name] for name in names]


def _bare(name: str) -> str:
    plain = " ".join(_SIGNS.sub(" ", name.casefold()).split())
    return " ".join(_FORMS.sub(" ", plain).split()) or plain


def _text(path: Path) -> str:
    need((path,), NAME)
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        return reading_order(parse_boxes(lines))


def _fields(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds no JSON object")
    return content


def _remarks(read: list[tuple[str, dict[str, str]]]) -> tuple[str, ...]:
    """Values that people wrote otherwise than the words were recognised: no reader of the text can give them."""
    absent = {name: sum(_letters(fields[name]) not in _letters(text) for text, fields in read) for name in FIELDS}
    told = ", ".join(f"{name} {n}" for name, n in absent.items() if n)
    return (f"of {len(read)} receipts, the truth does not stand in the recognised text as written: {told}",) * bool(
        told
    )


def _letters(text: str) -> str:
    """Letters and digits alone, without regard to case."""
    return re.sub(r"[\W_]+", "", text.casefold())
