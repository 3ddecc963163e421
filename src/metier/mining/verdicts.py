"""The audit's verdict on a task: five rules, the first that applies decides."""

from __future__ import annotations

from dataclasses import dataclass

from metier.artefacts.estimates import Estimate
from metier.artefacts.tasks import AuditVerdict, OutputKind
from metier.mining.outputs import Output

# A new answer must be of a form already seen at least this often, or there is nothing closed to learn.
MIN_DEFINEDNESS = 0.7
# A text can be learnt where it says again what stands in the input: of notes that people wrote from conversations half
# of the words do (MTS-Dialog), of GPT-4's answers to open questions a third (Arena-Hard).
MIN_DRAWN = 0.4
# Longer texts than this are no notes.
MAX_TEXT_CHARS = 2_000
# Answers that contradict one another on the same input this often teach a student the noise.
MAX_CONTRADICTORY = 0.10
# "10,000 labelled examples make a specialist; 100 do not": below this a promise to match the frontier is uncertain.
PLENTY_OF_LABELS = 10_000


@dataclass(frozen=True)
class LabelNeeds:
    """Labelled inputs a task needs at least: `minimum`, and `per_label` times its labels."""

    minimum: int
    per_label: int

    def of(self, n_labels: int) -> int:
        return max(self.minimum, self.per_label * n_labels)


def judge(
    output: Output, saving: Estimate, n_distinct_inputs: int, is_open_ended: bool, needs: LabelNeeds
) -> tuple[AuditVerdict, str]:
    """The verdict and its reason. `saving` is not scored where the records are no calls; then cost decides nothing."""
    needed = needs.of(len(output.labels))
    if is_open_ended:
        return AuditVerdict.FRONTIER, _open_reason(n_distinct_inputs)
    if saving.scored and saving.value <= 0:
        return AuditVerdict.FRONTIER, (
            f"The specialist would cost more than it saves: {saving.value:+,.0f} USD a month "
            f"(90% range {saving.low:+,.0f} to {saving.high:+,.0f})."
        )
    if not output.n_answered:
        return AuditVerdict.COLLECT, f"No answers are recorded: collect at least {needed:,} labelled inputs."
    if not is_closed(output):
        return (
            AuditVerdict.FRONTIER,
            f"The output is not closed enough to learn and to check: {output.definedness.detail}.",
        )
    if output.kind is OutputKind.FIELDS and (output.output_schema or {}).get("type", "object") != "object":
        return AuditVerdict.FRONTIER, (
            "The answers are JSON, but no objects: ask for an object with a key around them, and a specialist can learn it."
        )
    if output.n_answered < needed:
        return AuditVerdict.COLLECT, (
            f"{output.n_answered:,} distinct inputs have an answer; {needed:,} are needed: "
            f"collect {needed - output.n_answered:,} more."
        )
    if output.contradictory > MAX_CONTRADICTORY:
        return AuditVerdict.COLLECT, (
            f"{output.contradictory:.0%} of the answers to repeated inputs contradict one another: have at least "
            f"{needed:,} inputs labelled by people who agree."
        )
    return AuditVerdict.SPECIALISE, _specialise_reason(output, saving)


def is_closed(output: Output) -> bool:
    """Whether the output is defined well enough to learn and to check; a text, whether it is short and drawn from the
    input."""
    if output.kind is OutputKind.TEXT:
        return output.definedness.score >= MIN_DRAWN and output.definedness.mean_length_chars <= MAX_TEXT_CHARS
    return output.definedness.score >= MIN_DEFINEDNESS


def _open_reason(n_distinct_inputs: int) -> str:
    if n_distinct_inputs == 1:
        return "One and the same prompt: nothing to learn, an answer cache does it."
    return "Open questions with no recurring instructions: breadth is what the frontier model is for."


def _specialise_reason(output: Output, saving: Estimate) -> str:
    money = (
        f"saves {saving.value:,.0f} USD a month (90% range {saving.low:,.0f} to {saving.high:,.0f})"
        if saving.scored
        else "cost not known, as labelled records are no calls"
    )
    labels = f"{output.n_answered:,} distinct inputs with an answer"
    if output.n_answered < PLENTY_OF_LABELS:
        labels += f" (enough to try; {PLENTY_OF_LABELS:,} make it safe)"
    students = {
        OutputKind.LABEL: "students `linear` and `encoder` fit",
        OutputKind.FIELDS: "student `lm` fits",
        OutputKind.TEXT: "student `lm` fits, but texts have no right answer: have people judge some of them",
        OutputKind.PAGE: "needs a student that reads pages",
    }[output.kind]
    drawn = "Output drawn from the input" if output.kind is OutputKind.TEXT else "Closed output"
    return f"{drawn} ({output.definedness.detail}); {labels}; {money}; {students}."
