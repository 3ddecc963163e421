"""Preference tuning on a model's own mistakes: sample, pair, one pass of DPO, and keep it only where it helps."""

from metier.students.lm.preference.deciding import Decision, Tally, keep_preference, tally, worth_it
from metier.students.lm.preference.judging import Judge, judge_of
from metier.students.lm.preference.pairing import Collected, Pair, collect_pairs
from metier.students.lm.preference.plan import PreferencePlan, affordable_pairs
from metier.students.lm.preference.tuning import Preferred, prefer

__all__ = [
    "Collected",
    "Decision",
    "Judge",
    "Pair",
    "PreferencePlan",
    "Preferred",
    "Tally",
    "affordable_pairs",
    "collect_pairs",
    "judge_of",
    "keep_preference",
    "prefer",
    "tally",
    "worth_it",
]
