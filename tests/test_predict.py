"""predict: what is kept, what escalates and why; a failed answer never is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.policies import Certificate, Policy
from metier.predict import predict
from metier.students import Answers


@dataclass(frozen=True)
class Table:
    """Writes what its rows say, in order: answer, failure, score, ood score."""

    rows: tuple[tuple[str, str | None, float, float], ...]
    classes_: tuple[str, ...] = ()

    def predict(self, inputs: Sequence[str]) -> Answers:
        texts, failures, scores, foreign = zip(*self.rows[: len(inputs)], strict=True)
        return Answers(
            np.array(texts, dtype=object),
            np.array(scores),
            np.array(foreign),
            np.zeros((len(texts), 0), dtype=np.float32),
            tuple(failures),
        )


def policy(threshold: float) -> Policy:
    kept = Estimate(0.9, 0.8, 1.0, 100)
    certificate = Certificate(0.05, 0.05, 100, 90, 1, threshold, kept, kept, "human 100% records", "the task")
    return Policy("t", "receipts", "lm", "s", certificate, 0.5, not_scored(), 0.0, None, "", ())


def test_failed_answers_escalate_whatever_the_threshold() -> None:
    table = Table(
        (
            ('{"total": "9.00"}', None, 0.9, 0.1),
            ('{"total": "9.0', "cut off", 0.0, 0.1),
            ("aaaaaaaa", "degenerate", 0.0, 0.1),
            ('{"total": "1.00"}', None, 0.2, 0.1),
            ("{}", None, 0.9, 0.6),
        )
    )
    found = predict(table, policy(0.0), list("abcde"))
    assert found["decision"].to_list() == ["kept", "escalate", "escalate", "kept", "escalate"]
    assert found["label"].to_list() == ['{"total": "9.00"}', None, None, '{"total": "1.00"}', "{}"]
    assert found["reason"].to_list() == [
        "score at or above the threshold",
        "no answer: cut off",
        "no answer: degenerate",
        "score at or above the threshold",
        "out of distribution",
    ]
    assert predict(table, policy(0.5), list("abcd"))["decision"].to_list() == [
        "kept",
        "escalate",
        "escalate",
        "escalate",
    ]
    assert found.schema["label"] == pl.String


def test_gate_scores_are_the_scores_but_for_failures() -> None:
    answers = Table((("a", None, 0.9, 0.0), ("b", "invalid", 0.0, 0.0))).predict(["x", "y"])
    assert answers.gate_scores[0] == 0.9
    assert math.isnan(answers.gate_scores[1])
    plain = Answers(answers.labels, answers.scores, answers.ood_scores, answers.probabilities)
    assert plain.gate_scores is answers.scores
