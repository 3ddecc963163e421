"""Why a trace did not become an example: the closed list of reasons that `Dataset.removed` holds."""

from __future__ import annotations

NOT_IN_TRAFFIC = "the traffic no longer holds this trace"
EMPTY_INPUT = "empty input"
WRONG_WITHOUT_CORRECTION = "judged wrong, and no correction given"
UNJUDGED_SPECIALIST = (
    "a specialist's own answer: not corrected, not confirmed, not answered by the frontier model as well"
)
FAILED_CALL = "the call failed, so there is no whole answer"
CANCELLED_CALL = "the client hung up before the answer was whole"
CUT_OFF_ANSWER = "the answer was cut off (length or content filter)"
EMPTY_OUTPUT = "empty output"
LONG_OUTPUT = "output too long for a label"
UNREADABLE_OUTPUT = "output is JSON without one label in it"
NO_RECORD = "no JSON object in the answer"
RECORD_IN_PROSE = "text around the JSON object of the answer"
INVALID_RECORD = "the record does not fit the task's JSON Schema"
REFUSED = "the model declined to answer"
STRAY_OUTPUT = "stray output: free text, not a label"
EXACT_DUPLICATE = "exact duplicate"
OUTVOTED = "contradictory label: outvoted"
TIED = "contradictory labels: tie"
LEAKS = "near-duplicate of an input held out by the given splits"
GROUP_LEAKS = "its group is held out by the given splits"
OUT_OF_SCOPE_TRAINING = "out-of-scope record given for training or validation"
OUT_OF_SCOPE_KNOWN = "out-of-scope record equal to an in-scope input"
