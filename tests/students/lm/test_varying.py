"""Variants of records: both sides change alike, what is not copied stays, and no group fills an epoch."""

import json
from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from metier.metrics.grounding import count_ungrounded
from metier.students.base import LabelledTexts
from metier.students.lm.varying import Variants, varied

SCHEMA = {
    "type": "object",
    "properties": {
        "company": {"type": "string"},
        "total": {"type": "string"},
        "currency": {"enum": ["MYR", "SGD"]},
    },
    "required": ["company", "total"],
}
SHOPS = ("BLUE HARBOUR TRADING", "GREEN VALLEY STORES", "OLD MILL BAKERY", "RIVER GATE BOOKS")


def receipts(n_each: int = 1) -> LabelledTexts:
    rows = [
        (
            f"{shop}\nNO {place}{number}\nMYR accepted\nTOTAL {place + 1}{number}.50\n",
            json.dumps({"company": shop, "total": f"{place + 1}{number}.50", "currency": "MYR"}),
            shop,
        )
        for place, shop in enumerate(SHOPS)
        for number in range(n_each if place == 0 else 1)
    ]
    inputs, labels, groups = zip(*rows, strict=True)
    return LabelledTexts(inputs, labels, groups)


def test_input_and_answer_change_alike():
    variants = Variants(receipts(), SCHEMA)
    assert variants.n_variable == len(SHOPS)
    rng, names = Random(0), set()
    for _ in range(50):
        text, answer = variants.variant(0, rng)
        record = json.loads(answer)
        assert count_ungrounded(record, text, SCHEMA) == (0, 2)
        assert text.splitlines()[0].split() == record["company"].split()
        assert record["currency"] == "MYR"
        assert "MYR accepted" in text
        names.add(record["company"])
    assert len(names) > len(SHOPS)  # names that no example has are among them


def test_a_number_keeps_its_notation():
    variants, rng = Variants(receipts(), SCHEMA), Random(1)
    totals = {json.loads(variants.variant(1, rng)[1])["total"] for _ in range(50)}
    assert len(totals) > 10
    assert all(len(total.split(".")) == 2 and len(total.split(".")[1]) == 2 for total in totals)
    assert {len(total) for total in totals} > {4, 5}


def test_a_value_within_another_is_left_alone():
    text = "GATE BOOKS\nGATE BOOKS ROAD 5\nTOTAL 3.00"
    texts = LabelledTexts(
        (text, "OTHER\nELM STREET 9\nTOTAL 4.00"),
        (
            json.dumps({"company": "GATE BOOKS", "address": "GATE BOOKS ROAD 5", "total": "3.00"}),
            json.dumps({"company": "OTHER", "address": "ELM STREET 9", "total": "4.00"}),
        ),
        ("a", "b"),
    )
    variants, rng = Variants(texts, None), Random(0)
    for _ in range(20):
        changed, answer = variants.variant(0, rng)
        record = json.loads(answer)
        assert record["company"] == "GATE BOOKS"
        assert record["address"] == "GATE BOOKS ROAD 5"
        assert changed.startswith("GATE BOOKS\nGATE BOOKS ROAD 5\n")
        assert record["total"] in changed


def test_no_group_fills_the_draw():
    texts = receipts(n_each=40)
    drawn = varied(texts, 70, SCHEMA, seed=0)
    assert len(drawn) == 70
    # Rounds of four of the large group and one of each other: the numbers of inputs tell where they were drawn from.
    places = Counter(text.splitlines()[1][3] for text in drawn.inputs)
    assert places["0"] == 40
    assert places["1"] == places["2"] == places["3"] == 10
    assert drawn == varied(texts, 70, SCHEMA, seed=0)
    assert drawn != varied(texts, 70, SCHEMA, seed=1)
    real = set(zip(texts.inputs, (json.loads(one)["company"] for one in texts.labels), strict=True))
    kept = sum(
        (text, json.loads(label)["company"]) in real for text, label in zip(drawn.inputs, drawn.labels, strict=True)
    )
    assert 10 < kept < 60


def test_nothing_to_exchange_leaves_the_examples():
    texts = LabelledTexts(("a b c", "d e f"), (json.dumps({"x": "not there"}), "no record"))
    drawn = varied(texts, 4, None, seed=0)
    assert Counter(zip(drawn.inputs, drawn.labels, strict=True)) == Counter(
        {("a b c", '{"x": "not there"}'): 2, ("d e f", "no record"): 2}
    )
    assert len(varied(LabelledTexts((), ()), 3, None, seed=0)) == 0


def test_lists_and_objects_are_reached():
    texts = LabelledTexts(
        ("Ana met Bo in Rome", "Cyd met Dee in Oslo"),
        (
            json.dumps({"people": ["Ana", "Bo"], "at": {"town": "Rome"}}),
            json.dumps({"people": ["Cyd", "Dee"], "at": {"town": "Oslo"}}),
        ),
        ("a", "b"),
    )
    variants, rng = Variants(texts, None), Random(3)
    seen = set()
    for _ in range(40):
        text, answer = variants.variant(0, rng)
        record = json.loads(answer)
        assert count_ungrounded(record, text) == (0, 3)
        seen |= {*record["people"], record["at"]["town"]}
    assert {"Cyd", "Dee", "Oslo"} <= seen


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(max_size=40), st.dictionaries(st.sampled_from("ab"), st.text(max_size=12), max_size=2)),
        min_size=1,
        max_size=4,
    )
)
def test_any_texts_do(rows):
    texts = LabelledTexts(
        tuple(f"{text} {' '.join(record.values())}" for text, record in rows),
        tuple(json.dumps(record) for _, record in rows),
    )
    drawn = varied(texts, 6, None, seed=0)
    assert len(drawn) == 6
    assert all(isinstance(json.loads(label), dict) for label in drawn.labels)


def test_lines_without_a_value_come_and_go():
    def shop(name: str, total: int) -> tuple[str, str, str]:
        lines = [f"{name[0]}-LINE {number}" for number in range(10)]
        text = "\n".join([f"{name} LTD", *lines, f"SUM {total}.00"])
        return text, json.dumps({"company": f"{name} LTD.", "total": f"{total}.00"}), name

    inputs, labels, groups = zip(shop("ALPHA", 5), shop("BETA", 7), strict=True)
    variants, rng = Variants(LabelledTexts(inputs, labels, groups), None), Random(0)
    lengths, foreign = set(), 0
    for _ in range(60):
        text, answer = variants.variant(0, rng)
        record = json.loads(answer)
        assert count_ungrounded(record, text) == (0, 2)
        lengths.add(len(text.splitlines()))
        foreign += "B-LINE" in text
    assert min(lengths) < 12 < max(lengths)
    assert foreign > 10
