"""Why an input did not become an example: what `Dataset.removed` says of it, besides curation's own reasons."""

from __future__ import annotations

from metier.artefacts.evaluations import PASSING_FAILURES
from metier.curation import reasons as curated

NEAR_HELD_OUT = "near-duplicate of an input that is held out (tune, calibration, test or ood)"
NEAR_KNOWN = "varied too little: near-duplicate of an example"
NOT_ASKED = "the teacher was not asked: the budget was used up, or nothing is recorded"
NOT_A_LABEL = "the teacher's answer is none of the task's labels"
UNGROUNDED = "the teacher's record holds a value that does not occur in the input"
SCRUBBED_RECORD = "the teacher's record does not fit the schema without its personal data"
NO_VARIATION = "the teacher wrote no variation: {}"
NO_ANSWER = "the teacher gave no answer: {}"
NO_AGREEMENT = "the teacher's samples do not agree"

# What curation removed although the input itself is sound: it lacks an answer to learn from.
UNANSWERED = frozenset(
    {
        curated.WRONG_WITHOUT_CORRECTION,
        curated.UNJUDGED_SPECIALIST,
        curated.FAILED_CALL,
        curated.CANCELLED_CALL,
        curated.CUT_OFF_ANSWER,
        curated.EMPTY_OUTPUT,
        curated.LONG_OUTPUT,
        curated.UNREADABLE_OUTPUT,
        curated.NO_RECORD,
        curated.RECORD_IN_PROSE,
        curated.INVALID_RECORD,
        curated.REFUSED,
        curated.STRAY_OUTPUT,
        curated.TIED,
    }
)


def passing() -> frozenset[str]:
    """The reasons that asking again, or a larger budget, may mend."""
    failed = (template.format(kind) for template in (NO_VARIATION, NO_ANSWER) for kind in PASSING_FAILURES)
    return frozenset({NOT_ASKED, *failed})
