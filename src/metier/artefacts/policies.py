"""Policy: the score threshold of a task, and the certificate that goes with it."""

from __future__ import annotations

from dataclasses import dataclass

from metier.artefacts.estimates import Estimate, Score


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
