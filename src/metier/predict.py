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

    Without a policy, or with one that holds no certificate, everything escalates.
    """
    answers = predictor.predict(list(inputs))
    kept = policy.keeps(answers.scores, answers.ood_scores) if policy else np.zeros(len(inputs), dtype=np.bool_)
    return pl.DataFrame(
        {
            "input": list(inputs),
            "label": answers.labels.tolist(),
            "score": answers.scores,
            "ood_score": answers.ood_scores,
            "decision": np.where(kept, KEPT, ESCALATE).tolist(),
            "reason": [
                _reason(policy, keep, ood) for keep, ood in zip(kept.tolist(), answers.ood_scores.tolist(), strict=True)
            ],
        }
    )


def _reason(policy: Policy | None, keep: bool, ood_score: float) -> str:
    if policy is None:
        return "no policy: run calibrate first"
    if policy.certificate is None:
        return "no certificate"
    if keep:
        return "score at or above the threshold"
    return "out of distribution" if ood_score > policy.ood_threshold else "score below the threshold"
