"""Which fields are copied, and when the specialist is held to that."""

import json
import time
from dataclasses import asdict

from metier.students.base import LabelledTexts
from metier.students.lm.copying import copied_in, decide, stored_span
from metier.students.lm.parts import Span

SCHEMA = {
    "type": "object",
    "properties": {"shop": {"type": "string"}, "mood": {"type": "string"}, "rare": {"type": "string"}},
    "required": ["shop"],
}


def examples(n: int, n_wrong: int) -> LabelledTexts:
    rows = [
        (f"Shop {i} sells", {"shop": f"Shop {i}" if i >= n_wrong else "elsewhere", "mood": "content"}) for i in range(n)
    ]
    rows.append(("one Rarity", {"shop": "one", "rare": "Rarity"}))
    return LabelledTexts(tuple(text for text, _ in rows), tuple(json.dumps(record) for _, record in rows))


def test_fields_whose_values_stand_in_the_input():
    def fields(n: int, n_wrong: int) -> list[str]:
        return [span.field for span in copied_in(examples(n, n_wrong), SCHEMA)]

    assert fields(40, 0) == ["shop"]  # a mood is judged, one value proves nothing
    assert fields(40, 2) == ["shop"]
    assert fields(40, 6) == []
    assert fields(10, 0) == []


def receipts(n: int, stray: int = 0) -> LabelledTexts:
    """Receipts of which `stray` name their shop within a line."""
    names = ["Ah", "Bee Hive", "Corner Shop", "Delta Foods and Sons"]
    rows = []
    for i in range(n):
        name = f"{names[i % 4]} {'I' * (i % 9 + 1)}"
        top = f"Welcome to {name}" if i < stray else f"{name} ({i}-X)"
        street = "".join("Lot, " if bit == "1" else "No " for bit in f"{i:b}")  # never of the same form
        address = [f"{i}  {street}End", "Old Town"][: 1 + i % 2]
        text = "\n".join([top, *address, f"on {i % 28 + 1}/12/2018", "Thank you"])
        record = {"shop": name, "address": " ".join(address).replace("  ", " "), "date": f"{i % 28 + 1}/12/2018"}
        rows.append((text, json.dumps(record)))
    return LabelledTexts(tuple(text for text, _ in rows), tuple(label for _, label in rows))


FIELDS = {"type": "object", "properties": {name: {"type": "string"} for name in ("shop", "address", "date")}}


def test_where_the_values_lie_is_learnt():
    shop, address, date = copied_in(receipts(80), FIELDS)
    assert shop == Span("shop", begins=True, lines=1)
    assert address == Span("address", begins=True, ends=True, lines=2)
    assert date == Span("date", ends=True, lines=1, forms=(r"\d{1,2}/\d{2}/\d{4}",))


def test_a_few_exceptions_are_no_rule():
    assert copied_in(receipts(80, stray=4), FIELDS)[0].begins
    assert not copied_in(receipts(80, stray=8), FIELDS)[0].begins


def test_a_document_of_a_hundred_thousand_words_is_looked_through_in_seconds():
    short = receipts(80)
    shop, address, date = (json.loads(short.labels[0])[name] for name in ("shop", "address", "date"))
    text = "\n".join([shop, *(f"{place} {shop} {address} {date}" for place in range(12_000))])
    document = LabelledTexts((*short.inputs, text), (*short.labels, short.labels[0]))
    started = time.perf_counter()
    found = copied_in(document, FIELDS)
    # Half a second; with work that grows with the square of the lines it would be a minute.
    assert time.perf_counter() - started < 15
    assert [span.field for span in found] == ["shop", "address", "date"]
    assert found[0] == copied_in(short, FIELDS)[0]


def test_spans_are_read_back_as_they_were_stored():
    span = copied_in(receipts(80), FIELDS)[2]
    assert stored_span(json.loads(json.dumps(asdict(span)))) == span
    assert stored_span("shop") == Span("shop")  # as specialists had it that knew the names alone


def test_spans_are_kept_unless_fewer_answers_are_right():
    def counts(free: int, held: int):
        return lambda copied: held if copied else free

    shop, date = Span("shop"), Span("date", ends=True, lines=1, forms=(r"\d{2}",))
    kept = decide((shop,), counts(30, 30), 63)
    assert kept.fields == (shop,)
    assert kept.story == "shop as spans of the input: 30 of 63 answers to the tune split are right, 30 without"
    dropped = decide((shop, date), counts(30, 29), 63)
    assert dropped.fields == ()
    assert dropped.story.startswith(r"not shop, date (to the end of a line, in 1 form such as \d{2}) as spans")
