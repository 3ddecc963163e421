"""The report's words for people who are not statisticians."""

from __future__ import annotations

GLOSSARY: dict[str, str] = {
    "Specialist": "A small model trained for this one task, which you own and run yourself.",
    "Generalist": "The large frontier model that does the task today, or that the specialist is measured against.",
    "Accuracy": "The share of test items answered correctly.",
    "Macro-F1": "A score from 0 to 1 in which every class counts the same, however rare it is.",
    "n": "How many items a figure rests on. The more, the narrower its interval.",
    "Interval (95%)": "The range in which the true figure lies, by a method that is right 95 times in 100.",
    "Margin": "The largest loss of accuracy that was declared acceptable before anything was measured.",
    "Non-inferior": "Shown to be worse by less than the margin, if worse at all. Superior: shown to be better.",
    "Not proven": "The data neither show nor rule out a loss beyond the margin. Not a no: more items may settle it.",
    "McNemar's test": "Looks at the items that only one of two models got right; a small p-value says that they differ.",
    "p-value, Holm": "How surprising the data would be if nothing were true of it; Holm's correction "
    "makes it honest about having tried several candidates.",
    "Coverage": "The share of calls that the specialist answers itself; the rest is escalated to the generalist.",
    "Score threshold": "The specialist gives every answer a score; below the threshold the call is escalated.",
    "Certificate": "A guarantee with a stated confidence: of the answers kept, at most a share α is wrong. "
    "δ is the chance that the certificate is mistaken.",
    "Calibration split": "Examples set aside to find the threshold, used for nothing else.",
    "Out-of-distribution": "Inputs unlike those trained on. A model right at home can be wrong abroad, and should know.",
    "AUROC": "How well a score tells two groups apart: 1 is perfect, 0.5 is a coin toss.",
    "FPR at 95% TPR": "The share of strange inputs let through when 95% of the ordinary ones are.",
    "Latency p50, p95, p99": "The time within which 50, 95 and 99 of 100 answers arrive.",
    "Break-even": "The month by whose end the specialist, with all it cost, has become cheaper than the frontier.",
    "Learning curve": "How accuracy grows with training examples; continued, it forecasts what more labels would bring.",
    "Lineage": "Which artefact was made from which, with settings and seed, so that every figure can be made again.",
}

# Words of reports on answers that are written.
WRITTEN: dict[str, str] = {
    "Whole record right": "Every field of the record is the same as in the expected one, after normalisation.",
    "Normalised": "Compared without regard to case, punctuation and white space; dates and amounts by what they mean.",
    "Micro-F1, macro-F1": "F1 weighs values that were missed against values that are wrong. Micro: over all values; macro: "
    "the mean over fields, however rare a field is.",
    "Values not in the input": "The share of values given that do not occur in the input: what was made up. People's own "
    "records have some too.",
    "Degenerate": "The answer ran into the token limit repeating itself: its last 15 characters occur four times or more.",
    "ROUGE-L": "How long a sequence of words an answer shares with the expected text, against the length of both.",
}
