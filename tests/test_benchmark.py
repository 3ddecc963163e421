"""benchmark: scores by hand on a small exam, failures and missing boxes counted as wrong, windows as clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pytest

from metier.artefacts.benchmarks import BENCHMARK_ANSWER_SCHEMA
from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.policies import Certificate, Policy
from metier.artefacts.tasks import OutputKind
from metier.benchmark import BenchmarkSettings, benchmark
from metier.errors import BadArtefact, BadInput, NotEnoughData, Unreadable
from metier.evaluation.telelogs.answering import Entrant
from metier.labs.telecom.text import OPTIONS, question
from metier.pages.console import benchmark_tables
from metier.sources.exams import Exam, ExamQuestion, SetAside
from metier.students import Answers
from metier.students.base import Predictor

CELLS = ["0033164|1|128.194|32.583|80|6|255|0|DEFAULT|25.0|113|32T32R|34.9|NR AAU 1"]
PUBLISHED = list(OPTIONS.items())
RENAMED = [(f"Z{place}", text) for place, text in enumerate(reversed(OPTIONS.values()), 1)]
SETTINGS = BenchmarkSettings(n_resamples=200, n_latency=5)


def drive(number: int) -> list[str]:
    rng = np.random.default_rng(number)
    values = rng.uniform(1, 100, size=(10, 5)).round(2)
    return [
        f"2025-05-07 15:11:{place:02}|128.1|32.5|{a}|113|-{b}|{c}|{d}{'|-' * 10}|{e}"
        for place, (a, b, c, d, e) in enumerate(values.tolist())
    ]


def ask(number: int, window: int, truth: str, *, renamed: bool = False) -> ExamQuestion:
    text = question(RENAMED if renamed else PUBLISHED, drive(window), CELLS)
    return ExamQuestion(str(number), f"{text}\n\nQuestion {number}", (truth,), f"file line {number}")


@dataclass
class Script:
    """Answers what it is told to, by the text of the question: (answer, score), a failure, or an exception."""

    lines: dict[str, str | Exception | None]
    scores: dict[str, float] = field(default_factory=dict)
    classes_: tuple[str, ...] = tuple(OPTIONS)

    def predict(self, inputs: Sequence[str]) -> Answers:
        said = [self.lines[text] for text in inputs]
        for one in said:
            if isinstance(one, Exception):
                raise one
        return Answers(
            np.array(["" if one is None else one for one in said], dtype=object),
            np.array([self.scores.get(text, 1.0) for text in inputs]),
            np.zeros(len(inputs)),
            np.zeros((len(inputs), 0), dtype=np.float32),
            tuple("unreadable" if one is None else None for one in said),
        )


@dataclass
class Drawing(Script):
    """Draws: the served answer first, then by seed what its rows say."""

    drawn: tuple[dict[str, str], ...] = ()

    def sample(self, inputs: Sequence[str], seed: int) -> Answers:
        return Script(dict(self.drawn[seed - 1])).predict(inputs)


def entrant(predictor: Predictor, **more: object) -> Entrant:
    return Entrant("scripted", "s1", lambda: nullcontext(predictor), **more)  # type: ignore[arg-type]


def run(exam: Exam, *entrants: Entrant, settings: BenchmarkSettings = SETTINGS):  # type: ignore[no-untyped-def]
    ticks = iter(range(1_000_000))
    return benchmark(
        entrants, exam, settings, task_name="t", file="f.json", sha256="0", clock=lambda: next(ticks) / 100
    )


QUESTIONS = (
    ask(1, 1, "C1"),
    ask(2, 2, "C2"),
    ask(3, 3, "C3"),
    ask(4, 3, "3"),
    ask(5, 5, "C5"),
    ask(6, 1, "Z8", renamed=True),
    ask(7, 2, "Z7", renamed=True),
)
GIVEN = ("C1", "C2", "C3", "C3", "C4", "Z8", "Z1")
EXAM = Exam(QUESTIONS, (SetAside("file line 9", "no answer"),), 8)


def script(given: Sequence[str | Exception | None] = GIVEN) -> Script:
    return Script({one.text: said for one, said in zip(QUESTIONS, given, strict=True)})


def test_scores_by_hand() -> None:
    made = run(EXAM, entrant(script()))
    assert (made.n, made.n_records, made.n_clusters) == (7, 8, 4)
    assert made.forms == (("standard", 5), ("randomised", 2))
    assert [(item.reason, item.n) for item in made.set_aside] == [("no answer", 1)]
    one = made.contestants[0]
    whole, standard, randomised = one.forms
    assert [score.form for score in one.forms] == ["all", "standard", "randomised"]
    assert whole.pass_at_1.value == pytest.approx(5 / 7)
    assert whole.exact.value == pytest.approx(4 / 7)  # the truth "3" is "C3" only by its integer
    assert whole.majority == whole.pass_at_1
    assert (standard.pass_at_1.value, standard.n, standard.n_clusters) == (0.8, 5, 4)
    assert (randomised.pass_at_1.value, randomised.n, randomised.n_clusters) == (0.5, 2, 2)
    assert whole.pass_at_1.n == 4
    assert whole.pass_at_1.low < 5 / 7 < whole.pass_at_1.high
    assert "cluster bootstrap" in whole.pass_at_1.method


def test_causes_are_told_through_renamed_options() -> None:
    whole = run(EXAM, entrant(script())).contestants[0].forms[0]
    causes = {one.cause: one for one in whole.causes}
    # Z8 means C1 and Z7 means C2; Z1 means C8.
    assert {name: (one.n, one.recall.value) for name, one in causes.items()} == {
        "C1": (2, 1.0),
        "C2": (2, 0.5),
        "C3": (2, 1.0),
        "C5": (1, 0.0),
    }
    assert (causes["C1"].n_answered, causes["C1"].precision) == (2, 1.0)
    assert math.isnan(causes["C5"].precision)
    assert {(one.truth, one.answer): one.n for one in whole.confusions} == {
        ("C1", "C1"): 2,
        ("C2", "C2"): 1,
        ("C2", "C8"): 1,
        ("C3", "C3"): 2,
        ("C5", "C4"): 1,
    }


def test_failures_count_as_wrong_with_their_reasons() -> None:
    refused = Unreadable("the drive test has no row")
    made = run(EXAM, entrant(script(("C1", refused, None, "C3", "C5", "Z8", "Z7")), explain=lambda _: "no header"))
    one = made.contestants[0]
    assert dict(one.failures) == {"unreadable: the drive test has no row": 1, "unreadable: no header": 1}
    assert (one.forms[0].n_failed, one.forms[0].n_unboxed) == (2, 0)
    assert one.forms[0].pass_at_1.value == pytest.approx(5 / 7)
    assert made.answers["failure"].drop_nulls().to_list() == [
        "unreadable: the drive test has no row",
        "unreadable: no header",
    ]
    assert any("count as wrong" in note for note in made.notes)


def test_a_specialist_that_breaks_on_an_input_is_wrong_on_it_and_one_that_breaks_on_all_ends_the_run() -> None:
    broken = ZeroDivisionError("of the view")
    made = run(EXAM, entrant(script(("C1", broken, "C3", "C3", "C5", "Z8", "Z7"))))
    one = made.contestants[0]
    assert dict(one.failures) == {"broken: ZeroDivisionError: of the view": 1}
    assert one.forms[0].pass_at_1.value == pytest.approx(6 / 7)
    with pytest.raises(ZeroDivisionError):
        run(EXAM, entrant(script([broken] * 7)))
    # What metier says on purpose is about the specialist, not about an input.
    with pytest.raises(BadArtefact):
        run(EXAM, entrant(script(("C1", BadArtefact("altered"), "C3", "C3", "C5", "Z8", "Z7"))))


def test_why_an_input_is_unreadable_may_break_without_harm() -> None:
    def explain(_: str) -> str | None:
        raise RecursionError("too deep")

    made = run(EXAM, entrant(script(("C1", None, "C3", "C3", "C5", "Z8", "Z7")), explain=explain))
    assert dict(made.contestants[0].failures) == {"unreadable: broken: RecursionError: too deep": 1}


def test_a_text_without_a_box_is_wrong_and_counted() -> None:
    said = [r"Speed is high: \boxed{C1}", "C2", r"\boxed{C1} then \boxed{{3}}", r"\boxed{\text{C3}}", "", "Z8", "Z7"]
    one = run(EXAM, entrant(script(said), kind=OutputKind.TEXT)).contestants[0]
    assert one.forms[0].n_unboxed == 4
    assert one.forms[0].pass_at_1.value == pytest.approx(3 / 7)


def test_samples_of_a_specialist_that_draws() -> None:
    texts = [one.text for one in QUESTIONS]
    wrong = dict.fromkeys(texts, "C9")
    right = dict(zip(texts, ("C1", "C2", "C3", "C3", "C5", "Z8", "Z7"), strict=True))
    drawing = Drawing(script().lines, drawn=(right, right, wrong))
    made = run(EXAM, entrant(drawing), settings=SETTINGS.model_copy(update={"samples": 4}))
    one = made.contestants[0]
    assert (one.n_samples, one.is_deterministic) == (4, False)
    # Served 5 of 7, drawn 7, 7 and 0 of 7; two of four samples outvote any other.
    assert one.forms[0].pass_at_1.value == pytest.approx(19 / 28)
    assert one.forms[0].majority.value == 1.0
    assert made.answers.height == 28


def test_a_specialist_that_does_not_draw_is_asked_once() -> None:
    made = run(EXAM, entrant(script()), settings=SETTINGS.model_copy(update={"samples": 4}))
    assert (made.contestants[0].n_samples, made.contestants[0].is_deterministic) == (1, True)
    assert any("maj@4 is pass@1" in note for note in made.notes)


def test_what_the_policy_keeps() -> None:
    share = Estimate(0.9, 0.8, 1.0, 100)
    certificate = Certificate(0.1, 0.05, 100, 90, 1, 0.5, share, share, "simulator", "the task")
    policy = Policy("t", "t", "scripted", "s1", certificate, 0.5, not_scored(), 0.0, None, "", ())
    lines = script()
    lines.scores = {QUESTIONS[4].text: 0.1, QUESTIONS[0].text: 0.2}
    kept = run(EXAM, entrant(lines, policy=policy)).contestants[0].forms[0].kept
    assert kept is not None
    assert (kept.n_kept, kept.alpha) == (5, 0.1)
    assert kept.coverage.value == pytest.approx(5 / 7)
    assert kept.escalated == pytest.approx(2 / 7)
    assert kept.error.value == pytest.approx(1 / 5)
    without = Policy("t", "t", "scripted", "s1", None, 0.5, not_scored(), 0.0, None, "too few labels", ())
    one = run(EXAM, entrant(lines, policy=without)).contestants[0]
    assert one.forms[0].kept is None
    assert "too few labels" in one.kept_note


def test_windows_met_in_training_are_counted_and_said() -> None:
    training = (QUESTIONS[1].text, "\n".join(drive(99)))
    made = run(EXAM, entrant(script(), training=training))
    overlap = made.contestants[0].overlap
    assert (overlap.n_windows, overlap.n_training, overlap.n_near, overlap.largest_share) == (4, 2, 1, 1.0)
    assert any("near-duplicates" in note for note in made.notes)
    assert not any("near-duplicates" in note for note in run(EXAM, entrant(script(), training=training[1:])).notes)


def test_speed_is_by_the_clock_it_is_given() -> None:
    one = run(EXAM, entrant(script())).contestants[0]
    assert one.answers_per_s == pytest.approx(700.0)
    assert one.latency.p50_s == pytest.approx(0.01)
    assert one.latency.n == 5


def test_answers_are_rows_without_the_questions() -> None:
    made = run(EXAM, entrant(script()))
    assert made.answers.schema == BENCHMARK_ANSWER_SCHEMA
    assert made.answers["correct"].sum() == 5
    assert not any("Timestamp" in str(value) for row in made.answers.iter_rows() for value in row)


def test_limit_and_what_cannot_be_asked() -> None:
    limited = run(EXAM, entrant(script()), settings=SETTINGS.model_copy(update={"limit": 2}))
    assert limited.n == 2
    assert any("5 more were not asked" in note for note in limited.notes)
    with pytest.raises(NotEnoughData):
        run(EXAM)
    with pytest.raises(BadInput, match="share a name"):
        run(EXAM, entrant(script()), entrant(script()))


def test_the_tables_hold_at_80_columns() -> None:
    from rich.console import Console

    made = run(EXAM, entrant(script(), training=("\n".join(drive(99)),)))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(benchmark_tables(made))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= 80
    for word in ("pass@1", "GPT-5", "864", "arXiv 2507.21974", "randomised", "near-duplicates", "answers/s"):
        assert word in shown
