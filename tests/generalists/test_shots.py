"""Worked examples: a fixed set, from train alone, and where they stand in the messages."""

from __future__ import annotations

import polars as pl

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.tasks import OutputKind, Template, TemplateMessage
from metier.generalists import GeneralistSettings, Question, make_generalist, shots_from
from metier.generalists.prompts import FIELDS_INSTRUCTION, TEXT_BY_EXAMPLE_INSTRUCTION, messages_for

SHOTS = (("one", '{"n": 1}'), ("two", '{"n": 2}'))


def dataset(kind: OutputKind = OutputKind.FIELDS, n: int = 40) -> Dataset:
    rows = [
        {
            "id": str(i), "input": f"input {i} " + "long " * (500 if i == 3 else 1), "output": f"out {i % 5}",
            "provenance": "teacher" if i % 2 else "human", "split": "train" if i < n else "test",
        }
        for i in range(n + 10)
    ]  # fmt: skip
    examples, removed = pl.DataFrame(rows, schema=EXAMPLE_SCHEMA), pl.DataFrame(schema=REMOVED_SCHEMA)
    return Dataset("t", "t", kind, (), "", "", (), (), examples, removed)


def test_they_come_from_train_by_the_seed_truth_first_and_without_the_longest():
    shots = shots_from(dataset(), 16, seed=1)
    assert shots == shots_from(dataset(), 16, seed=1)
    assert shots != shots_from(dataset(), 16, seed=2)
    assert shots[:3] == shots_from(dataset(), 3, seed=1)
    numbers = [int(text.split()[1]) for text, _ in shots]
    assert len(set(numbers)) == 16
    assert max(numbers) < 40
    assert all(number % 2 == 0 for number in numbers)
    assert all(len(text) < 100 for text, _ in shots_from(dataset(), 99, seed=1))


def test_labels_come_one_of_each_first():
    assert {label for _, label in shots_from(dataset(OutputKind.LABEL), 5, seed=0)} == {f"out {i}" for i in range(5)}


def test_few_or_no_examples_give_few_or_no_shots():
    assert shots_from(dataset(n=0), 3, seed=0) == ()
    assert shots_from(dataset(), 0, seed=0) == ()
    assert len(shots_from(dataset(n=2), 3, seed=0)) == 2


def test_they_are_earlier_turns_after_what_is_said_once():
    question = Question("1", "three", kind=OutputKind.FIELDS, output_schema={"type": "object"})
    messages = messages_for(question, shots=SHOTS)
    assert messages[0] == {
        "role": "system",
        "content": FIELDS_INSTRUCTION.replace("{schema}", '{"type": "object"}'),
    }
    assert [(message["role"], message["content"]) for message in messages[1:]] == [
        ("user", "one"), ("assistant", '{"n": 1}'), ("user", "two"), ("assistant", '{"n": 2}'), ("user", "three"),
    ]  # fmt: skip


def test_they_take_the_form_of_the_tasks_template_or_prompt():
    template = Template("x", (TemplateMessage("system", ("Read.",)), TemplateMessage("user", ("<", ">"))), 3)
    question = Question("1", "three", template=template, kind=OutputKind.TEXT, shots=SHOTS[:1])
    assert [message["content"] for message in messages_for(question)] == ["Read.", "<one>", '{"n": 1}', "<three>"]
    plain = Question("1", "three", kind=OutputKind.TEXT, shots=SHOTS[:1])
    assert [message["content"] for message in messages_for(plain, "Do it: {input}")] == [
        "Do it: one", '{"n": 1}', "Do it: three",
    ]  # fmt: skip
    assert messages_for(plain)[0]["content"] == TEXT_BY_EXAMPLE_INSTRUCTION


def test_an_instruction_of_its_own_stands_alone():
    question = Question("1", "three", kind=OutputKind.TEXT, shots=SHOTS, instruction="Rewrite.")
    assert [message["content"] for message in messages_for(question, "ignored", SHOTS)] == ["Rewrite.", "three"]


def test_the_setting_reaches_the_backends(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    settings = GeneralistSettings(
        backend="gguf", path=str(tmp_path / "m.gguf"), shots=3, max_output_tokens=9, context_tokens=512, threads=2
    )
    made = make_generalist(settings, dataset(), seed=5)
    assert made.shots == shots_from(dataset(), 3, seed=5)
    assert (made.max_output_tokens, made.context_tokens, made.n_threads) == (9, 512, 2)
    openai = GeneralistSettings(
        backend="openai", model="m", base_url="http://x/v1", shots=2, input_usd_per_million=0, output_usd_per_million=0
    )
    assert make_generalist(openai, dataset(), environ={}, seed=5).shots == shots_from(dataset(), 2, seed=5)
