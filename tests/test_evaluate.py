"""evaluate: both sides on the same items, verdicts that claim no more than the labels allow."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.estimates import not_scored
from metier.artefacts.evaluations import ANSWER_SCHEMA, Verdict
from metier.artefacts.specialists import Card, Specialist, ViewUse
from metier.artefacts.tasks import OutputKind, Task, Template, TemplateMessage
from metier.errors import BadInput, NotEnoughData
from metier.evaluate import EvaluateSettings, evaluate
from metier.evaluation.comparing import PROMOTED, Rules, compare_with_generalist, compare_with_teacher
from metier.generalists import GeneralistAnswer, GeneralistSettings, Question, make_generalist
from metier.generalists.replay import Replay
from metier.progress import silent
from metier.students import STUDENTS, Answers, LabelledTexts

LABELS = ("billing", "delivery", "refund")


@dataclass(frozen=True)
class TablePredictor:
    """A student in exported form that looks its answers up: input -> [label, score, ood score]."""

    classes_: tuple[str, ...]
    table: dict[str, tuple[str, float, float]]

    def predict(self, inputs: Sequence[str]):
        rows = [self.table[text] for text in inputs]
        return Answers(
            np.array([row[0] for row in rows], dtype=object),
            np.array([row[1] for row in rows], dtype=np.float64),
            np.array([row[2] for row in rows], dtype=np.float64),
            np.zeros((len(rows), 0), dtype=np.float32),
        )


@dataclass(frozen=True)
class TableStudent:
    name: str = "table"

    def load(self, folder: Path, threads: int = 1) -> TablePredictor:
        table = json.loads((folder / "table.json").read_text())
        return TablePredictor(LABELS, {text: tuple(row) for text, row in table.items()})


@dataclass
class Clock:
    """Each reading is `step` seconds after the last."""

    step: float
    now: float = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@dataclass(frozen=True)
class Scripted:
    """A generalist that answers from a dictionary and remembers what it was asked."""

    texts: dict[str, str | None]
    model: str = "scripted"
    name: str = "scripted"
    condition: str = "in the test"
    caveat: str = ""
    asked: list[Question] = field(default_factory=list)

    def answer(self, questions, *, progress=silent):
        self.asked.extend(questions)
        return [
            GeneralistAnswer(
                q.id, self.texts[q.id], None if self.texts[q.id] is not None else "timeout", 100, 5, 0.5, 0.002
            )
            for q in questions
        ]


def example(place: int, split: str = "test", **changes) -> dict:
    row = {
        "id": f"{split}{place}",
        "input": f"{split} text {place}",
        "output": LABELS[place % 3] if split != "ood" else None,
        "recorded": None,
        "provenance": "human",
        "group": f"{split}{place}",
        "time": None,
        "input_tokens": None,
        "output_tokens": None,
        "latency_s": None,
        "cost_usd": None,
        "split": split,
    }
    return row | changes


def dataset(rows: list[dict], classes: tuple[str, ...] = LABELS) -> Dataset:
    return Dataset(
        task_id="t",
        task_name="tickets",
        kind=OutputKind.LABEL,
        classes=classes,
        split_rule="",
        ood_source="",
        contradictions=(),
        warnings=(),
        examples=pl.DataFrame(rows, schema=EXAMPLE_SCHEMA),
        removed=pl.DataFrame(schema=REMOVED_SCHEMA),
    )


def many(n: int, n_ood: int = 0, **changes) -> list[dict]:
    return [example(i, **changes) for i in range(n)] + [example(i, "ood") for i in range(n_ood)]


def next_label(label: str) -> str:
    return LABELS[(LABELS.index(label) + 1) % 3]


def wrong_where(rows: list[dict], wrong: Sequence[int]) -> dict[str, str]:
    """Answers by id that are right but at the test items `wrong`."""
    test = [row for row in rows if row["split"] == "test"]
    return {
        row["id"]: next_label(row["output"]) if place in set(wrong) else row["output"] for place, row in enumerate(test)
    }


@pytest.fixture
def specialist(tmp_path, monkeypatch):
    """Makes specialists that are wrong at given test items, registered as students by their names."""

    def make(
        rows: list[dict], wrong: Sequence[int] = (), name: str = "table", scores=None, ood_scores=None
    ) -> Specialist:
        monkeypatch.setitem(STUDENTS, name, TableStudent(name))
        folder = tmp_path / name
        folder.mkdir()
        answers = wrong_where(rows, wrong)
        table = {
            row["input"]: (
                answers.get(row["id"], LABELS[0]),
                scores[place] if scores is not None else 0.9,
                ood_scores[place] if ood_scores is not None else (1.0 if row["split"] == "ood" else 0.0),
            )
            for place, row in enumerate(rows)
        }
        (folder / "table.json").write_text(json.dumps(table))
        card = Card(name, "t", "tickets", LABELS, "", "", 1, 1, "", "", 1, 1.0, not_scored(), {})
        return Specialist(card, None, folder)

    return make


SETTINGS = EvaluateSettings(n_latency=20)


def test_both_sides_are_scored_on_the_same_items(specialist):
    rows = many(300)
    one = specialist(rows, wrong=range(30))
    texts = wrong_where(rows, range(20, 80))
    found = evaluate([one], Scripted(texts), dataset(rows), SETTINGS, seed=1)

    ours, theirs = found.candidates
    assert (ours.name, ours.role, ours.n, ours.accuracy.value) == ("table", "specialist", 300, 0.9)
    assert (theirs.name, theirs.role, theirs.n, theirs.accuracy.value) == ("scripted", "generalist", 300, 0.8)
    # Wilson's interval for 270 of 300 (scipy's own implementation).
    bounds = stats.binomtest(270, 300).proportion_ci(method="wilson")
    assert (ours.accuracy.low, ours.accuracy.high) == pytest.approx((bounds.low, bounds.high), abs=1e-9)
    truth = [row["output"] for row in rows]
    given = list(wrong_where(rows, range(30)).values())
    assert ours.macro_f1.value == pytest.approx(f1_score(truth, given, average="macro"))
    assert ours.macro_f1.low < ours.macro_f1.value < ours.macro_f1.high

    (comparison,) = found.comparisons
    assert (comparison.n_only_specialist_right, comparison.n_only_generalist_right) == (50, 20)
    assert comparison.difference.value == pytest.approx(0.1)
    # The exact McNemar test is a binomial test on the discordant items.
    assert comparison.p_mcnemar == pytest.approx(stats.binomtest(50, 70).pvalue)
    assert comparison.verdict is Verdict.SUPERIOR
    assert (found.basis, found.truth, found.n_judged, found.champion) == ("truth", "human", 300, "table")
    assert found.answers.schema == ANSWER_SCHEMA
    assert found.answers.height == 600


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (range(0), range(90, 130), Verdict.SUPERIOR),
        (range(30), range(5, 33), Verdict.NON_INFERIOR),
        (range(150), range(20), Verdict.INFERIOR),
        (range(80), range(40, 112), Verdict.NOT_PROVEN),
    ],
)
def test_every_verdict_can_be_reached(specialist, ours, theirs, verdict):
    rows = many(900)
    found = evaluate([specialist(rows, wrong=ours)], Scripted(wrong_where(rows, theirs)), dataset(rows), SETTINGS)
    (comparison,) = found.comparisons
    assert comparison.verdict is verdict
    assert comparison.wording == verdict.value
    assert (comparison.items_to_settle is not None) == (verdict is Verdict.NOT_PROVEN)
    assert (found.champion == "table") == (verdict in (Verdict.SUPERIOR, Verdict.NON_INFERIOR))
    assert verdict.value in found.summary


def test_holm_covers_all_candidates(specialist):
    rows = many(900)
    candidates = [specialist(rows, wrong=range(20), name=f"s{i}") for i in range(4)]
    alone = evaluate(candidates[:1], Scripted(wrong_where(rows, range(15, 35))), dataset(rows), SETTINGS)
    together = evaluate(candidates, Scripted(wrong_where(rows, range(15, 35))), dataset(rows), SETTINGS)
    raw = alone.comparisons[0].p_non_inferior
    assert alone.comparisons[0].p_non_inferior_holm == pytest.approx(raw)
    assert [one.p_non_inferior for one in together.comparisons] == pytest.approx([raw] * 4)
    assert [one.p_non_inferior_holm for one in together.comparisons] == pytest.approx([4 * raw] * 4)


def test_intervals_respect_groups(specialist):
    """900 items in 90 groups whose items are right or wrong together are worth 90 items."""
    rows = [example(i, group=f"g{i // 10}") for i in range(900)]
    one = specialist(rows, wrong=range(90))
    found = evaluate([one], Scripted(wrong_where(rows, range(80, 170))), dataset(rows), SETTINGS)
    independent = evaluate([replace(one)], Scripted(wrong_where(rows, range(80, 170))), dataset(many(900)), SETTINGS)
    width = lambda score: score.high - score.low  # noqa: E731 - said twice
    grouped, plain = found.candidates[0].accuracy, independent.candidates[0].accuracy
    assert (grouped.n, plain.n) == (90, 900)
    assert width(grouped) == pytest.approx(width(plain) * math.sqrt(10), rel=0.1)
    assert found.comparisons[0].p_non_inferior > independent.comparisons[0].p_non_inferior
    assert found.comparisons[0].difference.n == 90


def test_without_a_generalist_there_is_a_score_and_no_verdict(specialist):
    rows = many(600)
    cheap, good = specialist(rows, wrong=range(8), name="cheap"), specialist(rows, wrong=range(6), name="good")
    found = evaluate([cheap, good], None, dataset(rows), SETTINGS, clock=Clock(0.001))
    assert found.comparisons == ()
    assert [candidate.role for candidate in found.candidates] == ["specialist", "specialist"]
    assert "no verdict" in found.summary
    assert "cheap 98.7%" in found.summary


def test_without_a_generalist_the_champion_is_the_cheapest_that_is_as_good_as_the_best(specialist):
    rows = many(600)
    fast = specialist(rows, wrong=range(8), name="fast")
    slow = specialist(rows, wrong=range(6), name="slow")
    bad = specialist(rows, wrong=range(90), name="bad")
    settings = EvaluateSettings(n_latency=10, core_usd_per_hour=36.0)

    def champion(steps: dict[str, float], among: list[Specialist]):
        clock = Clock(0.0)

        def progress(description: str, done: int, total: int | None) -> None:
            if description.startswith("Timing ") and done == 0:
                clock.step = steps[description.removeprefix("Timing ")]

        return evaluate(among, None, dataset(rows), settings, clock=clock, progress=progress)

    found = champion({"fast": 0.001, "slow": 0.002, "bad": 0.0005}, [slow, fast, bad])
    assert found.champion == "fast"
    # 1 ms an answer at 36 USD an hour is 0.01 USD per 1,000.
    assert found.candidates[1].cost_usd_per_1000 == pytest.approx(0.01)
    assert champion({"fast": 0.002, "slow": 0.001, "bad": 0.0005}, [slow, fast, bad]).champion == "slow"


def test_the_only_specialist_is_champion_and_not_said_to_be_good(specialist):
    rows = many(600)
    found = evaluate([specialist(rows, wrong=range(500), name="poor")], None, dataset(rows), SETTINGS)
    assert found.champion == "poor"
    assert "the only specialist there is; nothing here says that it is good enough" in found.summary


def test_labels_of_the_teacher_show_agreement_only(specialist):
    rows = [example(i, provenance="teacher", recorded=LABELS[i % 3]) for i in range(900)]
    one = specialist(rows, wrong=range(9))
    found = evaluate([one], make_generalist(GeneralistSettings(), dataset(rows)), dataset(rows), SETTINGS)
    (comparison,) = found.comparisons
    assert (found.basis, found.truth, comparison.basis) == ("teacher", "teacher", "teacher")
    assert comparison.generalist == "the teacher (recorded answers)"
    assert comparison.wording == "agreement with the teacher within the margin"
    assert comparison.difference.value == pytest.approx(-0.01)
    # One-sample: at most 9 disagreements of 900 where the margin of 2% would give 18 (binomial tail 0.0124).
    assert comparison.p_non_inferior == pytest.approx(stats.binom.cdf(9, 900, 0.02), abs=0.01)
    assert math.isnan(comparison.p_mcnemar)
    generalist = found.candidates[1]
    assert not generalist.accuracy.scored
    assert not generalist.macro_f1.scored
    assert generalist.confusions == ()
    assert "superior" not in found.summary.replace("non-inferior", "")
    assert "not proven non-inferior" not in found.summary
    assert any("agreement with the teacher, not accuracy" in note for note in found.notes)
    rows_of_generalist = found.answers.filter(pl.col("candidate") == generalist.name)
    assert rows_of_generalist["correct"].null_count() == 900


@pytest.mark.parametrize(
    ("n_wrong", "wording"),
    [
        (60, "disagrees with the teacher by more than the margin"),
        (18, "agreement with the teacher not proven"),
    ],
)
def test_agreement_can_fail(specialist, n_wrong, wording):
    rows = [example(i, provenance="teacher") for i in range(900)]
    found = evaluate([specialist(rows, wrong=range(n_wrong))], None, dataset(rows), SETTINGS)
    assert found.comparisons[0].wording == wording
    assert wording in found.summary
    assert found.champion is None


def test_enough_truth_is_preferred_to_the_teacher(specialist):
    """300 items judged by people, 600 by the teacher: only the 300 count, for both sides."""
    rows = [example(i, provenance="human" if i < 200 else "feedback" if i < 300 else "teacher") for i in range(900)]
    one = specialist(rows, wrong=range(290, 900))
    texts = wrong_where(rows, [*range(30), *range(300, 900)])
    found = evaluate([one], Scripted(texts), dataset(rows), SETTINGS)
    assert (found.basis, found.n_judged, found.n_test) == ("truth", 300, 900)
    assert found.candidates[0].accuracy.value == pytest.approx(290 / 300)
    assert found.candidates[1].accuracy.value == pytest.approx(270 / 300)
    assert found.comparisons[0].n == 300
    assert (
        found.truth
        == "teacher 67% (600 items), human 22% (200 items), feedback 11% (100 items); judged on the 300 with a truth"
    )
    assert any("600 of 900" in note for note in found.notes)
    judged = found.answers.filter(pl.col("correct").is_not_null())
    assert judged.height == 600


def test_too_little_truth_falls_back_on_agreement(specialist):
    rows = [example(i, provenance="human" if i < 50 else "teacher") for i in range(900)]
    found = evaluate([specialist(rows)], None, dataset(rows), SETTINGS)
    assert (found.basis, found.n_judged) == ("teacher", 900)
    assert any("Only 50 test items have a truth" in note for note in found.notes)
    settings = EvaluateSettings(n_latency=5, min_truth_items=50)
    assert evaluate([specialist(rows, name="b")], None, dataset(rows), settings).basis == "truth"


def test_failures_count_as_wrong_and_are_told_by_kind(specialist):
    rows = many(300)
    texts: dict[str, str | None] = wrong_where(rows, ())
    texts |= {f"test{i}": None for i in range(10)} | {f"test{i}": "no idea" for i in range(10, 14)}
    found = evaluate([specialist(rows)], Scripted(texts), dataset(rows), SETTINGS)
    generalist = found.candidates[1]
    assert (generalist.n, generalist.n_failed, generalist.n_not_asked) == (300, 14, 0)
    assert generalist.failures == (("timeout", 10), ("not a label", 4))
    assert found.n_passing_failures == 10
    assert generalist.accuracy.value == pytest.approx(286 / 300)
    assert generalist.confusions == ()
    assert found.comparisons[0].n_only_specialist_right == 14
    assert any("scripted failed on 14 of 300" in note for note in found.notes)


def test_items_never_asked_are_in_no_score(specialist):
    rows = [example(i, recorded=LABELS[i % 3] if i % 2 else None) for i in range(600)]
    found = evaluate([specialist(rows, wrong=range(0, 60, 2))], Replay(model="m"), dataset(rows), SETTINGS)
    generalist, (comparison,) = found.candidates[1], found.comparisons
    assert (generalist.n, generalist.n_not_asked, generalist.accuracy.value) == (300, 300, 1.0)
    # The specialist errs on even items only, which the generalist was never asked.
    assert (comparison.n, comparison.difference.value) == (300, 0.0)
    assert comparison.note == "on the 300 of 600 items that both were asked"
    assert found.candidates[0].n == 600
    assert any("was not asked about 300 of 600" in note for note in found.notes)


def test_a_generalist_that_was_asked_nothing_gives_no_verdict(specialist):
    rows = many(300)
    found = evaluate([specialist(rows)], Replay(model="m"), dataset(rows), SETTINGS)
    assert found.comparisons == ()
    assert not found.candidates[1].accuracy.scored
    assert "no verdict" in found.summary
    assert found.champion == "table"


def test_labels_never_seen_in_training_are_wrong_and_reported(specialist):
    rows = many(300)
    for row in rows[:12]:
        row["output"] = "brand new"
    one = specialist(many(300))
    texts = {row["id"]: row["output"] for row in rows}
    found = evaluate([one], Scripted(texts), dataset(rows), SETTINGS)
    assert found.unseen_labels == (("brand new", 12),)
    assert found.candidates[0].accuracy.value == pytest.approx(288 / 300)
    assert found.candidates[1].accuracy.value == 1.0
    assert any("12 test items have labels that never occur in training" in note for note in found.notes)


def test_labels_never_seen_are_reported_unless_all_specialists_read_the_choices_of_inputs(specialist):
    rows = many(300)
    rows[0]["output"] = "brand new"
    plain, other = specialist(many(300)), specialist(many(300), name="other")
    viewed = replace(other, card=replace(other.card, view=ViewUse("v", 1, "0", classes=("a", "b"))))
    for specialists, wanted in (([plain, viewed], (("brand new", 1),)), ([viewed], ())):
        assert evaluate(specialists, None, dataset(rows), SETTINGS).unseen_labels == wanted


def test_the_generalist_sees_the_tasks_own_prompt_and_labels(specialist):
    rows = many(30)
    template = Template("x", (TemplateMessage("system", ("Sort.",)), TemplateMessage("user", ("", ""))), 9)
    task = Task("t", "tickets", "", (template,), OutputKind.LABEL, ("rare label", *LABELS))
    generalist = Scripted(wrong_where(rows, ()))
    evaluate([specialist(rows)], generalist, dataset(rows), SETTINGS, task=task, seed=3)
    question = generalist.asked[0]
    assert question.template == template
    assert question.labels == ("billing", "delivery", "rare label", "refund")
    # Asked in an order drawn by the seed, so that a budget which ends early leaves a random sample.
    ids = [question.id for question in generalist.asked]
    assert sorted(ids) == sorted(row["id"] for row in rows)
    assert ids != [row["id"] for row in rows]


def test_out_of_distribution_scores_and_rows(specialist):
    rows = many(300, n_ood=100)
    rng = np.random.default_rng(0)
    ood_scores = [*rng.normal(0, 1, 300), *rng.normal(1.5, 1, 100)]
    found = evaluate([specialist(rows, ood_scores=ood_scores)], None, dataset(rows), SETTINGS)
    ood = found.candidates[0].ood
    assert ood is not None
    assert ood.auroc.value == pytest.approx(roc_auc_score([0] * 300 + [1] * 100, ood_scores))
    threshold = np.sort(ood_scores[:300])[284]
    assert ood.fpr_at_95_tpr.value == pytest.approx((np.array(ood_scores[300:]) <= threshold).mean())
    assert (ood.n_in, ood.n_out, found.n_ood) == (300, 100, 100)
    outside = found.answers.filter(pl.col("split") == "ood")
    assert outside.height == 100
    assert outside["correct"].null_count() == 100
    assert outside["ood_score"].null_count() == 0


def test_latency_is_measured_one_at_a_time_by_the_clock_given(specialist):
    rows = many(300)
    generalist = Scripted(wrong_where(rows, ()))
    found = evaluate([specialist(rows)], generalist, dataset(rows), SETTINGS, clock=Clock(0.002))
    latency = found.candidates[0].latency
    assert (latency.p50_s, latency.p95_s, latency.p99_s) == pytest.approx((0.002,) * 3)
    assert latency.n == 20
    assert "one thread" in latency.condition
    assert (found.candidates[1].latency.p50_s, found.candidates[1].latency.condition) == (0.5, "in the test")
    assert found.candidates[1].cost_usd_per_1000 == pytest.approx(2.0)
    assert (found.candidates[1].input_tokens_mean, found.candidates[1].output_tokens_mean) == (100, 5)
    timed = found.answers.filter(pl.col("candidate") == "table")["latency_s"]
    assert timed.len() - timed.null_count() == 20


def test_calibration_error_of_a_known_gap(specialist):
    """Scores of 0.9 on answers that are right 80 times in 100: an expected calibration error of 0.1."""
    rows = many(300)
    found = evaluate(
        [specialist(rows, wrong=range(0, 300, 5))], Scripted(wrong_where(rows, ())), dataset(rows), SETTINGS
    )
    assert found.candidates[0].expected_calibration_error == pytest.approx(0.1)
    assert math.isnan(found.candidates[1].expected_calibration_error)


@pytest.mark.parametrize("n_wrong", [0, 300])
def test_flawless_answers_do_not_make_a_certain_macro_f1(specialist, n_wrong):
    rows = many(300)
    score = evaluate([specialist(rows, wrong=range(n_wrong))], None, dataset(rows), SETTINGS).candidates[0]
    assert score.macro_f1.value == score.accuracy.value == float(n_wrong == 0)
    assert (score.macro_f1.low, score.macro_f1.high) == (score.accuracy.low, score.accuracy.high)
    assert score.macro_f1.low < score.macro_f1.high


def test_confusions_are_most_frequent_first(specialist):
    rows = many(300)
    wrong = [*range(0, 60, 3), *range(1, 31, 3)]
    found = evaluate([specialist(rows, wrong=wrong)], None, dataset(rows), SETTINGS)
    first, second = found.candidates[0].confusions
    assert (first.truth, first.answer, first.n, first.share) == ("billing", "delivery", 20, 0.2)
    assert (second.truth, second.answer, second.n, second.share) == ("delivery", "refund", 10, 0.1)


def test_a_real_student_is_evaluated_in_its_exported_form(tmp_path):
    """The linear student, trained and loaded from its folder, against recorded answers."""
    words = {"billing": "invoice charge amount", "delivery": "parcel courier late", "refund": "money back return"}
    rows = []
    for split, n in (("train", 60), ("tune", 30), ("test", 60)):
        for i in range(n):
            label = LABELS[i % 3]
            text = f"{words[label].split()[i % 3]} {words[label].split()[i // 3 % 3]} please {split} {i}"
            rows.append(example(i, split, input=text, output=label, recorded=label if i % 10 else "no idea"))
    rows += [example(i, "ood", input=f"qxz {i} wvk jjh") for i in range(20)]
    data = dataset(rows)
    train, tune = (
        LabelledTexts(tuple(part["input"]), tuple(part["output"])) for part in (data.split("train"), data.split("tune"))
    )
    STUDENTS["linear"].fit(train, tune, tmp_path, seed=0, progress=silent, options={})
    card = Card("linear", "t", "tickets", LABELS, "", "", 60, 30, "", "", 1, 1.0, not_scored(), {})
    found = evaluate([Specialist(card, None, tmp_path)], Replay(), data, SETTINGS)
    linear, recorded = found.candidates
    assert linear.accuracy.value == 1.0
    assert recorded.accuracy.value == 0.9
    assert recorded.failures == (("not a label", 6),)
    assert linear.ood is not None
    assert linear.ood.auroc.value > 0.9
    assert 0 < linear.latency.p50_s < 0.1
    assert found.champion == "linear"


def test_a_simulated_generalist_is_called_so(specialist):
    rows = many(300)
    generalist = make_generalist(GeneralistSettings(backend="simulated", model="gpt-x"), dataset(rows), seed=1)
    found = evaluate([specialist(rows)], generalist, dataset(rows), SETTINGS)
    assert (found.candidates[1].name, found.candidates[1].model) == ("simulated gpt-x", "gpt-x")
    assert any("simulated" in note and "proves nothing" in note for note in found.notes)
    assert "table against simulated gpt-x: " in found.summary


def test_the_same_seed_gives_the_same_evaluation(specialist):
    rows = many(300, n_ood=50)
    one = specialist(rows, wrong=range(30))
    runs = [
        evaluate([one], Scripted(wrong_where(rows, range(9))), dataset(rows), SETTINGS, seed=5, clock=Clock(0.001))
        for _ in range(2)
    ]
    assert repr(runs[0].candidates) == repr(runs[1].candidates)
    assert runs[0].answers.equals(runs[1].answers)


@pytest.mark.parametrize("n", [1, 2])
def test_a_handful_of_items_is_enough_to_run(specialist, n):
    rows = many(n, n_ood=1)
    found = evaluate([specialist(rows)], Scripted(wrong_where(rows, ())), dataset(rows), SETTINGS)
    assert found.comparisons[0].verdict is Verdict.NOT_PROVEN
    assert found.candidates[0].accuracy.value == 1.0


def test_no_test_items_and_names_given_twice_are_refused(specialist):
    rows = [example(i, "train") for i in range(9)]
    one = specialist(many(3))
    with pytest.raises(NotEnoughData, match="'tickets' has no test item"):
        evaluate([one], None, dataset(rows), SETTINGS)
    with pytest.raises(BadInput, match="share a name"):
        evaluate([one, one], None, dataset(many(3)), SETTINGS)


def test_a_missing_group_counts_as_a_group_of_its_own(specialist):
    rows = [example(i, group=None) for i in range(60)]
    assert evaluate([specialist(rows)], None, dataset(rows), SETTINGS).candidates[0].accuracy.n == 60


@pytest.fixture
def frozen_heap():
    """statsmodels collects garbage on every call, which is slow when the test runner's whole heap is looked through."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("basis", ["truth", "teacher"])
def test_no_more_than_alpha_of_bad_specialists_are_promoted(basis, frozen_heap):
    """Two specialists exactly one margin worse: any of them is promoted in at most 5% of the draws."""
    n, n_draws, rng = 250, 150, np.random.default_rng(7)
    rules = Rules(margin=0.05, alpha=0.05, power=0.8, level=0.95)
    groups = [str(i) for i in range(n)]
    promoted = 0
    for _ in range(n_draws):
        theirs = rng.random(n) >= (0.10 if basis == "truth" else 0.0)
        # P(ours wrong) = 0.5 * P(theirs wrong) + 0.5 * x is one margin above P(theirs wrong): x = 0.20, or 0.10.
        other = 0.20 if basis == "truth" else 0.10
        ours = {name: np.where(rng.random(n) < 0.5, theirs, rng.random(n) >= other) for name in ("a", "b")}
        if basis == "truth":
            comparisons = compare_with_generalist(ours, "g", theirs, groups, rules)
        else:
            comparisons = compare_with_teacher(ours, groups, rules)
        promoted += any(one.verdict in PROMOTED for one in comparisons)
    # 7.5 expected at most; a count above this quantile has a chance below 0.1%.
    assert promoted <= stats.binom.ppf(0.999, n_draws, 0.05)
    assert promoted > 0
