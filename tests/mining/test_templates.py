"""Templates mined from prompts whose wording is known."""

from __future__ import annotations

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metier.mining.matching import build_matcher, fill_slots
from metier.mining.prompts import Prompt
from metier.mining.templates import is_open, mine_templates

WORDS = np.array(
    [f"{first}{last}" for first in string.ascii_lowercase for last in ("ta", "mi", "no", "rus", "el", "op")]
)


def text_of(rng: np.random.Generator, n_words: int) -> str:
    weights = 1 / np.arange(1, len(WORDS) + 1)
    return " ".join(rng.choice(WORDS, n_words, p=weights / weights.sum()))


def prompts_of(template: str, n: int, seed: int, system: str = "") -> list[Prompt]:
    """Prompts whose {} slots hold between 5 and 15 words."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        filled = template.format(*(text_of(rng, int(rng.integers(5, 15))) for _ in range(template.count("{}"))))
        made.append(Prompt(("system", "user"), (system, filled)) if system else Prompt(("user",), (filled,)))
    return made


@pytest.mark.parametrize(
    "template",
    [
        "Translate into French: {}",
        "{}\n\nTranslate the text above into French.",
        "Translate <text>{}</text> into French, please.",
        "Question: {}\nFacts to use: {}\nAnswer in one word.",
    ],
)
def test_the_literals_around_the_slots_are_found(template: str) -> None:
    [found] = mine_templates(prompts_of(template, 100, 1), 10, 0)
    assert found.messages[0].literals == tuple(template.split("{}"))


def test_each_wording_under_one_system_prompt_is_a_template() -> None:
    wordings = ["Translate into French: {}", "{}\n\nSay the above in French.", "In French, please.\n{}\nFrench:"]
    prompts = [prompt for seed, wording in enumerate(wordings) for prompt in prompts_of(wording, 80, seed, "Be kind.")]
    found = mine_templates(prompts, 10, 0)
    assert {template.messages[1].literals for template in found} == {tuple(wording.split("{}")) for wording in wordings}
    assert all(template.messages[0].literals == ("Be kind.",) for template in found)


def test_wordings_that_begin_alike_are_told_apart() -> None:
    first = "Read the following customer message and name the product that it is about.\n{}"
    second = "Read the following customer message and tell whether somebody must call back today.\n{}"
    found = mine_templates(prompts_of(first, 80, 1) + prompts_of(second, 80, 2), 10, 0)
    assert {template.messages[0].literals[0] for template in found} == {first[:-2], second[:-2]}


def test_a_slot_of_few_values_stays_a_slot() -> None:
    rng = np.random.default_rng(3)
    names = ("Ana", "Ben", "Chen")
    prompts = [
        Prompt(("user",), (f"The guest {rng.choice(names)} said this to us: {text_of(rng, 9)}",)) for _ in range(150)
    ]
    [found] = mine_templates(prompts, 10, 0)
    assert found.messages[0].literals == ("The guest ", " said this to us: ", "")


def test_text_without_instructions_is_one_open_template() -> None:
    [found] = mine_templates(prompts_of("{}", 200, 4), 10, 0)
    assert found.messages[0].literals == ("", "")
    assert is_open(found)


def test_a_rare_template_among_open_questions_is_found() -> None:
    prompts = prompts_of("{}", 900, 5) + prompts_of("Name the author of this verse: {}", 30, 6)
    literals = {template.messages[0].literals for template in mine_templates(prompts, 20, 0)}
    assert literals == {("", ""), ("Name the author of this verse: ", "")}


def test_input_that_repeats_instructions_does_not_break_them() -> None:
    prompts = prompts_of("Translate into French: {}", 100, 7)
    prompts[0] = Prompt(("user",), ("Translate into French: Translate into French: Translate into French:",))
    [found] = mine_templates(prompts, 10, 0)
    assert found.messages[0].literals == ("Translate into French: ", "")


def test_mining_is_the_same_every_time() -> None:
    prompts = prompts_of("Translate into French: {}", 60, 8) + prompts_of("{}\nSpell-check the above.", 60, 9)
    assert mine_templates(prompts, 10, 0) == mine_templates(prompts, 10, 0)


def test_the_matcher_prefers_the_template_with_most_literal_text() -> None:
    wordings = ["Answer: {}", "Answer: {} (in French, and with no more than ten words)"]
    prompts = [prompt for seed, wording in enumerate(wordings) for prompt in prompts_of(wording, 80, seed)]
    found = mine_templates(prompts, 10, 0)
    match = build_matcher(found)
    assert match(Prompt(("user",), ("Answer: bread (in French, and with no more than ten words)",))) == (
        next(place for place, template in enumerate(found) if template.messages[0].literals[1]),
        "bread",
    )
    assert match(Prompt(("assistant",), ("Answer: bread",))) is None


@given(st.lists(st.text(alphabet="ab ", min_size=0, max_size=8), min_size=2, max_size=4), st.data())
def test_slots_and_literals_give_the_text_back(literals: list[str], data: st.DataObject) -> None:
    slots = [data.draw(st.text(alphabet="xyz", max_size=6)) for _ in literals[1:]]
    inner = [literals[0], *(literal or "-" for literal in literals[1:-1]), literals[-1]]
    text = inner[0] + "".join(slot + literal for slot, literal in zip(slots, inner[1:], strict=True))
    found = fill_slots(tuple(inner), text)
    assert found is not None
    assert text == inner[0] + "".join(slot + literal for slot, literal in zip(found, inner[1:], strict=True))


def test_no_prompts_no_templates() -> None:
    assert mine_templates([], 5, 0) == []
    assert mine_templates([Prompt(("user",), ("",))] * 3, 5, 0) == []
