"""The realised error of answers kept, from the audit share, and when it refutes a certificate. Pure functions.

"Wrong" is judged against the frontier model's answer to the same request, so its own errors count as disagreements; the
setting `audit_allowance` says how many of them to expect. Tested is H: P(disagree | kept) <= alpha + allowance, after every
audited answer, so that over a certificate's whole life a true one is revoked with probability delta at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from metier.statistics.intervals import Interval, clopper_pearson
from metier.statistics.sequential import EProcess, confidence_sequence
from metier.store.revocations import Revocation

_FIXED_N = "Clopper-Pearson, for one look at a fixed n"


class AuditedAnswer(Protocol):
    """A kept answer that the frontier model gave, too: a row of the table `audits`."""

    @property
    def policy_id(self) -> str: ...

    @property
    def task(self) -> str: ...

    @property
    def time(self) -> float: ...

    @property
    def is_wrong(self) -> bool: ...

    @property
    def allowed(self) -> float: ...


@dataclass(frozen=True)
class Evidence:
    """What the audited answers of one policy, in the order they came in, say so far.

    `process` tests H; `highest` is the largest e-value there has been, with the counts `highest_n`, `highest_n_wrong` and
    the time `highest_time` at which it was first reached: evidence that was once enough stays enough.
    """

    n: int = 0
    n_wrong: int = 0
    process: EProcess = field(default_factory=EProcess)
    highest: float = 1.0
    highest_n: int = 0
    highest_n_wrong: int = 0
    highest_time: float = 0.0

    def after(self, rows: Iterable[AuditedAnswer]) -> Evidence:
        """The evidence with further rows; give every row of the policy once, in order."""
        found = self
        for row in rows:
            found = found._with(row)
        return found

    @property
    def e_value(self) -> float:
        """Evidence against the certificate now."""
        return self.process.e_value

    def error(self, level: float = 0.95) -> Interval:
        """The share that was wrong, with bounds that hold at every moment as long as the rate stays the same."""
        return confidence_sequence(self.n_wrong, self.n, level)

    def error_fixed_n(self, level: float = 0.95) -> Interval:
        """The share that was wrong, with exact bounds that hold for one look; narrower, not for watching."""
        lower, upper = clopper_pearson(self.n_wrong, self.n, level)
        estimate = self.n_wrong / self.n if self.n else float("nan")
        return Interval(estimate, lower, upper, level, self.n, self.n, _FIXED_N)

    def refutes(self, delta: float) -> bool:
        """Whether H has been rejected at error rate `delta`, at any moment so far."""
        return self.highest >= 1 / delta

    def _with(self, row: AuditedAnswer) -> Evidence:
        process = self.process.after(float(row.is_wrong), row.allowed)
        n, n_wrong = self.n + 1, self.n_wrong + int(row.is_wrong)
        if process.e_value > self.highest:
            return Evidence(n, n_wrong, process, process.e_value, n, n_wrong, row.time)
        return Evidence(n, n_wrong, process, self.highest, self.highest_n, self.highest_n_wrong, self.highest_time)


def revocation_due(rows: Sequence[AuditedAnswer], delta: float) -> Revocation | None:
    """The revocation that the audited answers of one policy call for, or None. `rows` are all of them, in the order they
    came in; it is dated to the answer whose e-value first reached 1 / delta."""
    evidence = Evidence()
    for row in rows:
        evidence = evidence.after([row])
        if evidence.refutes(delta):
            return revocation_of(evidence, row, delta)
    return None


def revocation_of(evidence: Evidence, last: AuditedAnswer, delta: float) -> Revocation:
    """The record of a revocation; `last` is the newest of the rows that `evidence` has seen."""
    error = evidence.highest_n_wrong / evidence.highest_n
    reason = (
        f"{evidence.highest_n_wrong} of {evidence.highest_n} audited answers were wrong ({error:.1%}); "
        f"{last.allowed:.1%} is allowed. Evidence {evidence.highest:.3g} against the certificate, {1 / delta:.3g} is "
        f"enough (delta {delta:g})."
    )
    return Revocation(
        policy_id=last.policy_id,
        task=last.task,
        time=evidence.highest_time,
        e_value=evidence.highest,
        n=evidence.highest_n,
        n_wrong=evidence.highest_n_wrong,
        reason=reason,
    )
