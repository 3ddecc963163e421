"""The audit of small logs whose tasks are known, and of the input that goes wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from metier.artefacts.tasks import ASSIGNMENT_SCHEMA, Audit, AuditVerdict, OutputKind, TaskAudit
from metier.artefacts.traffic import TRACE_SCHEMA, FrameTraffic
from metier.audit import AuditSettings, audit
from metier.errors import BadSettings

WORDS = np.array(
    [
        f"{first}{last}"
        for first in ("bar", "cel", "dro", "fen", "gul", "hab")
        for last in ("ta", "mi", "no", "rus", "el")
    ]
)
OTHER_WORDS = np.array(
    [f"{first}{last}" for first in ("pli", "que", "sto", "tro", "vau") for last in ("cha", "dis", "fo", "ge", "hu")]
)
LABELS = ("shipping", "billing", "hardware", "account", "other")


def sentence(rng: np.random.Generator, words: np.ndarray, n_words: int) -> str:
    """Words drawn with the frequencies of a natural language (Zipf, 1949: the n-th word is 1/n as common)."""
    weights = 1 / np.arange(1, len(words) + 1)
    return " ".join(rng.choice(words, n_words, p=weights / weights.sum()))


def complaint(rng: np.random.Generator) -> str:
    return sentence(rng, WORDS, int(rng.integers(6, 14)))


def call(user: str, response: str | None, system: str = "", **fields: object) -> dict[str, object]:
    messages = [{"role": "system", "content": system}] if system else []
    row = {
        "messages": json.dumps([*messages, {"role": "user", "content": user}]),
        "response": response,
        "model": "gpt-4o",
    }
    return {**row, "provenance": "teacher", **fields}


def traffic_of(rows: Sequence[dict[str, object]], step_s: float = 600.0) -> FrameTraffic:
    """A traffic of rows in this order, one every `step_s` seconds."""
    placed = [{"id": f"t{place}", "time": 1.7e9 + place * step_s, **row} for place, row in enumerate(rows)]
    return FrameTraffic(pl.DataFrame(placed, schema=TRACE_SCHEMA, orient="row"))


def run(rows: Sequence[dict[str, object]], step_s: float = 600.0, **settings: object) -> Audit:
    return audit(traffic_of(rows, step_s), AuditSettings.model_validate({"affinity": False, **settings}), seed=0)


def label_calls(
    n: int, seed: int, template: str = "Sort the message into a queue.\n\nMessage: {}\nQueue:"
) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    return [call(template.format(complaint(rng)), str(rng.choice(LABELS)), cost_usd=0.05) for _ in range(n)]


def only(found: Audit) -> TaskAudit:
    assert len(found.tasks) == 1, [row.task.name for row in found.tasks]
    return found.tasks[0]


def task_of(found: Audit, place: int) -> str | None:
    return str(found.assignments["task_id"][place])


def test_a_label_task_is_found_priced_and_worth_specialising() -> None:
    found = run(label_calls(600, 1), running_usd_low=10, running_usd_high=20)
    row = only(found)
    assert row.task.kind is OutputKind.LABEL
    assert sorted(row.task.labels) == sorted(LABELS)
    assert row.task.name == "sort-message-queue"
    [template] = row.task.templates
    assert template.n_calls == 600
    assert template.messages[0].literals == ("Sort the message into a queue.\n\nMessage: ", "\nQueue:")
    # 600 calls of 0.05 USD, one every ten minutes: 4,320 calls in 30 days.
    assert row.calls_per_month == pytest.approx(4_320, rel=0.02)
    assert row.cost_usd_month == pytest.approx(216, rel=0.02)
    assert row.bill_share == pytest.approx(1.0)
    assert row.saving_usd_month.low < row.saving_usd_month.value < row.saving_usd_month.high < row.cost_usd_month * 1.6
    assert row.verdict is AuditVerdict.SPECIALISE
    assert "600 recorded" in found.cost_note


def test_assignments_hold_every_call_and_its_input() -> None:
    rows = label_calls(100, 2)
    found = run(rows)
    assert found.assignments.schema == ASSIGNMENT_SCHEMA
    assert found.assignments["trace_id"].to_list() == [f"t{place}" for place in range(100)]
    assert all(text in str(row["messages"]) for text, row in zip(found.assignments["input"], rows, strict=True))
    assert found.assignments["input"].str.starts_with("Message").sum() == 0


def test_the_same_seed_gives_the_same_audit() -> None:
    rows = label_calls(120, 3)
    first, second = run(rows), run(rows)
    assert first.tasks == second.tasks
    assert first.assignments.equals(second.assignments)


def test_wordings_of_one_job_are_one_task() -> None:
    first = label_calls(200, 4)
    second = label_calls(200, 5, "{}\n\n---\nWhich queue should handle the customer message above? One word.")
    for row in second:
        row["response"] = json.dumps({"queue": row["response"]})
    row = only(run(first + second))
    assert len(row.task.templates) == 2
    assert sorted(row.task.labels) == sorted(LABELS)
    assert row.task.name == "queue"


def test_two_questions_about_the_same_inputs_are_two_tasks() -> None:
    rng = np.random.default_rng(6)
    texts = [complaint(rng) for _ in range(300)]
    urgent = [
        call(f"Is this customer message urgent? yes or no.\n{text}", str(rng.choice(("yes", "no")))) for text in texts
    ]
    abuse = [
        call(f"{text}\n\nDoes the text above contain insults? yes or no.", str(rng.choice(("yes", "no"))))
        for text in texts
    ]
    assert len(run(urgent + abuse).tasks) == 2


def test_jobs_that_share_one_generic_system_prompt_are_told_apart() -> None:
    rng = np.random.default_rng(7)
    sort = label_calls(200, 7)
    fields = [
        call(
            "Read the order below and give its fields as JSON.\n\n"
            f"ORDER #{rng.integers(1e6)}\n{sentence(rng, OTHER_WORDS, 9)}",
            json.dumps({"city": "x", "item": str(rng.choice(WORDS)), "count": int(rng.integers(9))}),
        )
        for _ in range(200)
    ]
    rows = sort + fields
    for row in rows:
        messages = json.loads(str(row["messages"]))
        row["messages"] = json.dumps([{"role": "system", "content": "You are a helpful assistant."}, *messages])
    found = run(rows)
    assert {row.task.kind for row in found.tasks} == {OutputKind.LABEL, OutputKind.FIELDS}
    shape = next(row.task for row in found.tasks if row.task.kind is OutputKind.FIELDS)
    assert shape.output_schema is not None
    assert shape.output_schema["required"] == ["city", "item", "count"]
    assert shape.output_schema["properties"]["count"] == {"type": "integer"}
    assert shape.output_schema["additionalProperties"] is False
    assert task_of(found, 0) != task_of(found, 399)


def test_jobs_that_share_the_whole_prompt_are_told_apart_by_their_answers() -> None:
    rng = np.random.default_rng(8)
    system = "Do what the handbook says for this kind of text: queue a complaint, read out an order, answer a question."
    queue = [call(complaint(rng), str(rng.choice(LABELS)), system) for _ in range(200)]
    orders = [
        call(
            f"{rng.integers(1e6)}: {sentence(rng, OTHER_WORDS, 9).upper()}",
            json.dumps({"city": "x", "order": 1}),
            system,
        )
        for _ in range(200)
    ]
    essays = [call(sentence(rng, OTHER_WORDS, 20) + "?", "Because. " * 40, system) for _ in range(200)]
    found = run(queue + orders + essays)
    assert len(found.tasks) == 3
    assert len({task_of(found, 0), task_of(found, 250), task_of(found, 450)}) == 3
    assert found.assignments["task_id"].n_unique() == 3


def test_open_questions_stay_on_the_frontier_and_are_not_lost() -> None:
    rng = np.random.default_rng(9)
    words = np.array([f"w{n}" for n in range(3_000)])
    rows = [
        call(" ".join(rng.choice(words, 30)) + "?", " ".join(rng.choice(words, 60)), cost_usd=1.0) for _ in range(300)
    ]
    row = only(run(rows))
    assert row.task.name == "open-ended"
    assert row.n_calls == 300
    assert row.verdict is AuditVerdict.FRONTIER


def test_free_text_with_instructions_stays_on_the_frontier() -> None:
    rng = np.random.default_rng(10)
    words = np.array([f"w{n}" for n in range(3_000)])
    rows = [
        call(
            f"Write a friendly reply to this message:\n{complaint(rng)}", " ".join(rng.choice(words, 40)), cost_usd=1.0
        )
        for _ in range(300)
    ]
    row = only(run(rows))
    assert row.task.kind is OutputKind.TEXT
    assert row.verdict is AuditVerdict.FRONTIER
    assert "not closed" in row.reason


def test_a_task_cheaper_than_its_specialist_stays_on_the_frontier() -> None:
    rows = [{**row, "cost_usd": 1e-5} for row in label_calls(600, 11)]
    row = only(run(rows))
    assert row.verdict is AuditVerdict.FRONTIER
    assert row.saving_usd_month.high < 0
    assert "cost more than it saves" in row.reason


def test_too_few_labels_are_to_be_collected_first_and_the_reason_says_how_many() -> None:
    row = only(run(label_calls(120, 12), step_s=6.0))
    assert row.verdict is AuditVerdict.COLLECT
    assert "300 are needed" in row.reason


def test_contradictory_answers_are_to_be_labelled_again() -> None:
    rng = np.random.default_rng(13)
    texts = [complaint(rng) for _ in range(400)]
    rows = [
        call(f"Name the queue for this message.\n\n{text}", str(rng.choice(LABELS)), cost_usd=1.0) for text in texts * 3
    ]
    row = only(run(rows))
    assert row.verdict is AuditVerdict.COLLECT
    assert "contradict" in row.reason


def test_a_few_contradictions_among_records_without_duplicates_are_no_evidence() -> None:
    """As in clinc150, where a handful of 22,500 records repeat an input, and those disagree."""
    rows = label_calls(600, 27)
    rows += [{**row, "response": "other" if row["response"] != "other" else "billing"} for row in rows[:4]]
    row = only(run(rows, running_usd_low=1, running_usd_high=2))
    assert row.verdict is AuditVerdict.SPECIALISE


def test_labelled_records_are_one_task_with_no_bill() -> None:
    rng = np.random.default_rng(14)
    record = {"provenance": "human", "dataset": "queues", "model": None}
    rows = [{**call(complaint(rng), str(rng.choice(LABELS))), **record} for _ in range(400)]
    found = run(rows)
    row = only(found)
    assert row.task.name == "queues"
    assert row.task.templates[0].messages[0].literals == ("", "")
    assert row.n_human_labels == 400
    assert row.cost_usd_month == 0.0
    assert math.isnan(row.saving_usd_month.value)
    assert found.cost_note == "No calls, no costs."
    assert row.verdict is AuditVerdict.SPECIALISE
    assert found.assignments["input"][0] == json.loads(str(rows[0]["messages"]))[0]["content"]


def test_examples_in_the_prompt_are_part_of_the_template_and_not_of_the_name() -> None:
    rng = np.random.default_rng(28)
    shown = [
        ("system", "Classify the sentiment."),
        ("user", "I love it"),
        ("assistant", "positive"),
        ("user", "Awful"),
        ("assistant", "negative"),
    ]
    rows = []
    for _ in range(100):
        messages = [{"role": role, "content": text} for role, text in [*shown, ("user", complaint(rng))]]
        rows.append({**call("", str(rng.choice(("positive", "negative")))), "messages": json.dumps(messages)})
    found = run(rows)
    row = only(found)
    assert row.task.name == "classify-sentiment"
    [template] = row.task.templates
    assert [message.literals for message in template.messages[1:]] == [
        ("I love it",),
        ("positive",),
        ("Awful",),
        ("negative",),
        ("", ""),
    ]


def test_records_and_calls_do_not_mix() -> None:
    rng = np.random.default_rng(15)
    records = [{**call(complaint(rng), "billing"), "dataset": name} for name in ("one", "two") for _ in range(50)]
    found = run(label_calls(100, 15) + records)
    assert sorted(row.task.name for row in found.tasks) == ["one", "sort-message-queue", "two"]


def test_human_labels_feedback_and_corrections_are_counted() -> None:
    rows = label_calls(100, 16)
    for row in rows[:10]:
        row.update(feedback="wrong", correction="billing")
    for row in rows[10:15]:
        row.update(feedback="correct")
    row = only(run(rows))
    assert (row.n_human_labels, row.n_teacher_labels, row.n_feedback) == (10, 90, 15)


def test_a_task_of_images_is_a_page_task() -> None:
    content = [
        {"type": "text", "text": "Read this page and give JSON."},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    rows = [
        {**call("", '{"header": "a", "text": "b"}'), "messages": json.dumps([{"role": "user", "content": content}])}
    ] * 40
    assert only(run(rows)).task.kind is OutputKind.PAGE


def test_affinity_separates_a_task_from_the_rest() -> None:
    rng = np.random.default_rng(17)
    poems = [call(f"Rate the poem.\n\n{sentence(rng, OTHER_WORDS, 12)}", "good") for _ in range(150)]
    found = run(label_calls(150, 17) + poems, affinity=True)
    for row in found.tasks:
        assert row.affinity is not None
        assert row.affinity.distance.value > 1.8
        assert row.affinity.null_high < 0.5


@pytest.mark.parametrize("n_labels", [2, 1_000])
def test_any_number_of_labels(n_labels: int) -> None:
    rng = np.random.default_rng(18)
    rows = [
        call(f"Give the product code for this message: {complaint(rng)}", f"code-{rng.integers(n_labels)}")
        for _ in range(4_000)
    ]
    row = only(run(rows, step_s=1.0))
    assert row.task.kind is OutputKind.LABEL
    assert len(row.task.labels) == pytest.approx(n_labels, rel=0.05)


def test_labels_that_differ_in_case_and_quotes_are_one_label() -> None:
    rng = np.random.default_rng(19)
    spellings = ("billing", "Billing", '"billing"', " BILLING ", "billing.")
    rows = [call(f"Name the queue of this message.\n{complaint(rng)}", str(rng.choice(spellings))) for _ in range(100)]
    assert [label.casefold() for label in only(run(rows)).task.labels] == ["billing"]


def test_one_call() -> None:
    row = only(run([call("hello", "hi")]))
    assert (row.task.name, row.n_calls, row.verdict) == ("open-ended", 1, AuditVerdict.FRONTIER)


def test_no_calls() -> None:
    found = run([])
    assert (found.n_traces, found.tasks, found.cost_usd_month) == (0, (), 0.0)


def test_all_calls_identical() -> None:
    row = only(run([call("ping", "pong", cost_usd=1.0)] * 200))
    assert row.verdict is AuditVerdict.FRONTIER
    assert "cache" in row.reason


def test_no_responses() -> None:
    rows = [{**row, "response": None} for row in label_calls(200, 20)]
    row = only(run(rows, running_usd_low=1, running_usd_high=2))
    assert row.verdict is AuditVerdict.COLLECT
    assert row.n_teacher_labels == 0


def test_no_times_and_nan_costs() -> None:
    rows = [
        {**row, "time": None, "cost_usd": math.nan, "input_tokens": 1_000_000, "output_tokens": 0}
        for row in label_calls(40, 21)
    ]
    found = run(rows)
    # 1,000,000 tokens of input of gpt-4o at its list price, 2.50 USD (openai.com/api/pricing).
    assert found.cost_usd_month == pytest.approx(40 * 2.5)
    assert "taken as one month" in found.cost_note
    assert "40 from tokens at list price" in found.cost_note


def test_missing_tokens_are_estimated_and_unknown_models_priced_as_the_reference() -> None:
    known = [call("x" * 4_000, None) for _ in range(30)]
    unknown = [{**call("y" * 4_000, None), "model": "in-house-7"} for _ in range(30)]
    found = run([{**row, "time": None} for row in known + unknown])
    assert found.cost_usd_month == pytest.approx(60 * 1_000 * 2.5e-6)
    assert "30 at list price with tokens estimated" in found.cost_note
    assert "30 of unknown models" in found.cost_note


def test_a_clock_that_goes_backwards_changes_nothing() -> None:
    rows = label_calls(100, 22)
    forward, backward = run(rows), run(rows, step_s=-600.0)
    assert forward.span_days == pytest.approx(backward.span_days)
    assert forward.cost_usd_month == pytest.approx(backward.cost_usd_month)


def test_one_wrong_clock_does_not_stretch_the_span() -> None:
    rows = label_calls(1_000, 23)
    rows[500]["time"] = 0.0
    assert run(rows).span_days == pytest.approx(1_000 * 600 / 86_400, rel=0.02)


def test_a_span_of_minutes_is_not_blown_up() -> None:
    found = run(label_calls(60, 24), step_s=1.0)
    assert found.tasks[0].calls_per_month == pytest.approx(60 * 24 * 30)
    assert "minutes" in found.cost_note


def test_empty_prompts_are_counted_as_unassigned() -> None:
    empty = [{**call("", "?"), "messages": "[]"}, call("", "?")]
    found = run(label_calls(50, 25) + empty)
    assert found.n_unassigned == 2
    assert found.assignments["task_id"].null_count() == 2


def test_huge_prompts_are_assigned_whole() -> None:
    rng = np.random.default_rng(26)
    words = np.array([f"w{n}" for n in range(5_000)])
    rows = [
        call(
            f"Which language is this log written in?\n\n{' '.join(rng.choice(words, 20_000))}\n\nAnswer with one word.",
            "none",
        )
        for _ in range(30)
    ]
    found = run(rows)
    [template] = only(found).task.templates
    assert template.messages[0].literals == ("Which language is this log written in?\n\n", "\n\nAnswer with one word.")
    assert found.assignments["input"].str.len_chars().min() > 90_000  # type: ignore[operator]


def test_ranges_upside_down_and_unknown_reference_models_are_refused() -> None:
    with pytest.raises(BadSettings, match="upside down"):
        run([], coverage_low=0.9, coverage_high=0.5)
    with pytest.raises(BadSettings, match="no-such-model"):
        run([], reference_model="no-such-model")


def test_labelled_chats_keep_the_prompt_around_their_inputs() -> None:
    rng = np.random.default_rng(21)
    systems = ("Sort the message into one of our queues, please.", "Queue?")
    rows = [
        call(complaint(rng), str(rng.choice(LABELS)), systems[place % 2], provenance="human", dataset="queues")
        for place in range(80)
    ]
    rows.append(
        call(complaint(rng), "other", "A prompt that only one record has.", provenance="human", dataset="queues")
    )
    rows += [call(complaint(rng), "billing", provenance="human", dataset="bare") for _ in range(20)]
    found = run(rows)
    queues, bare = (next(row.task for row in found.tasks if row.task.name == name) for name in ("queues", "bare"))
    assert {template.messages[0].literals: template.n_calls for template in queues.templates} == {
        (systems[0],): 40, (systems[1],): 40, ("", ""): 1,
    }  # fmt: skip
    assert [template.messages[0].literals for template in bare.templates] == [("", "")]
    assert found.assignments.filter(pl.col("task_id") == queues.id)["template_id"].n_unique() == 3


def test_the_schema_that_requests_state_is_the_tasks() -> None:
    rng = np.random.default_rng(22)
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
    asked = json.dumps({"response_format": {"type": "json_schema", "json_schema": {"name": "o", "schema": schema}}})
    answer = json.dumps({"city": "x", "n": 3})
    rows = [call(f"Read this order as JSON.\n{complaint(rng)}", answer, parameters=asked) for _ in range(100)]
    assert only(run(rows)).task.output_schema == schema


def test_one_field_that_never_recurs_is_a_record_and_a_list_is_none() -> None:
    rng = np.random.default_rng(23)
    totals = [
        call(f"Give the total as JSON.\n{complaint(rng)} {n}", json.dumps({"total": f"{n}.00"}), cost_usd=1.0)
        for n in range(400)
    ]
    row = only(run(totals))
    assert row.task.kind is OutputKind.FIELDS
    assert row.task.output_schema is not None
    assert row.task.output_schema["required"] == ["total"]
    assert row.verdict is AuditVerdict.SPECIALISE
    assert "`lm`" in row.reason
    lists = [{**row, "response": json.dumps([n, n + 1])} for n, row in enumerate(totals)]
    row = only(run(lists))
    assert row.verdict is AuditVerdict.FRONTIER
    assert "no objects" in row.reason


def test_texts_drawn_from_their_inputs_are_worth_a_try() -> None:
    rng = np.random.default_rng(24)
    rows = []
    for _ in range(400):
        text = complaint(rng) + " " + complaint(rng)
        said = f"The customer says: {text[: len(text) // 2]}"
        rows.append(
            call(text, said, "You are the scribe of our help desk; write a note of what is said.", cost_usd=1.0)
        )
    row = only(run(rows))
    assert row.task.kind is OutputKind.TEXT
    assert row.verdict is AuditVerdict.SPECIALISE
    assert "have people judge" in row.reason


def test_short_texts_among_long_ones_are_no_labels() -> None:
    rng = np.random.default_rng(25)
    system = "You are the scribe of our help desk; write a note of what is said."
    rows = [
        call(complaint(rng), "Nothing new." if n % 4 == 0 else f"{complaint(rng)}, {complaint(rng)}", system)
        for n in range(400)
    ]
    assert only(run(rows)).task.kind is OutputKind.TEXT
