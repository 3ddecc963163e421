"""Policy: the score threshold of a task, and the certificate that goes with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metier.artefacts.estimates import Estimate, Score

# Scores lie in [0, 1], so no threshold ever keeps an answer with this one.
NEVER_KEPT = -1.0


@dataclass(frozen=True)
class RiskPoint:
    """At `threshold`, the share of answers kept and the share of those that are wrong, on the named split."""

    threshold: float
    coverage: float
    risk: Score
    n_kept: int


@dataclass(frozen=True)
class Certificate:
    """ "Of the answers kept, at most `alpha` are wrong, with confidence 1 - `delta`", over the draw of the calibration set.

    `judged_against` says what "wrong" meant. `n` counts calibration items (clusters where groups repeat).
    """

    alpha: float
    delta: float
    n: int
    n_kept: int
    n_wrong: int
    threshold: float
    coverage: Estimate
    risk: Estimate
    judged_against: str
    valid_for: str


@dataclass(frozen=True)
class Policy:
    """What the gateway may keep. `certificate` is None where no threshold passes: then nothing is kept, `reason` says why
    and `labels_needed` how many more calibration labels would be needed (None where no number helps).

    `ood_threshold`: inputs with a higher ood score are always escalated. `curve` is coverage against risk.
    """

    task_id: str
    task_name: str
    student: str
    specialist_id: str
    certificate: Certificate | None
    ood_threshold: Score
    base_risk: Estimate
    min_escalated: float
    labels_needed: int | None
    reason: str
    curve: tuple[RiskPoint, ...]

    def keeps(self, scores: NDArray[np.float64], ood_scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which answers may be kept: (n,) booleans; all False without a certificate."""
        if self.certificate is None:
            return np.zeros(len(scores), dtype=np.bool_)
        return gated_scores(scores, ood_scores, self.ood_threshold) >= self.certificate.threshold


def gated_scores(
    scores: NDArray[np.float64], ood_scores: NDArray[np.float64], ood_threshold: float
) -> NDArray[np.float64]:
    """Scores (n,) with NEVER_KEPT where the input is beyond the ood threshold or either figure is NaN."""
    passes = (ood_scores <= ood_threshold) & ~np.isnan(scores)
    return np.where(passes, scores, NEVER_KEPT)
