"""Variants of examples: the record changes with the input, and nothing but values, amounts and plain lines does."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from metier.metrics.grounding import is_grounded, leaves
from metier.metrics.records import parse_record
from metier.students.base import LabelledTexts
from metier.students.lm.anatomy import anatomy_of
from metier.students.lm.varying import Varier, variants_of

SCHEMA = {
    "type": "object",
    "properties": {
        "sender": {"type": "string"},
        "street": {"type": "string"},
        "day": {"type": "string"},
        "total": {"type": "string"},
        "items": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["sender"],
}
N_GROUPS = 24


def receipt(sender: str, street: tuple[str, str], number: int, total: str) -> tuple[str, str]:
    day = f"2018-03-{int(float(total)) % 28 + 1:02}"
    lines = [
        f"Ref {number}",
        sender,
        *street,
        "TEL 03-5",
        f"Milk  {total}",
        "Bread  0.55",
        f"TOTAL  {total}",
        f"DATE {day} 10:15",
        day,
    ]
    record = {"sender": sender, "street": " ".join(street), "day": day, "total": total, "items": ["Milk"]}
    return "\n".join(lines), json.dumps(record)


def receipts(n_groups: int = N_GROUPS, n_each: int = 3) -> LabelledTexts:
    rows, groups = [], []
    for group in range(n_groups):
        street = (f"No {group + 1} Some Road,", f"{10_000 + group} Northern Town")
        for each in range(n_each):
            rows.append(receipt(f"{chr(65 + group)}lpha Trading Company", street, each, f"{group + 10}.{each}0"))
            groups.append(f"g{group}")
    return LabelledTexts(tuple(text for text, _ in rows), tuple(label for _, label in rows), tuple(groups))


def test_names_and_addresses_are_exchanged_by_their_lines_and_figures_where_they_stand() -> None:
    varier = Varier(receipts(), SCHEMA)

    assert varier.fields == ("sender", "street")
    assert varier.figures == ("day", "total")


def test_every_value_still_stands_in_its_input() -> None:
    made, _ = variants_of(receipts(), SCHEMA, 3, 0)

    assert len(made) == 3 * N_GROUPS * 3
    for text, label in zip(made.inputs, made.labels, strict=True):
        record = json.loads(label)
        assert set(record) == {"sender", "street", "day", "total", "items"}
        for value in (record["sender"], record["street"], record["day"], record["total"]):
            assert is_grounded(value, text)


def test_a_value_comes_with_all_of_its_lines_and_the_old_one_goes() -> None:
    texts = receipts()
    varier = Varier(texts, SCHEMA)
    seen = 0
    for seed in range(40):
        text, label = varier.vary(0, str(seed))
        record, was = json.loads(label), json.loads(texts.labels[0])
        if record["street"] != was["street"]:
            seen += 1
            joined = " ".join(text.split())
            first = was["street"].split(",")[0]
            assert joined.count(first) == record["street"].count(first)
            assert record["street"] in joined
    assert 5 < seen < 35


def test_an_amount_changes_wherever_it_stands() -> None:
    varier = Varier(receipts(), SCHEMA)
    changed = [json.loads(label)["total"] for text, label in (varier.vary(0, str(seed)) for seed in range(40))]
    assert len(set(changed)) > 5

    for seed in range(40):
        text, label = varier.vary(0, str(seed))
        total = json.loads(label)["total"]
        told = [line for line in text.split("\n") if line.startswith(("TOTAL", "Milk"))]
        # A line of another receipt may have been put in, but this one's own total is never left behind.
        assert f"TOTAL  {total}" in told
        assert total == "10.00" or "10.00" not in text


def test_a_date_changes_wherever_it_stands() -> None:
    texts = receipts()
    varier = Varier(texts, SCHEMA)
    days = set()
    for seed in range(40):
        text, label = varier.vary(0, str(seed))
        day = json.loads(label)["day"]
        days.add(day)
        assert f"DATE {day} 10:15" in text.split("\n")
        assert day in text.split("\n")
    assert len(days) > 5


def test_a_longer_number_is_not_taken_for_the_amount() -> None:
    text, label = receipt("Alpha Trading Company", ("No 1 Some Road,", "10000 Northern Town"), 0, "9.00")
    text += "\nACCOUNT 19.00 9.001 9.00.1"
    others = receipts()
    texts = LabelledTexts((text, *others.inputs), (label, *others.labels), ("g", *(others.groups or ())))
    varier = Varier(texts, SCHEMA)

    for seed in range(30):
        made, _ = varier.vary(0, str(seed))
        account = [line for line in made.split("\n") if line.startswith("ACCOUNT")]
        assert account in ([], ["ACCOUNT 19.00 9.001 9.00.1"])


def test_lines_are_put_in_and_left_out_but_never_within_a_value() -> None:
    texts = receipts()
    varier = Varier(texts, SCHEMA)
    lengths = set()
    for seed in range(60):
        text, label = varier.vary(4, str(seed))
        lines, street = text.split("\n"), json.loads(label)["street"]
        lengths.add(len(lines))
        first = next(at for at, line in enumerate(lines) if line and street.startswith(line))
        assert street in {" ".join(lines[first : first + n]) for n in (1, 2, 3)}
    assert len(lengths) > 3


def test_the_same_seed_gives_the_same_variants() -> None:
    assert variants_of(receipts(), SCHEMA, 1, 5) == variants_of(receipts(), SCHEMA, 1, 5)
    assert variants_of(receipts(), SCHEMA, 1, 5) != variants_of(receipts(), SCHEMA, 1, 6)


def test_the_note_says_what_was_exchanged() -> None:
    _, (note,) = variants_of(receipts(), SCHEMA, 1, 0)

    assert "values of sender, street exchanged" in note
    assert "figures (day, total)" in note
    assert "the square root of its size" in note


@pytest.mark.parametrize("n_each", [1, 5])
def test_a_large_group_has_variants_by_the_square_root_of_its_size(n_each: int) -> None:
    small, large = receipts(n_each=1), receipts(n_groups=1, n_each=25)
    texts = LabelledTexts(small.inputs + large.inputs, small.labels + large.labels, (*small.groups, *["big"] * 25))  # type: ignore[misc]
    made, _ = variants_of(texts, SCHEMA, n_each, 0)

    assert made.groups is not None
    counts = Counter(made.groups)
    assert sum(counts.values()) == n_each * len(texts)
    each = n_each * len(texts) / (N_GROUPS + 5)
    assert counts["big"] == pytest.approx(5 * each, abs=1)
    assert all(counts[f"g{group}"] in (math.floor(each), math.ceil(each)) for group in range(N_GROUPS))
    assert "big" in made.groups[: len(texts) // 2]  # mixed, not one group after another


@pytest.mark.parametrize(
    ("texts", "n_each"),
    [
        (receipts(n_groups=5), 2),
        (receipts(), 0),
        (LabelledTexts((), ()), 2),
        (LabelledTexts(("x",) * 30, ("no record",) * 30), 2),
    ],
    ids=["few groups", "one pass", "nothing", "no records"],
)
def test_where_there_is_nothing_to_exchange_there_are_no_variants(texts: LabelledTexts, n_each: int) -> None:
    made, notes = variants_of(texts, SCHEMA, n_each, 0)

    assert len(made) == 0
    assert notes == ()


def test_without_groups_every_example_is_its_own() -> None:
    texts = receipts()
    made, _ = variants_of(LabelledTexts(texts.inputs, texts.labels), SCHEMA, 1, 0)

    assert len(made) == len(texts)
    assert made.groups is None


def test_values_that_hang_together_stay_as_they_are() -> None:
    """A town within the street's lines, a net amount like the total, items and numbers: each still stands in the input."""
    schema = {
        "type": "object",
        "properties": {
            **SCHEMA["properties"],  # type: ignore[dict-item]
            "town": {"type": "string"},
            "net": {"type": "string"},
            "count": {"type": "number"},
        },
    }
    plain = receipts()
    labels = []
    for label in plain.labels:
        record = json.loads(label)
        town = record["street"].split(", ")[1]
        labels.append(
            json.dumps({**record, "town": town, "net": record["total"], "items": ["Milk", "Bread"], "count": 3})
        )
    inputs = tuple(f"{text}\nITEMS 3" for text in plain.inputs)
    texts = LabelledTexts(inputs, tuple(labels), plain.groups)
    varier = Varier(texts, schema)

    assert varier.fields == ("sender",)
    assert varier.figures == ("day",)
    for seed in range(40):
        text, label = varier.vary(2, str(seed))
        record = json.loads(label)
        assert "ITEMS 3" in text
        for value in (
            record["sender"],
            record["street"],
            record["town"],
            record["day"],
            record["total"],
            *record["items"],
        ):
            assert is_grounded(value, text)


def paragraphs(n_groups: int = N_GROUPS) -> LabelledTexts:
    """Running text with a list of people, one of them twice, and a town."""
    texts, labels = [], []
    for group in range(n_groups):
        people = [f"Ana {chr(65 + group)}lves", f"Rui {chr(65 + group)}ssis Neto"]
        town = f"{chr(65 + group)}rapongas"
        texts.append(f"Appeal of {people[0]} against {people[1]}, heard in {town}.\n{people[0]} lost.")
        labels.append(json.dumps({"people": people, "towns": [town]}))
    return LabelledTexts(tuple(texts), tuple(labels), tuple(f"g{group}" for group in range(n_groups)))


def test_entities_of_running_text_are_exchanged_wherever_they_stand() -> None:
    lists = {"type": "array", "items": {"type": "string"}}
    texts = paragraphs()
    varier = Varier(texts, {"type": "object", "properties": {"people": lists, "towns": lists}})
    assert varier.fields == ("people", "towns")
    was, changed = json.loads(texts.labels[3]), 0
    for seed in range(40):
        text, label = varier.vary(3, str(seed))
        record = json.loads(label)
        first, second = record["people"]
        changed += record != was
        assert f"Appeal of {first} against {second}, heard in {record['towns'][0]}." in text
        assert f"{first} lost." in text
        assert first != second
    assert changed > 20


LIST = {"type": "array", "items": {"type": "string"}}
TEXT = {"type": "string"}


def of_kind(
    properties: dict[str, object],
    example: Callable[[int, str], tuple[str, dict[str, object]]],
    n: int = N_GROUPS,
) -> Varier:
    """A varier of examples made from a number and a name that no other has."""
    names = [f"{chr(65 + at % 24)}ik{chr(97 + at % 24)}{'o' * (at // 24)}" for at in range(n)]
    made = [example(at, name) for at, name in enumerate(names)]
    texts = LabelledTexts(
        tuple(text for text, _ in made),
        tuple(json.dumps(record) for _, record in made),
        tuple(f"g{at}" for at in range(len(made))),
    )
    return Varier(texts, {"type": "object", "properties": properties})


def variants(varier: Varier, n_seeds: int = 15) -> Iterator[tuple[str, dict[str, Any]]]:
    for place in range(N_GROUPS):
        for seed in range(n_seeds):
            text, label = varier.vary(place, str(seed))
            yield text, json.loads(label)


@pytest.mark.parametrize(
    ("properties", "fields", "example"),
    [
        (
            {"address": TEXT, "city": TEXT},
            (),
            lambda at, name: (
                f"Ref\nNo {at} Jl\nTaman Besar\n{80_000 + at} {name.upper()} TOWN\nTEL",
                {"address": f"No {at} Jl Taman Besar {80_000 + at} {name.upper()} TOWN", "city": f"{name} Town"},
            ),
        ),
        (
            {"company": TEXT, "seller": TEXT},
            (),
            lambda at, name: (
                f"{name} Mart Sdn Bhd\nSOLD BY {name} Mart Sdn. Bhd.",
                {"company": f"{name} Mart Sdn Bhd", "seller": f"{name} Mart Sdn. Bhd."},
            ),
        ),
        (
            {"people": LIST},
            (),
            lambda at, name: (f"Of Ana {name} Neto only", {"people": [f"Ana {name}", f"{name} Neto"]}),
        ),
        (
            {"company": TEXT, "cash": TEXT, "total": TEXT},
            ("company",),
            lambda at, name: (
                f"{name} Mart\nCASH RM {at + 10}.50\nTOTAL {at + 10}.50",
                {"company": f"{name} Mart", "cash": f"RM {at + 10}.50", "total": f"{at + 10}.50"},
            ),
        ),
        (
            {"company": TEXT, "net": TEXT, "total": TEXT},
            ("company",),
            lambda at, name: (
                f"{name} Mart\nTOTAL 1,0{at + 10}.50\nNET 10{at + 10}.50",
                {"company": f"{name} Mart", "total": f"1,0{at + 10}.50", "net": f"10{at + 10}.50"},
            ),
        ),
        (
            {"company": TEXT, "day": {"type": "string", "format": "date"}},
            ("company",),
            lambda at, name: (
                f"{name} Mart\nREF\nDATE {at + 1:02}/10/2018\nEND",
                {"company": f"{name} Mart", "day": f"2018-10-{at + 1:02}"},
            ),
        ),
        (
            {"company": TEXT, "no": TEXT},
            (),
            lambda at, name: (f"{name} MART, {at} - 3\nREF", {"company": f"{name} MART {at}-3", "no": str(at)}),
        ),
    ],
    ids=["held", "same but for signs", "overlapping", "held figure", "notation", "other notation", "within a name"],
)
def test_values_that_would_have_to_change_together_stay(
    properties: dict[str, object],
    fields: tuple[str, ...],
    example: Callable[[int, str], tuple[str, dict[str, object]]],
) -> None:
    varier = of_kind(properties, example)
    # The net below would hide what is exchanged wrongly: every such variant is dropped.
    assert varier.fields == fields
    assert varier.figures == ()
    for text, record in variants(varier):
        assert text.count("DATE") <= 1
        for value in (leaf for content in record.values() for leaf in leaves(content)):
            assert is_grounded(value, text), (value, text)


def test_a_text_that_lost_a_value_does_not_keep_the_record() -> None:
    texts = receipts()
    one = anatomy_of(texts.inputs[0], texts.labels[0], "g", ("sender", "street"))
    assert one is not None
    assert one.is_kept_by(one.text, one.record)
    assert not one.is_kept_by(one.text.replace("Alpha", "Omega"), one.record)
    assert not one.is_kept_by(one.text, {**one.record, "sender": "Omega Trading Company"})


def test_lines_with_what_looks_like_an_exchanged_figure_are_not_put_in() -> None:
    """A total before rounding would be a second total in somebody else's receipt."""
    varier = of_kind(
        {"company": TEXT, "total": TEXT},
        lambda at, name: (
            f"{name} Mart\nHELLO {at}\nTOTAL {at + 10}.32\nDUE {at + 10}.30\nBYE",
            {"company": f"{name} Mart", "total": f"{at + 10}.30"},
        ),
    )
    assert varier.figures == ("total",)
    put_in = 0
    for text, _ in variants(varier):
        assert text.count("TOTAL") <= 1
        put_in += text.count("HELLO") > 1
    assert put_in


def test_names_go_only_where_the_same_is_chosen() -> None:
    def example(at: int, name: str) -> tuple[str, dict[str, object]]:
        kind, word = (("clinic", "Dental"), ("grocer", "Food"))[at % 2]
        return f"{name} {word} Sdn Bhd\nREF", {"company": f"{name} {word} Sdn Bhd", "kind": kind}

    chosen = {"company": TEXT, "kind": {"enum": ["clinic", "grocer"]}}
    assert of_kind(chosen, example).fields == ()  # of either kind there are too few
    varier = of_kind(chosen, example, 2 * N_GROUPS)
    assert varier.fields == ("company",)
    companies = set()
    for _, record in variants(varier):
        assert ("Dental" in record["company"]) == (record["kind"] == "clinic")
        companies.add(record["company"])
    assert len(companies) > N_GROUPS


def test_what_is_no_record_or_of_another_shape_stays() -> None:
    texts = receipts()
    odd = ("no record", "[1, 2]", '{"sender": [null, "Zulu Trading Company"]}', "{}")
    mixed = LabelledTexts(
        (*texts.inputs, *("Zulu Trading Company\nREF",) * len(odd)),
        (*texts.labels, *odd),
        (*(texts.groups or ()), *odd),
    )
    varier = Varier(mixed, SCHEMA)
    for at, label in enumerate(odd, start=len(texts)):
        for seed in range(20):
            made = varier.vary(at, str(seed))[1]
            if parse_record(label) is None:
                assert made == label
            else:
                assert json.loads(made).keys() == json.loads(label).keys()
