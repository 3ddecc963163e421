import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapidfuzz import fuzz, process

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA
from metier.artefacts.estimates import not_scored
from metier.artefacts.tasks import ASSIGNMENT_SCHEMA, Audit, AuditVerdict, Definedness, OutputKind, Task, TaskAudit
from metier.artefacts.traffic import TRACE_SCHEMA, FrameTraffic
from metier.curate import CurateSettings, curate
from metier.curation import reasons
from metier.curation.texts import duplicate_key
from metier.errors import BadInput, MetierError, NotEnoughData, NotFound

CLINC = Path(os.environ.get("METIER_DATA", "../shared/data")) / "clinc150" / "data_full.json"
DAY = 86_400.0
TOPICS = {
    "billing": ["invoice", "charge", "refund", "payment", "fee", "tax"],
    "shipping": ["parcel", "courier", "tracking", "delivery", "address", "customs"],
    "login": ["password", "account", "token", "username", "lockout", "recovery"],
}
PLACES = ["lisbon", "oslo", "quito", "hanoi", "dakar", "perth", "turin", "leeds", "nagoya", "denver", "salta", "bergen"]


def audit_of(calls, kinds=None):
    """An audit whose tasks are the `task` fields of `calls`."""
    names = list(dict.fromkeys(call.get("task", "topics") for call in calls)) or ["topics"]
    kinds = kinds or {}
    tasks = tuple(
        TaskAudit(
            Task(f"id-{name}", name, "", (), kinds.get(name, OutputKind.LABEL)), 1, 1.0, 1.0, 1.0, 0, 0, 0, 1.0,
            Definedness(1.0, 3, 6.0, ""), None, not_scored(), AuditVerdict.SPECIALISE, "",
        )
        for name in names
    )  # fmt: skip
    assigned = [
        {"trace_id": f"t{i}", "task_id": f"id-{call.get('task', 'topics')}", "template_id": "p", "input": call["input"]}
        for i, call in enumerate(calls)
    ]
    return Audit(len(calls), 0, 1.0, 1.0, "", tasks, pl.DataFrame(assigned, schema=ASSIGNMENT_SCHEMA))


def traffic_of(calls):
    rows = [
        {"id": f"t{i}", "messages": "[]", "provenance": "teacher"}
        | {k: v for k, v in call.items() if k in TRACE_SCHEMA}
        for i, call in enumerate(calls)
    ]
    return FrameTraffic(pl.DataFrame(rows, schema=TRACE_SCHEMA))


def run(calls, seed=0, ood_inputs=None, kinds=None, name="topics", **options):
    options.setdefault("min_split_size", 5)
    return curate(
        audit_of(calls, kinds), name, traffic_of(calls), CurateSettings(**options), seed=seed, ood_inputs=ood_inputs
    )


def topic_calls(n_each=72, **fields):
    return [
        {"input": f"{word} {place} {i % 6} {label[::-1]}", "response": label} | fields
        for label, words in TOPICS.items()
        for i, (word, place) in enumerate([(w, p) for w in words for p in PLACES][:n_each])
    ]


def reason_of(dataset):
    return dict(dataset.removed["reason"].value_counts().iter_rows())


def assert_sound(dataset, n_calls):
    """What holds for every dataset, whatever went in."""
    assert dataset.examples.schema == EXAMPLE_SCHEMA
    assert dataset.removed.schema == REMOVED_SCHEMA
    own = dataset.examples.filter((pl.col("split") != "ood") | pl.col("provenance").is_not_null())
    assert own.height + dataset.removed.height == n_calls
    assert dataset.removed["reason"].null_count() == 0
    assert dataset.examples["id"].is_unique().all()
    assert dataset.examples["group"].null_count() == 0
    scoped = dataset.examples.filter(pl.col("split") != "ood")
    assert (scoped.group_by("group").agg(pl.col("split").n_unique())["split"] == 1).all()
    assert scoped["output"].null_count() == 0
    assert dataset.split("ood")["output"].null_count() == dataset.split("ood").height
    assert set(dataset.classes) == set(dataset.split("train")["output"])
    assert set(dataset.removed["kept_id"].drop_nulls()) <= set(dataset.examples["id"])


def test_outputs_come_from_corrections_feedback_records_and_the_model():
    calls = topic_calls()
    calls += [
        {"input": "alpha one", "response": "login", "correction": "billing", "feedback": "wrong"},
        {"input": "beta two", "response": "login", "feedback": "correct"},
        {"input": "gamma three", "response": "login", "provenance": "human", "dataset": "records"},
        {"input": "delta four", "response": "login", "feedback": "wrong"},
    ]
    dataset = run(calls)
    assert_sound(dataset, len(calls))
    rows = {row["input"]: row for row in dataset.examples.to_dicts()}
    assert (rows["alpha one"]["output"], rows["alpha one"]["recorded"]) == ("billing", "login")
    assert rows["alpha one"]["provenance"] == rows["beta two"]["provenance"] == "feedback"
    assert (rows["gamma three"]["provenance"], rows["gamma three"]["recorded"]) == ("human", None)
    assert rows[calls[0]["input"]]["provenance"] == "teacher"
    assert reason_of(dataset) == {reasons.WRONG_WITHOUT_CORRECTION: 1}


def test_json_answers_and_spellings_become_one_label_and_the_form_is_remembered():
    calls = topic_calls()
    for i, call in enumerate(calls):
        label = call["response"].upper() if i % 10 == 0 else call["response"]
        call["response"] = json.dumps({"topic": label})
    dataset = run(calls)
    assert dataset.classes == ("billing", "login", "shipping")
    assert dataset.answer_key == "topic"
    assert any("22 outputs respelled" in note for note in dataset.notes)
    assert dataset.examples["recorded"].to_list() == dataset.examples["output"].to_list()


def test_what_was_reasoned_before_a_box_stays_beside_the_label():
    calls = topic_calls()
    for call in calls[:-1]:
        call["response"] = f"It is about {call['input']}.\n\\boxed{{{call['response']}}}"
    calls[0] |= {"correction": "login", "feedback": "wrong"}
    dataset = run(calls)
    assert dataset.classes == ("billing", "login", "shipping")
    found = {row["input"]: row["rationale"] for row in dataset.examples.to_dicts()}
    # The label that a person put in the answer's place was reasoned for by nobody.
    assert found.pop(calls[0]["input"]) is None
    assert found.pop(calls[-1]["input"]) is None
    assert all(said == f"It is about {text}." for text, said in found.items())


def test_unusable_outputs_are_removed_with_reasons():
    calls = topic_calls()
    calls += [
        {"input": "one thing", "response": None},
        {"input": "two things", "response": "x" * 300},
        {"input": "three things", "response": '{"a": 1, "b": 2}'},
        {"input": "four things", "response": "I'm sorry, I cannot help with that."},
        {"input": "  ", "response": "billing"},
        {"input": "five things", "response": "billing", "id": "elsewhere"},
    ]
    dataset = run(calls)
    assert_sound(dataset, len(calls))
    assert reason_of(dataset) == dict.fromkeys(
        (
            reasons.EMPTY_OUTPUT,
            reasons.LONG_OUTPUT,
            reasons.UNREADABLE_OUTPUT,
            reasons.STRAY_OUTPUT,
            reasons.EMPTY_INPUT,
            reasons.NOT_IN_TRAFFIC,
        ),
        1,
    )


def test_near_duplicates_never_cross_splits():
    """Five variants of each input, dealt out as independent rows, would leak; as groups they cannot."""
    rng = np.random.default_rng(0)
    words = ["".join(letters) for letters in rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (300, 6))]
    calls = []
    for i in range(120):
        text = " ".join(rng.choice(words, 7))
        variants = (text, text + " now", text[:-1], text.replace("e", "ee", 1) + "s", "hi " + text)
        calls += [{"input": variant, "response": list(TOPICS)[i % 3]} for variant in variants]
    dataset = run(calls, near_duplicate_threshold=0.9)
    assert_sound(dataset, len(calls))
    rows = dataset.examples.filter(pl.col("split") != "ood")
    keys = [duplicate_key(text) for text in rows["input"]]
    scores = process.cdist(keys, keys, scorer=fuzz.ratio, score_cutoff=90)
    splits = rows["split"].to_numpy()
    crossing = (scores > 0) & (splits[:, None] != splits[None, :])
    assert (scores > 0).sum() > len(keys) * 4
    assert crossing.sum() == 0
    assert rows["group"].n_unique() < rows.height / 3


def test_near_duplicates_of_a_given_test_leave_train():
    calls = [call | {"split": ("train", "train", "val", "test")[i % 4]} for i, call in enumerate(topic_calls())]
    held_out = [call for call in calls if call["split"] == "test"]
    leaks = [{"input": call["input"] + "s", "response": call["response"], "split": "train"} for call in held_out[:20]]
    minimal_pair = {"input": held_out[0]["input"] + "z", "response": "login", "split": "train"}
    dataset = run([*calls, *leaks, minimal_pair], near_duplicate_threshold=0.93)
    assert_sound(dataset, len(calls) + 21)
    assert sorted(dataset.split("test")["input"]) == sorted(call["input"] for call in held_out)
    assert not set(dataset.examples["input"]) & {leak["input"] for leak in leaks}
    assert minimal_pair["input"] in set(dataset.split("train")["input"])
    leaked = dataset.removed.filter(pl.col("reason") == reasons.LEAKS)
    assert leaked.height >= 20
    assert leaked["kept_id"].null_count() == 0
    assert "as given" in dataset.split_rule


def test_a_customer_never_crosses_a_split():
    calls = [call | {"group": f"customer-{i % 40}"} for i, call in enumerate(topic_calls())]
    dataset = run(calls)
    assert_sound(dataset, len(calls))
    split_of = dict(dataset.examples.select("input", "split").iter_rows())
    for customer in range(40):
        assert len({split_of[call["input"]] for call in calls if call["group"] == f"customer-{customer}"}) == 1


def test_a_group_on_both_sides_of_the_given_splits_leaves_train_with_a_warning():
    calls = [call | {"split": ("train", "train", "val", "test")[i % 4]} for i, call in enumerate(topic_calls())]
    calls[0]["group"] = calls[3]["group"] = "acme"
    dataset = run(calls)
    assert_sound(dataset, len(calls))
    assert dataset.removed.filter(pl.col("reason") == reasons.GROUP_LEAKS)["id"].to_list() == ["t0"]
    assert any("group" in warning and "split" in warning for warning in dataset.warnings)


def test_the_newest_calls_are_held_out_even_if_the_clock_went_backwards():
    calls = topic_calls()
    for i, call in enumerate(calls):
        call["time"] = float((i * 37) % len(calls)) * DAY
    dataset = run(calls)
    held = dataset.examples.filter(pl.col("split").is_in(["calibration", "test"]))["time"]
    rest = dataset.examples.filter(pl.col("split").is_in(["train", "tune"]))
    began_before = rest.group_by("group").agg(pl.col("time").min())["time"]
    assert held.min() > began_before.max()


def test_contradictions_are_told_and_settled():
    calls = [
        *topic_calls(),
        {"input": "Where is it?", "response": "shipping"},
        {"input": "where is it", "response": "billing", "provenance": "human", "dataset": "records"},
        {"input": "who is it", "response": "shipping"},
        {"input": "who is it!", "response": "billing"},
    ]
    dataset = run(calls)
    assert_sound(dataset, len(calls))
    told = {contradiction.input: contradiction.resolution for contradiction in dataset.contradictions}
    assert told["Where is it?"] == "kept 'billing', given by human"
    assert told["who is it"] == "removed: a tie"
    kept = dataset.examples.filter(pl.col("input") == "where is it").to_dicts()[0]
    assert (kept["output"], kept["recorded"]) == ("billing", "shipping")


def test_out_of_scope_inputs_come_from_other_tasks_in_equal_parts():
    calls = topic_calls()
    calls += [
        {"input": f"poem {i} about {place}", "response": "…", "task": "poems"} for i in range(5) for place in PLACES
    ]
    calls += [{"input": f"sum {i} and {i * 7919}", "response": "1", "task": "sums"} for i in range(500)]
    calls += [{"input": calls[0]["input"] + "!", "response": "1", "task": "sums"}]
    dataset = run(calls, ood_size=80, near_duplicate_threshold=0.98)
    assert_sound(dataset, 216)
    ood = dataset.split("ood")["input"]
    assert len(ood) == 80
    assert 25 <= sum(text.startswith("poem") for text in ood) <= 55
    assert "poems, sums" in dataset.ood_source
    assert "ood" not in dataset.split("train")["input"].to_list()


def test_the_users_own_out_of_scope_inputs_come_first():
    calls = topic_calls() + [{"input": f"sum {i}", "response": "1", "task": "sums"} for i in range(50)]
    calls += [
        {"input": "sing me a song", "response": "oos", "split": "oos_test"},
        {"input": "what is love", "response": None, "split": "oos_val"},
        {"input": calls[0]["input"], "response": "oos", "split": "oos_test"},
    ]
    dataset = run(calls, ood_inputs=["tell me a joke", "Tell me a joke!", ""])
    assert sorted(dataset.split("ood")["input"]) == ["sing me a song", "tell me a joke"]
    assert reason_of(dataset) == {reasons.OUT_OF_SCOPE_TRAINING: 1, reasons.OUT_OF_SCOPE_KNOWN: 1}
    assert_sound(dataset, 216 + 3)
    assert "oos" not in dataset.classes


def test_out_of_scope_records_for_training_are_used_where_there_are_no_others():
    calls = [*topic_calls(), {"input": "sing me a song", "response": "oos", "split": "oos_train"}]
    assert run(calls).split("ood")["input"].to_list() == ["sing me a song"]


def test_personal_data_are_gone_from_everything_that_is_stored():
    pytest.importorskip("presidio_analyzer", reason="the pii extra is not installed")
    calls = [*topic_calls(), {"input": "a poem", "response": "x", "task": "poems"}]
    for i, call in enumerate(calls[:100]):
        call["input"] += f" write to anna{i}@example.com"
        call["group"] = f"anna{i}@example.com"
    calls[0]["response"] = "I'm sorry anna@example.com, I cannot say."
    calls[-1]["input"] = "a poem for anna@example.com"
    dataset = run(calls, scrub_pii=True, near_duplicate_threshold=1.0, ood_inputs=["ask bob@example.com"])
    assert_sound(dataset, 216)
    stored = dataset.examples.write_csv() + dataset.removed.write_csv() + repr(dataset.contradictions)
    assert "@example.com" not in stored
    assert "<EMAIL>" in stored
    assert any("EMAIL" in note for note in dataset.notes)


def test_a_wrong_name_is_met_with_the_nearest():
    with pytest.raises(NotFound, match="Did you mean 'topics'"):
        run(topic_calls(), name="topic")


def test_pages_are_refused():
    with pytest.raises(BadInput, match="reads images"):
        run(topic_calls(), kinds={"topics": OutputKind.PAGE})


def test_a_label_that_is_only_in_the_given_test_stays_and_is_warned_about():
    calls = [call | {"split": ("train", "train", "val", "test")[i % 4]} for i, call in enumerate(topic_calls())]
    calls.append({"input": "a new kind of thing", "response": "novel", "split": "test"})
    dataset = run(calls)
    assert "novel" not in dataset.classes
    assert "novel" in dataset.split("test")["output"].to_list()
    assert any("never seen in train ('novel'): 1 in test" in warning for warning in dataset.warnings)


def test_a_class_with_one_example_is_trained_on():
    dataset = run([*topic_calls(), {"input": "something else entirely", "response": "rarest"}])
    assert "rarest" in dataset.classes
    assert any("fewer than 5 training examples: 'rarest'" in warning for warning in dataset.warnings)


def test_boilerplate_that_binds_everything_is_named_with_the_mend():
    boilerplate = "dear team, please look into the following matter as soon as you can, many thanks and regards: "
    calls = [call | {"input": boilerplate + call["input"]} for call in topic_calls()]
    with pytest.raises(NotEnoughData, match=r"holds 216 of 216 examples .* raise near_duplicate_threshold"):
        run(calls, near_duplicate_threshold=0.8)
    assert_sound(run(calls, near_duplicate_threshold=0.999), 216)


def test_two_classes_are_enough():
    assert run([call for call in topic_calls() if call["response"] != "login"]).classes == ("billing", "shipping")


def test_a_thousand_classes():
    calls = [
        {"input": f"{a} {PLACES[b]} {a * 7 + b}", "response": f"class {a}"} for a in range(1_000) for b in range(4)
    ]
    dataset = run(calls, near_duplicate_threshold=1.0)
    assert len(dataset.classes) == 1_000
    assert_sound(dataset, 4_000)


def test_identical_inputs_are_not_enough():
    with pytest.raises(NotEnoughData, match=r"1 usable examples of 300 calls.*298 exact duplicate"):
        run([{"input": "hello", "response": "a" if i else "b"} for i in range(300)])


def test_one_label_is_not_enough():
    with pytest.raises(NotEnoughData, match="only the label 'billing'"):
        run([call | {"response": "billing"} for call in topic_calls()])


def test_too_few_examples_name_the_counts():
    with pytest.raises(NotEnoughData, match="30 usable examples of 30 calls; at least 40"):
        run(topic_calls(10), min_split_size=10, near_duplicate_threshold=1.0)


def test_the_same_seed_gives_the_same_dataset_and_ids_depend_on_content_alone():
    one, same, other = run(topic_calls()), run(topic_calls()), run(topic_calls(), seed=1)
    assert one.examples.equals(same.examples)
    assert not one.examples.equals(other.examples)
    assert set(one.examples["id"]) == set(other.examples["id"]) == set(run(topic_calls()[::-1]).examples["id"])


def test_settings_leave_something_to_train_on():
    with pytest.raises(ValueError, match=r"leave at least 0\.1 for train"):
        CurateSettings(test_fraction=0.5, calibration_fraction=0.4, tune_fraction=0.1)


texts = st.one_of(
    st.sampled_from(["pay my bill", "pay my bills", "Pay my bill!", "reset password", "track parcel", "", "  ", "?"]),
    st.text(max_size=20),
)
wild_calls = st.fixed_dictionaries(
    {"input": texts},
    optional={
        "response": st.one_of(
            st.none(), st.sampled_from(["a", "A", "b", '{"label": "a"}', "I'm sorry, no."]), st.text(max_size=12)
        ),
        "correction": st.sampled_from(["a", "b", None]),
        "feedback": st.sampled_from(["correct", "wrong", None]),
        "provenance": st.sampled_from(["human", "teacher", "simulator", "feedback"]),
        "dataset": st.sampled_from(["file", None]),
        "group": st.sampled_from(["g1", "g2", "g3", None]),
        "split": st.sampled_from(["train", "val", "test", "calibration", "tune", "oos", "oos_train", " ", None]),
        "time": st.sampled_from([0.0, 5 * DAY, float("nan"), None]) | st.floats(0, 1e9),
        "cost_usd": st.sampled_from([float("nan"), 0.1, None]),
        "task": st.sampled_from(["topics", "topics", "topics", "other"]),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(wild_calls, max_size=60), st.sampled_from(["none", "random", "time"]), st.integers(0, 3))
def test_nothing_is_lost_whatever_comes_in(wild, base, seed):
    padding = {"none": [], "random": topic_calls(16), "time": topic_calls(16)}[base]
    if base == "time":
        padding = [call | {"time": i * DAY} for i, call in enumerate(padding)]
    calls = wild + padding
    try:
        dataset = run(calls, seed=seed, min_split_size=1, ood_inputs=["an unrelated question"])
    except MetierError as error:
        assert str(error)  # noqa: PT017 - any refusal is fine, as long as it says something
        return
    own = [call for call in calls if call.get("task", "topics") == "topics"]
    extra = dataset.examples.filter((pl.col("split") == "ood") & pl.col("provenance").is_null()).height
    assert dataset.examples.height - extra + dataset.removed.height == len(own)
    assert_sound(dataset, len(own))
    for column in ("time", "cost_usd"):
        assert not dataset.examples[column].is_nan().any()


@pytest.mark.skipif(not CLINC.exists(), reason="clinc150 is not at METIER_DATA")
def test_the_given_splits_of_clinc150_are_honoured():
    data = json.loads(CLINC.read_text())
    calls = [
        {"input": text, "response": label, "provenance": "human", "dataset": "clinc150", "split": part}
        for part, rows in data.items()
        for text, label in rows
    ]
    dataset = run(calls, min_split_size=10)
    assert_sound(dataset, 23_700)
    assert len(dataset.classes) == 150
    assert sorted(dataset.split("test")["input"]) == sorted(text for text, _ in data["test"])
    assert sorted(dataset.split("ood")["input"]) == sorted(text for text, _ in data["oos_test"])
    assert dataset.split("tune").height + dataset.split("calibration").height > 2_900
    assert abs(dataset.split("tune").height - dataset.split("calibration").height) < 100
    assert 14_000 < dataset.split("train").height < 15_000
    assert reason_of(dataset)[reasons.OUT_OF_SCOPE_TRAINING] == 200
