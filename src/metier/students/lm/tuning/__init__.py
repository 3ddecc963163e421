"""Tuning of language models on prompts and answers, on a processor or on GPUs."""

from metier.students.lm.tuning.plan import SoftLabels, TuningPlan

__all__ = ["SoftLabels", "TuningPlan"]
