"""What is read of an answer that breaks what it was held to."""

from __future__ import annotations

import json

import numpy as np

from metier.artefacts.tasks import OutputKind
from metier.metrics.generation import INVALID
from metier.students import TaskSpec
from metier.students.lm.parts import Generated, PromptForm, Span
from metier.students.lm.predictor import asking_of

SCHEMA = {"type": "object", "properties": {"shop": {"type": "string"}, "n": {"type": "integer"}}, "required": ["shop"]}
FORM = PromptForm("", "?", "", is_baked=True)


def test_a_copied_value_that_is_not_in_the_input_fails_the_answer() -> None:
    free = asking_of(TaskSpec(OutputKind.FIELDS, SCHEMA), (), FORM, 64)
    held = free.copying((Span("shop"),))
    records = [{"shop": "Bee  Hive"[:3], "n": 7}, {"shop": "Bea", "n": 7}, {"n": 7}]
    answers = [Generated(json.dumps(one), (), np.empty(0), "stop", 1, 0, 0.0) for one in records]
    inputs = ["the Bee\n Hive"] * 3
    assert [one.failure for one in free.read(answers, inputs)] == [None, None, INVALID]  # the schema wants a shop
    assert [one.failure for one in held.read(answers, inputs)] == [None, INVALID, INVALID]
    spanning = [Generated('{"shop": "Bee Hive"}', (), np.empty(0), "stop", 1, 0, 0.0)]
    assert held.read(spanning, inputs[:1])[0].failure is None
