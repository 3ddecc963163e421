"""predict: a specialist's answers, each with its scores and whether the policy keeps it or escalates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from metier.artefacts.policies import Policy
from metier.students import Predictor

KEPT = "kept"
ESCALATE = "escalate"


def predict(predictor: Predictor, policy: Policy | None, inputs: Sequence[str]) -> pl.DataFrame:
    """One row an input: input, label, score, ood_score, decision ("kept" or "escalate") and reason.

    `label` is the answer: of a `fields` task the record as JSON, of a `text` task the text; null where the writing failed.
    A failed answer always escalates. Without a policy, or with one that holds no certificate, everything does.
    """
    answers = predictor.predict(list(inputs))
    failures = answers.failures or (None,) * len(inputs)
    kept = policy.keeps(answers.gate_scores, answers.ood_scores) if policy else np.zeros(len(inputs), dtype=np.bool_)
    return pl.DataFrame(
        {
            "input": list(inputs),
            "label": pl.Series(
                [None if failure else label for label, failure in zip(answers.labels.tolist(), failures, strict=True)],
                dtype=pl.String,
            ),
            "score": answers.scores,
            "ood_score": answers.ood_scores,
            "decision": np.where(kept, KEPT, ESCALATE).tolist(),
            "reason": [
                _reason(policy, keep, ood, failure)
                for keep, ood, failure in zip(kept.tolist(), answers.ood_scores.tolist(), failures, strict=True)
            ],
        }
    )


def _reason(policy: Policy | None, keep: bool, ood_score: float, failure: str | None) -> str:
    if failure is not None:
        return f"no answer: {failure}"
    if policy is None:
        return "no policy: run calibrate first"
    if policy.certificate is None:
        return "no certificate"
    if keep:
        return "score at or above the threshold"
    return "out of distribution" if ood_score > policy.ood_threshold else "score below the threshold"
