"""Values made of others: of their lines and words, never of nothing, and marks that tell a name from a trade name."""

from __future__ import annotations

import random

from metier.students.lm.mixing import Mixer, Value

NAMES = [
    "Kiku",
    "Solaris",
    "Morgan",
    "Sunfish",
    "Gerbang",
    "Banh",
    "Becon",
    "Mentai",
    "Kaison",
    "Amtech",
    "Cosway",
    "Eden",
]
TOWNS = [
    "Muar",
    "Klang",
    "Masai",
    "Skudai",
    "Ipoh",
    "Rawang",
    "Kajang",
    "Penang",
    "Bentong",
    "Kepong",
    "Ampang",
    "Cheras",
]


def names() -> dict[str, list[Value]]:
    made = [f"{name} {town} Trading Bhd" for name, town in zip(NAMES, TOWNS, strict=True)]
    return {f"g{at}": [(name, name)] for at, name in enumerate(made)}


def streets() -> dict[str, list[Value]]:
    made = {}
    for at, town in enumerate(TOWNS):
        text = f"No {at + 10} Jalan {NAMES[at]},\nTaman {town},\n{80_000 + at} {town}"
        made[f"g{at}"] = [(" ".join(text.split()), text)]
    return made


def drawn(values: dict[str, list[Value]], group: str = "g0", n: int = 200) -> list[Value]:
    mixer = Mixer(values)
    return [mixer.drawn(group, random.Random(seed)) for seed in range(n)]


def test_some_values_are_others_own_and_some_are_nobodys() -> None:
    own = {value for some in names().values() for value in some}
    made = drawn(names())
    assert names()["g0"][0] not in made
    assert 40 < sum(value in own for value in made) < 190
    assert len(set(made) - own) >= 10


def test_the_record_holds_what_stands_in_the_input() -> None:
    for value, text in [*drawn(names()), *drawn(streets())]:
        assert " ".join(text.split()) == value


def test_words_that_are_all_senders_stay() -> None:
    assert all(value.split()[2:] == ["Trading", "Bhd"] for value, _ in drawn(names()))
    assert all(text.startswith("No ") and " Jalan " in text for _, text in drawn(streets()))


def test_new_words_are_those_of_other_senders_in_the_same_case() -> None:
    words = {word for value, _ in drawn(names()) for word in value.split()[:2]}
    assert words <= {*NAMES, *TOWNS}


def test_where_no_new_value_can_be_made_others_own_are_drawn() -> None:
    values: dict[str, list[Value]] = {f"g{at}": [(f"{name} Bhd", f"{name} Bhd")] for at, name in enumerate(NAMES)}
    own = {value for some in values.values() for value in some}
    assert set(drawn(values)) == own - {values["g0"][0]}


def test_values_of_several_lines_are_put_together_from_two_and_cut_short() -> None:
    own = {text for some in streets().values() for _, text in some}
    made = [text for _, text in drawn(streets()) if text not in own]
    assert {text.count("\n") + 1 for text in made} >= {1, 2, 3}
    assert not any(text.endswith((",", "-", " ", "\n")) for text in made)


def test_one_line_is_never_put_behind_another() -> None:
    assert all("\n" not in text for _, text in drawn(names()))


def test_numbers_change_and_keep_their_length() -> None:
    numbers = {text.split()[1] for _, text in drawn(streets())}
    assert all(len(number) == 2 and number[0] != "0" for number in numbers)
    assert len(numbers) > 20


def test_an_unmarked_name_stands_beside_a_marked_one_alone() -> None:
    mixer, rng = Mixer(names()), random.Random(0)
    bare = {f"{name} {town}" for name, town in zip(NAMES[1:], TOWNS[1:], strict=True)}
    assert mixer.unmarked("g0", "Kiku Muar Trading Bhd", rng) in bare
    assert mixer.unmarked("g0", "Kiku", rng) is None


def test_an_unmarked_name_has_no_brackets_left_open() -> None:
    values: dict[str, list[Value]] = {
        f"g{at}": [(f"{name} (M) AG", f"{name} ({name[0]}) (AG) [AG"), (f"{name} AG", f"({name} AG")]
        for at, name in enumerate(NAMES)
    }
    mixer = Mixer(values)
    made = {mixer.unmarked("g0", "Kiku AG", random.Random(seed)) for seed in range(60)}
    assert "Solaris" in made
    assert "Solaris (S) " not in made
    assert all(text and text.count("(") == text.count(")") for text in made)


def test_addresses_have_no_marks() -> None:
    assert Mixer(streets()).unmarked("g0", "No 1 Jalan Kiku", random.Random(0)) is None


def test_a_name_that_is_all_marks_gives_nothing_to_put_beside() -> None:
    values: dict[str, list[Value]] = {f"g{at}": [("Trading Bhd", "Trading Bhd")] for at in range(12)}
    assert Mixer(values).unmarked("g0", "Trading Bhd", random.Random(0)) is None


def test_a_field_of_few_values_has_few_senders() -> None:
    assert Mixer(names()).n_senders == 12
    assert Mixer({f"g{at}": [("Cash", "Cash")] for at in range(12)}).n_senders == 1
