"""Cut a model's vocabulary to what a task needs, and put it back."""

from metier.students.lm.vocabulary.facts import TokenizerFacts, read_facts
from metier.students.lm.vocabulary.records import read_trimmed
from metier.students.lm.vocabulary.trimming import restore, trim

__all__ = ["TokenizerFacts", "read_facts", "read_trimmed", "restore", "trim"]
