"""Which fields are copied, and when the specialist is held to that."""

import json

from metier.students.base import LabelledTexts
from metier.students.lm.copying import copied_in, decide

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
    assert copied_in(examples(40, 0), SCHEMA) == ("shop",)  # a mood is judged, one value proves nothing
    assert copied_in(examples(40, 2), SCHEMA) == ("shop",)
    assert copied_in(examples(40, 6), SCHEMA) == ()
    assert copied_in(examples(10, 0), SCHEMA) == ()


def test_spans_are_kept_unless_fewer_answers_are_right():
    def counts(free: int, held: int):
        return lambda copied: held if copied else free

    kept = decide(("shop",), counts(30, 30), 63)
    assert kept.fields == ("shop",)
    assert kept.story == "shop as spans of the input: 30 of 63 answers to the tune split are right, 30 without"
    dropped = decide(("shop", "date"), counts(30, 29), 63)
    assert dropped.fields == ()
    assert dropped.story.startswith("not shop, date as spans")
