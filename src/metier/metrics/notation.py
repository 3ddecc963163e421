"""Dates and amounts as people write them: which notations mean the same.

A date is rewritten as year-month-day only where it can be read in one way: "25/12/2018", "25-12-2018", "25 Dec 2018" and
"2018-12-25" are all 2018-12-25, but 03/04/2018 may be March or April, so it is the same as "3-4-2018" and as nothing else.
An amount loses its currency, its thousands separators and the zeros at its end: "RM 1,200.00" is "1200".
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_MONTH_OF = {name[:length]: i for i, name in enumerate(_MONTHS, start=1) for length in (3, len(name))} | {"sept": 9}
_MONTH = "(" + "|".join(sorted(_MONTH_OF, key=len, reverse=True)) + r")(?![^\W\d_])\.?"
_APART = r"[\s\-/.,]*"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_NUMERIC = r"(\d{4}|\d{1,2})\s*([/.\-])\s*(\d{1,2})\s*\2\s*(\d{4}|\d{1,2})"
_DAY_FIRST = rf"{_DAY}{_APART}{_MONTH}{_APART}(\d{{4}}|\d{{2}})"
_MONTH_FIRST = rf"{_MONTH}{_APART}{_DAY}{_APART}(\d{{4}})"
_YEAR_FIRST = rf"(\d{{4}}){_APART}{_MONTH}{_APART}{_DAY}"
# A date stands alone: no digit before or after it, and no separator with another digit.
_BEFORE, _AFTER = r"(?<!\d)(?<!\d[/.\-])", r"(?!\d)(?![/.\-]\d)"
_DATE = re.compile(f"{_BEFORE}(?:{_NUMERIC}|{_DAY_FIRST}|{_MONTH_FIRST}|{_YEAR_FIRST}){_AFTER}")
_FIRST_YEAR_OF_CENTURY = 70  # two digits: 70-99 are 1970-1999, as in POSIX strptime but for a year

_CURRENCIES = frozenset(
    {
        "r$",
        "us$",
        "s$",
        "a$",
        "c$",
        "hk$",
        "nt$",
        "rm",
        "rs",
        "kr",
        "zł",
        "usd",
        "eur",
        "gbp",
        "myr",
        "sgd",
        "brl",
        "inr",
    }
    | {
        "idr",
        "rp",
        "php",
        "thb",
        "vnd",
        "cny",
        "rmb",
        "jpy",
        "krw",
        "hkd",
        "twd",
        "aud",
        "cad",
        "nzd",
        "chf",
        "sek",
        "nok",
    }
    | {"dkk", "pln", "czk", "huf", "ron", "try", "aed", "sar", "zar", "mxn"}
)
_SIGN_BEFORE = r"((?:[^\W\d_]{1,3}\.?|[^\W\d_]{0,3}[^\w\s+\-.,])?)"
_SIGN_AFTER = r"([^\W\d_]{0,3}[^\w\s.,]?)"
_AMOUNT = re.compile(rf"([+\-]?)\s*{_SIGN_BEFORE}\s*([+\-]?)\s*(\d[\d.,]*|\.\d+)\s*{_SIGN_AFTER}")
_GROUPED = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*")
_LONGEST = 64  # longer texts are neither; matching stays fast whatever a model writes
_IN_TEXT = re.compile(r"(?<![\d.,])(-?)(\.?\d(?:[\d.,]*\d)?)")


def folded(text: str) -> str:
    """A text in Unicode form NFKC, case folded, without white space around it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def as_date(text: str) -> str | None:
    """The one form of a folded text that is a date and nothing else; None where it is none."""
    found = _DATE.fullmatch(text) if len(text) <= _LONGEST else None
    return _date_form(found) if found else None


def date_readings(text: str) -> frozenset[str]:
    """Every ISO date that a folded text, a date and nothing else, may mean; empty where it is none."""
    found = _DATE.fullmatch(text) if len(text) <= _LONGEST else None
    return _readings(found) if found else frozenset()


def dates_in(text: str) -> frozenset[str]:
    """Every ISO date that some date within a folded text may mean."""
    return frozenset(reading for found in _DATE.finditer(text) for reading in _readings(found))


def as_number(text: str) -> str | None:
    """The plain decimal of a folded text that is an amount ("rm 1,234.50" is "1234.5"); None where it is none.

    A number with zeros in front is a code, not an amount. Of one separator alone, a comma before three digits parts
    thousands, any other is a decimal point; of two kinds the last is the decimal point.
    """
    found = _AMOUNT.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or not (_is_currency(found[2]) and (_is_currency(found[5]) or found[5] == "%")):
        return None
    if found[1] and found[3]:
        return None
    plain = _plain(found[4])
    return f"-{plain}" if plain not in (None, "0") and "-" in found[1] + found[3] else plain


def numbers_in(text: str) -> frozenset[str]:
    """The plain decimals of every number within a folded text, with its sign and without: a hyphen may be none."""
    found = set()
    for sign, digits in _IN_TEXT.findall(text):
        if (plain := _plain(digits)) is not None:
            found |= {plain, f"{sign}{plain}"}
    return frozenset(found)


def _is_currency(text: str) -> bool:
    bare = text.rstrip(".")
    return not bare or bare in _CURRENCIES or (len(bare) == 1 and unicodedata.category(bare) == "Sc")


def _plain(digits: str) -> str | None:
    """ "1,234.50", "1.234,50" and "1234.5" are "1234.5"; None for what is no number, or a code with zeros in front."""
    separators = [character for character in digits if character in ".,"]
    point = _decimal_point(digits, separators)
    whole, _, part = digits.rpartition(point) if point else (digits, "", "")
    if point and not part.isdecimal():
        return None
    whole = whole or "0"
    if re.search(r"[.,]", whole):
        if not _GROUPED.fullmatch(whole) or (point and point in whole):
            return None
        whole = re.sub(r"[.,]", "", whole)
    if not whole.isdecimal() or (len(whole) > 1 and whole[0] == "0"):
        return None
    part = part.rstrip("0")
    return f"{whole}.{part}" if part else whole


def _decimal_point(digits: str, separators: list[str]) -> str:
    if not separators:
        return ""
    last = separators[-1]
    if len(set(separators)) == 2:
        return last if separators.count(last) == 1 else "?"  # "1,2.3,4" is no number
    if len(separators) > 1:
        return ""
    return "" if last == "," and re.fullmatch(r"\d{1,3},\d{3}", digits) else last


def _date_form(found: re.Match[str]) -> str | None:
    readings = _readings(found)
    if not readings:
        return None
    return next(iter(readings)) if len(readings) == 1 else "-".join(str(part) for part in _parts(found))


def _parts(found: re.Match[str]) -> tuple[int, int, int]:
    """The three parts in the order in which they are written, a month's name as its number."""
    written = [group for group in found.groups() if group is not None and group not in "/.-"]
    first, second, third = (_MONTH_OF.get(part) or int(part) for part in written)
    return first, second, third


def _readings(found: re.Match[str]) -> frozenset[str]:
    written = [group for group in found.groups() if group is not None and group not in "/.-"]
    a, b, c = _parts(found)
    if written[0] in _MONTH_OF:
        orders = [(c, a, b)]
    elif len(written[0]) == 4:
        orders = [(a, b, c)] if len(written[2]) < 3 else []
    elif len(written[2]) == 4:
        orders = [(c, b, a)] if written[1] in _MONTH_OF else [(c, b, a), (c, a, b)]
    elif len(written[2]) == 2:
        orders = [(c, b, a)] if written[1] in _MONTH_OF else [(c, b, a), (c, a, b)]
        orders += [(a, b, c)] if len(written[0]) == 2 else []
    else:
        orders = []
    short = not any(len(part) == 4 and part.isdecimal() for part in written)
    return frozenset(day for order in orders if (day := _iso(*order, short=short)) is not None)


def _iso(year: int, month: int, day: int, *, short: bool) -> str | None:
    if short:
        year += 1900 if year >= _FIRST_YEAR_OF_CENTURY else 2000
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None
