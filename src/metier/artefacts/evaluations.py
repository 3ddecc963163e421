"""Evaluation: specialists and generalist side by side on the same items, with intervals and verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal

import polars as pl
from pydantic import ConfigDict

from metier.artefacts.estimates import Estimate, Score, not_scored
from metier.artefacts.tasks import OutputKind


class Verdict(StrEnum):
    """What a comparison has shown; NOT_PROVEN is an answer, not a failure."""

    SUPERIOR = "superior"
    NON_INFERIOR = "non-inferior"
    INFERIOR = "inferior"
    NOT_PROVEN = "not proven"


Basis = Literal["truth", "teacher"]
"""What "correct" is judged against: labels from people, feedback or a simulator, or the recorded answers of the teacher
(the generalist that is used today), against which only agreement can be shown."""

AGREEMENT_WORDING: dict[Verdict, str] = {
    Verdict.SUPERIOR: "agreement with the teacher within the margin",
    Verdict.NON_INFERIOR: "agreement with the teacher within the margin",
    Verdict.INFERIOR: "disagrees with the teacher by more than the margin",
    Verdict.NOT_PROVEN: "agreement with the teacher not proven",
}


# Failures of the connection rather than of the model: asking again may mend them.
PASSING_FAILURES = frozenset({"timeout", "connection", "rate limited", "server error", "unreadable reply"})


@dataclass(frozen=True)
class Latency:
    """Seconds per single answer over `n` answers asked one at a time; NaN where it was not measured."""

    p50_s: Score
    p95_s: Score
    p99_s: Score
    n: int
    condition: str = ""


@dataclass(frozen=True)
class Confusion:
    """`n` items of class `truth` were answered `answer`; `share` is n over the items of that class."""

    truth: str
    answer: str
    n: int
    share: float


@dataclass(frozen=True)
class OodScore:
    """How well the ood score tells inputs from elsewhere: area under the ROC curve, and the share of out-of-distribution
    inputs still let through when 95% of in-distribution inputs are."""

    auroc: Estimate
    fpr_at_95_tpr: Estimate
    n_in: int
    n_out: int


@dataclass(frozen=True)
class FieldScore:
    """One field of a record over `n` judged items, of which `n_present` have it in the truth: the share equal to the
    truth character for character and after normalisation (absent equals absent), and precision, recall and F1 after
    normalisation, an absent value being no prediction."""

    name: str
    n: int
    n_present: int
    exact: Estimate
    normalised: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class RecordScore:
    """Records over `n` judged items: micro F1 pools all fields, macro F1 is the mean over fields, both after normalisation;
    `whole_record` is the share of items with every field right; `ungrounded` the share of given values that do not occur in
    the input (after normalisation), the measure of what was made up."""

    n: int
    fields: tuple[FieldScore, ...]
    micro_f1: Estimate
    macro_f1: Estimate
    whole_record: Estimate
    ungrounded: Estimate


@dataclass(frozen=True)
class TextScore:
    """Texts over `n` judged items: mean ROUGE-L F1 (Lin, 2004), mean token F1 and mean Levenshtein ratio, each in [0, 1];
    an answer is taken as right where its ROUGE-L is `acceptable_from` or more."""

    n: int
    rouge_l: Estimate
    token_f1: Estimate
    levenshtein: Estimate
    acceptable_from: float


@dataclass(frozen=True)
class WritingScore:
    """How the writing itself went over `n` answers: the share valid under the schema, and the shares degenerate (token
    limit reached and the last 15 characters repeated four times or more), cut off at the token limit otherwise, and with an
    input too long to read. `never_stopped` are the degenerate ones and those cut off; evaluations made before 0.5.0 do not
    have it."""

    n: int
    valid: Estimate
    degenerate: Estimate
    cut_off: Estimate
    too_long: Estimate
    never_stopped: Estimate = field(default_factory=not_scored)


@dataclass(frozen=True)
class CandidateScore:
    """One candidate on the judged test items. Failures (timeouts, errors, answers outside the label set) count as wrong
    and are in `n_failed`; items never asked (budget reached) are in `n_not_asked` and in no score.

    Where the evaluation's basis is the teacher, `accuracy` and `macro_f1` of a specialist are agreement with it, and those
    of a generalist are not scored: its own answers cannot judge it. `model` is the name by which a list price is found.

    Of a `fields` task `accuracy` is that of whole records and `macro_f1` that over fields, of a `text` task the share of
    acceptable texts and the mean token F1; `records`, `texts` and `writing` hold the rest.
    """

    name: str
    role: Literal["specialist", "generalist"]
    n: int
    n_failed: int
    n_not_asked: int
    accuracy: Estimate
    macro_f1: Estimate
    latency: Latency
    input_tokens_mean: Score
    output_tokens_mean: Score
    cost_usd_per_1000: Score
    expected_calibration_error: Score
    ood: OodScore | None
    confusions: tuple[Confusion, ...]
    failures: tuple[tuple[str, int], ...] = ()
    model: str = ""
    records: RecordScore | None = None
    texts: TextScore | None = None
    writing: WritingScore | None = None


@dataclass(frozen=True)
class Comparison:
    """A specialist against the generalist on the items that both were asked (paired).

    `difference` is accuracy(specialist) - accuracy(generalist). P-values are Holm-adjusted over all candidates where the
    name says so. `items_to_settle` is the number of test items that would settle an unproven verdict with the settings'
    power at the discordance seen; None where the verdict stands or no number of items settles it.

    Basis "teacher": the other side is the teacher's recorded answers, taken as right, so `difference` is minus the share
    of disagreement, non-inferior means "disagrees on at most `margin` of the items", and p_mcnemar and p_superior_holm
    are NaN. `wording` is the verdict as people must read it. `secondary` are paired differences of other scores (micro F1
    of fields, ROUGE-L), described and not tested.
    """

    specialist: str
    generalist: str
    n: int
    margin: float
    alpha: float
    difference: Estimate
    n_only_specialist_right: int
    n_only_generalist_right: int
    p_mcnemar: Score
    p_non_inferior: Score
    p_non_inferior_holm: Score
    p_superior_holm: Score
    p_inferior_holm: Score
    verdict: Verdict
    items_to_settle: int | None
    note: str = ""
    basis: Basis = "truth"
    secondary: tuple[tuple[str, Estimate], ...] = ()

    @property
    def wording(self) -> str:
        """The verdict in words that do not claim more than its basis allows."""
        return self.verdict.value if self.basis == "truth" else AGREEMENT_WORDING[self.verdict]


@dataclass(frozen=True)
class Evaluation:
    """`truth` says what "correct" was judged against: human, teacher, simulator, feedback, or a mix with shares; `basis`
    sorts that into truth and teacher. `n_test` counts the test split, `n_judged` the items of it that the scores stand on.

    `champion` is the cheapest specialist that is non-inferior to the generalist; where there is no generalist to compare
    with, the cheapest that is non-inferior to the most accurate specialist; None where none is. `unseen_labels` are labels
    of judged items that no specialist could know, with their counts: those items count as wrong. `notes` is what a careful
    reader must know before trusting the verdict.

    `answers` follows ANSWER_SCHEMA: one row per candidate and item; `correct` is null where the item was not asked, is not
    judged, or is out of distribution.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)

    task_id: str
    task_name: str
    truth: str
    n_test: int
    n_ood: int
    candidates: tuple[CandidateScore, ...]
    comparisons: tuple[Comparison, ...]
    champion: str | None
    summary: str
    answers: pl.DataFrame
    basis: Basis = "truth"
    n_judged: int = 0
    unseen_labels: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    kind: OutputKind = OutputKind.LABEL

    @property
    def n_passing_failures(self) -> int:
        """Calls that failed for a reason that may pass: where there are any, evaluating again may score better, and
        costs only those calls."""
        return sum(n for candidate in self.candidates for kind, n in candidate.failures if kind in PASSING_FAILURES)


ANSWER_SCHEMA = pl.Schema(
    {
        "candidate": pl.String(),
        "id": pl.String(),
        "split": pl.String(),
        "output": pl.String(),
        "answer": pl.String(),
        "correct": pl.Boolean(),
        "score": pl.Float64(),
        "ood_score": pl.Float64(),
        "latency_s": pl.Float64(),
        "failure": pl.String(),
    }
)
