"""Records and texts through evaluate: the same verdict, failures counted, nothing dropped."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from scipy import stats

from metier.artefacts.datasets import Dataset
from metier.artefacts.evaluations import ANSWER_SCHEMA, Evaluation, Verdict
from metier.artefacts.specialists import Specialist
from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.evaluate import EvaluateSettings, evaluate
from metier.evaluation.asking import loaded
from metier.evaluation.reading import reader_of
from metier.store.payload import PAYLOAD, read_payload, write_payload

SETTINGS = EvaluateSettings(n_latency=12, n_resamples=400, core_usd_per_hour=36.0)
Make = Callable[..., Specialist]


def test_what_writes_is_given_the_cores_that_its_latency_and_price_are_said_to_take(
    kit: SimpleNamespace, specialist: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their number: zero would be those that the load average of a minute calls idle."""
    monkeypatch.setattr("metier.evaluation.asking.usable_cores", lambda: 7)
    writer = kit.Writer({})
    with loaded(specialist(OutputKind.FIELDS, writer)):
        assert (writer.loaded_with, writer.closed) == ([7], [])
    assert writer.closed == [True]


def receipt(k: int) -> tuple[str, dict[str, str]]:
    text = f"SHOP {k} SDN BHD\nDATE 2{k % 8}/12/2018\nTOTAL RM {k}.50"
    return text, {"company": f"Shop {k} Sdn. Bhd.", "total": f"{k}.50", "date": f"2{k % 8}/12/2018"}


def receipts(kit: SimpleNamespace, n: int, **changes: object) -> Dataset:
    rows = [("test", text, json.dumps(record)) for text, record in map(receipt, range(n))]
    return kit.dataset(OutputKind.FIELDS, rows, **changes)


def evaluated(kit: SimpleNamespace, specialist: Make, n: int = 60, n_ood: int = 4) -> tuple[Evaluation, object, object]:
    """Ours: item 0 has a wrong total, 1 is degenerate, 2 is cut off, 3 breaks the schema unnoticed. Theirs: every second
    date is made up, item 5 is prose, item 6 timed out."""
    table, other = {}, {}
    for k in range(n):
        text, record = receipt(k)
        table[text] = kit.Written(json.dumps(record))
        other[text] = json.dumps(record | ({"date": "31/12/1999"} if k % 2 else {}))
    texts = [receipt(k)[0] for k in range(n)]
    table[texts[0]] = kit.Written(json.dumps(receipt(0)[1] | {"total": "99.00"}))
    table[texts[1]] = kit.Written('{"company": "SHOP SHOP', "degenerate")
    table[texts[2]] = kit.Written('{"company": "SHOP', "cut off")
    table[texts[3]] = kit.Written('{"company": "Shop 3"}')
    other[texts[5]], other[texts[6]] = "It is a receipt.", None
    data = receipts(kit, n)
    if n_ood:
        strange = [("ood", f"poem {k}", None) for k in range(n_ood)]
        table |= {text: kit.Written("{}", None, 0.1, 1.0) for _, text, _ in strange}
        rows = [("test", text, output) for text, output in data.examples.select("input", "output").iter_rows()]
        data = kit.dataset(OutputKind.FIELDS, [*rows, *strange])
    writer, general = kit.Writer(table), kit.Scripted(other)
    found = evaluate([specialist(OutputKind.FIELDS, writer)], general, data, SETTINGS, seed=1)
    return found, writer, general


def test_records_are_judged_whole_and_by_field(kit: SimpleNamespace, specialist: Make) -> None:
    found, _, _ = evaluated(kit, specialist)
    ours, theirs = found.candidates
    assert found.kind is OutputKind.FIELDS
    assert ours.accuracy.value == pytest.approx(56 / 60)
    assert ours.records is not None
    assert theirs.records is not None
    assert ours.records.whole_record.value == ours.accuracy.value
    assert ours.macro_f1 == ours.records.macro_f1
    assert [field.name for field in ours.records.fields] == ["company", "total", "date"]
    company, total, date = ours.records.fields
    # Three answers were no record: 57 of 60 company names, and of 57 totals one is wrong.
    assert (company.n, company.n_present) == (60, 60)
    assert company.recall.value == pytest.approx(57 / 60)
    assert company.precision.value == 1.0
    assert total.precision.value == pytest.approx(56 / 57)
    assert total.f1.value == pytest.approx(2 * 56 / (57 + 60))
    assert date.exact.value == pytest.approx(57 / 60)
    # 57 + 56 + 57 values right of 171 given and 180 wanted.
    assert ours.records.micro_f1.value == pytest.approx(2 * 170 / (171 + 180))
    # "99.00" is nowhere in its receipt; the truth's own values all are.
    assert ours.records.ungrounded.value == pytest.approx(1 / 171)
    # 58 answers were records; 29 odd ones but item 5 made up a date.
    assert theirs.records.ungrounded.value == pytest.approx(29 / (3 * 58))
    assert ours.accuracy.n == 30  # groups


def test_an_evaluation_of_before_0_5_has_no_rate_of_answers_that_never_stopped(
    kit: SimpleNamespace, specialist: Make, tmp_path: Path
) -> None:
    found, _, _ = evaluated(kit, specialist)
    write_payload(found, tmp_path)
    stored = json.loads((tmp_path / PAYLOAD).read_text())
    for candidate in stored["candidates"]:
        del candidate["writing"]["never_stopped"]
    (tmp_path / PAYLOAD).write_text(json.dumps(stored))
    back = read_payload("evaluation", tmp_path)
    assert isinstance(back, Evaluation)
    writing = back.candidates[0].writing
    assert writing is not None
    assert not writing.never_stopped.scored
    assert writing.cut_off.value == pytest.approx(1 / 60)


def test_failures_are_counted_and_listed_never_dropped(kit: SimpleNamespace, specialist: Make) -> None:
    found, _, _ = evaluated(kit, specialist)
    ours, theirs = found.candidates
    assert ours.failures == (("cut off", 1), ("degenerate", 1), ("invalid", 1))
    assert theirs.failures == (("invalid", 1), ("timeout", 1))
    assert ours.writing is not None
    assert theirs.writing is not None
    assert (ours.writing.n, ours.writing.valid.value) == (60, pytest.approx(57 / 60))
    assert ours.writing.degenerate.value == ours.writing.cut_off.value == pytest.approx(1 / 60)
    # Both never stopped, in two of the 30 groups or one: Clopper and Pearson's bounds for a share of 1/30.
    stuck = ours.writing.never_stopped
    assert (stuck.value, stuck.n) == (pytest.approx(2 / 60), ours.writing.degenerate.n)
    assert stuck.low < stuck.value < stuck.high
    assert stuck.high > ours.writing.cut_off.high
    assert theirs.writing.never_stopped.value == 0.0
    assert (ours.writing.too_long.value, ours.writing.too_long.low) == (0.0, 0.0)
    # None of 30 groups: Clopper and Pearson's bound.
    assert ours.writing.too_long.high == pytest.approx(1 - 0.025 ** (1 / 30))
    # A call that timed out says nothing about writing.
    assert theirs.writing.n == 59
    rows = found.answers.filter(pl.col("candidate") == "writer", pl.col("split") == "test")
    assert found.answers.schema == ANSWER_SCHEMA
    broken = rows.filter(pl.col("failure").is_not_null()).sort("id")
    assert broken["answer"].to_list() == ['{"company": "SHOP SHOP', '{"company": "SHOP', '{"company": "Shop 3"}']
    assert broken["correct"].to_list() == [False] * 3
    assert any("writer failed on 3 of 60 items" in note for note in found.notes)
    assert found.n_passing_failures == 1


def test_the_verdict_is_paired_and_says_what_right_means(kit: SimpleNamespace, specialist: Make) -> None:
    found, _, general = evaluated(kit, specialist)
    (comparison,) = found.comparisons
    # Theirs: the odd ones are wrong, and item 6. Ours: 0 to 3. Both wrong on 1 and 3.
    assert (comparison.n_only_specialist_right, comparison.n_only_generalist_right) == (29, 2)
    assert comparison.verdict is Verdict.SUPERIOR
    assert found.champion == "writer"
    ((name, difference),) = comparison.secondary
    ours, theirs = found.candidates
    assert name == "micro F1"
    assert difference.value == pytest.approx(ours.records.micro_f1.value - theirs.records.micro_f1.value)
    assert difference.low < difference.value < difference.high
    assert "difference in whole records right" in found.summary
    assert "micro F1 +" in found.summary
    (question, *_) = general.asked
    assert (question.kind, question.output_schema, question.labels) == (OutputKind.FIELDS, kit.SCHEMA, ())
    assert found.unseen_labels == ()
    assert ours.confusions == ()


def test_independent_items_take_the_exact_mcnemar_test(kit: SimpleNamespace, specialist: Make) -> None:
    data = receipts(kit, 60)
    data = kit.dataset(
        OutputKind.FIELDS, [("test", t, o) for t, o in data.examples.select("input", "output").iter_rows()]
    )
    alone = data.examples.with_columns(group=pl.col("id"))
    data = type(data)(**{**vars(data), "examples": alone})
    table = {receipt(k)[0]: kit.Written(json.dumps(receipt(k)[1] if k > 3 else {})) for k in range(60)}
    other = {receipt(k)[0]: json.dumps(receipt(k)[1] if k > 14 or k < 2 else {}) for k in range(60)}
    found = evaluate([specialist(OutputKind.FIELDS, kit.Writer(table))], kit.Scripted(other), data, SETTINGS)
    (comparison,) = found.comparisons
    assert (comparison.n_only_specialist_right, comparison.n_only_generalist_right) == (11, 2)
    assert comparison.p_mcnemar == pytest.approx(stats.binomtest(11, 13).pvalue)


def test_written_answers_are_asked_in_small_batches_and_timed_under_their_own_condition(
    kit: SimpleNamespace, specialist: Make
) -> None:
    found, writer, _ = evaluated(kit, specialist)
    ours = found.candidates[0]
    assert writer.batches[:4] == [16, 16, 16, 16]
    assert writer.closed == [True]
    assert ours.latency.condition == "in the test, three cores"
    assert (ours.input_tokens_mean, ours.output_tokens_mean) == (300, 40)
    # Three cores at 36 USD an hour each, that is a cent a core-second.
    mean_s = float(found.answers.filter(pl.col("candidate") == "writer")["latency_s"].mean())
    assert ours.cost_usd_per_1000 == pytest.approx(1000 * 3 * 0.01 * mean_s)
    assert ours.ood is not None
    assert (ours.ood.n_in, ours.ood.n_out, ours.ood.auroc.value) == (60, 4, 1.0)


def test_timing_stops_when_its_time_is_up(kit: SimpleNamespace, specialist: Make) -> None:
    readings = iter(range(10_000))
    data = receipts(kit, 60)
    table = {receipt(k)[0]: kit.Written(json.dumps(receipt(k)[1])) for k in range(60)}
    settings = EvaluateSettings(n_latency=60, latency_budget_s=40, n_resamples=200)
    one = specialist(OutputKind.FIELDS, kit.Writer(table))
    found = evaluate([one], None, data, settings, clock=lambda: float(next(readings)))
    # A second a reading: from the tenth answer on the clock is read three times an answer.
    assert 10 <= found.candidates[0].latency.n < 30
    assert found.candidates[0].latency.p50_s == 1.0


def test_the_truths_own_slips_are_told(kit: SimpleNamespace, specialist: Make) -> None:
    rows = [
        ("test", receipt(k)[0], json.dumps(receipt(k)[1] | ({"company": "OTHER"} if k < 6 else {}))) for k in range(40)
    ]
    table = {receipt(k)[0]: kit.Written(json.dumps(receipt(k)[1])) for k in range(40)}
    one = specialist(OutputKind.FIELDS, kit.Writer(table))
    found = evaluate([one], None, kit.dataset(OutputKind.FIELDS, rows), SETTINGS)
    assert any(note.startswith("5.0% of the values in the expected records do not occur") for note in found.notes)
    assert "Whole records right on 40 test items" in found.summary


def test_texts_are_judged_by_rouge_l(kit: SimpleNamespace, specialist: Make) -> None:
    rows = [("test", f"dialogue {k}", f"the patient has a cough for {k} days") for k in range(40)]
    table = {text: kit.Written(output) for _, text, output in rows}
    table["dialogue 0"] = kit.Written("", "too long")
    table["dialogue 1"] = kit.Written("no words in common")
    table["dialogue 2"] = kit.Written("  ")
    other = {text: "the patient has a cold" for _, text, _ in rows}
    one = specialist(OutputKind.TEXT, kit.Writer(table))
    found = evaluate([one], kit.Scripted(other), kit.dataset(OutputKind.TEXT, rows), SETTINGS)
    ours, theirs = found.candidates
    assert ours.texts is not None
    assert theirs.texts is not None
    assert ours.accuracy.value == pytest.approx(37 / 40)
    assert ours.failures == (("empty", 1), ("too long", 1))
    assert ours.texts.rouge_l.value == pytest.approx(37 / 40)
    assert ours.macro_f1 == ours.texts.token_f1
    # Four words of five and eight in common.
    assert theirs.texts.rouge_l.value == pytest.approx(8 / 13)
    assert ours.writing is not None
    assert math.isnan(ours.writing.valid.value)
    assert ours.writing.too_long.value == pytest.approx(1 / 40)
    ((name, difference),) = found.comparisons[0].secondary
    assert (name, difference.value) == ("ROUGE-L", pytest.approx(37 / 40 - 8 / 13))


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="schema"):
        reader_of(OutputKind.FIELDS, (), {"type": "object", "properties": {"a": {"type": "no such"}}})


def test_answers_are_read_by_their_kind() -> None:
    record = reader_of(OutputKind.FIELDS, (), {"properties": {"b": {}, "a": {"type": "string"}}})
    assert record('```json\n{"a": "x", "b": 1}\n```') == ('{"b": 1, "a": "x"}', None)
    assert record('{"a": 5}') == (None, "invalid")
    assert record("[]") == (None, "invalid")
    assert reader_of(OutputKind.TEXT)(" hello\n") == ("hello", None)
    assert reader_of(OutputKind.TEXT)(" \n") == (None, "empty")
    assert reader_of(OutputKind.LABEL, ("refund", "billing"))("Label: refund") == ("refund", None)
    assert reader_of(OutputKind.LABEL, ("refund", "billing"))("dunno") == (None, "not a label")
