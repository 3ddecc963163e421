"""How a served build's answers differ from those of the training-time model.

A build is refused by the difference as measured: the margin is what may be lost on the tune split. A rule on the interval
would be no better. To have the whole of a 95% interval within two points takes about 190 items without a single difference
(Tango's bound is z² / (n + z²) there), so that small tune splits could serve nothing; to refuse only what is significantly
beyond the margin would let a build pass that lost three of 63 answers. What the served build is worth is measured on the
test split, and certified on the calibration split.

Among builds that are not refused the interval decides: a smaller one is taken where its whole interval keeps to the margin.
Where none is shown to, the build is taken that answers most like the model: a few dozen items cannot tell a coarse build
that was lucky from one that is as good. Where the items could not show it of any build, smaller ones need not be asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from metier.errors import BadInput, ExportFailed
from metier.statistics.intervals import Interval, proportion
from metier.statistics.paired import paired_difference
from metier.students.lm.parts import Generated

IsSame = Callable[[str, str], bool]


@dataclass(frozen=True)
class Parity:
    """`same`: share of inputs that both answer alike; `training`, `served`: share of right answers; `gain`: served less
    training, paired. `margin`: the largest loss of right answers that was declared to be acceptable."""

    same: Interval
    training: Interval
    served: Interval
    gain: Interval
    margin: float

    @property
    def holds(self) -> bool:
        """Whether the build loses no more right answers than declared (as measured, not its interval's far end)."""
        return self.gain.estimate >= -self.margin - 1e-12

    @property
    def is_shown(self) -> bool:
        """Whether the whole interval keeps to the margin."""
        return self.gain.lower >= -self.margin

    @property
    def sentence(self) -> str:
        """The line for the card and the report, with the interval's word on the margin."""
        if not self.holds:
            kept = "not kept"
        elif self.is_shown:
            kept = "kept by the whole interval"
        else:
            kept = "kept as measured, while the interval reaches beyond it"
        return (
            f"{self.same.estimate:.1%} of {self.same.n} answers are those of the training-time model "
            f"(95% interval {self.same.lower:.1%} to {self.same.upper:.1%}); right: {self.served.estimate:.1%} against "
            f"{self.training.estimate:.1%}, a paired difference of {100 * self.gain.estimate:+.1f} points "
            f"(95% interval {100 * self.gain.lower:+.1f} to {100 * self.gain.upper:+.1f}); "
            f"margin {100 * self.margin:.1f} points: {kept}"
        )


def compare_answers(
    training: Sequence[Generated],
    served: Sequence[Generated],
    wanted: Sequence[str],
    *,
    is_same: IsSame,
    margin: float,
    groups: Sequence[str] | None = None,
) -> Parity:
    """The parity of answers (n,) that are written already. An answer that did not end by itself is wrong; intervals count
    items of one of `groups` (n,) as alike."""
    if not 0 < len(training) == len(served) == len(wanted):
        raise BadInput(f"parity needs as many answers of each: {len(training)}, {len(served)} and {len(wanted)} wanted")
    ours = np.array([_is_right(answer, want, is_same) for answer, want in zip(training, wanted, strict=True)])
    theirs = np.array([_is_right(answer, want, is_same) for answer, want in zip(served, wanted, strict=True)])
    same = [a.text == b.text or is_same(a.text, b.text) for a, b in zip(training, served, strict=True)]
    return Parity(
        proportion(same, groups),
        proportion(ours, groups),
        proportion(theirs, groups),
        paired_difference(theirs, ours, groups=groups),
        margin,
    )


def can_be_shown(n: int, margin: float) -> bool:
    """Whether answers all alike to `n` items, were they all of groups of their own, would show a build to keep to the
    margin. Fewer items can show it of a build that answers better than the model it was made from, and of no other."""
    alike = np.ones(n)
    return n > 0 and paired_difference(alike, alike).lower >= -margin


def demand(builds: Sequence[tuple[str, Parity]]) -> tuple[str, str]:
    """The build to serve, of these in order of preference, and why: the first that is shown to keep to its margin, else of
    those that keep to it as measured the one that answers most like the model. Raises ExportFailed where none does."""
    kept = [(name, found) for name, found in builds if found.holds]
    for name, found in kept:
        if found.is_shown:
            return name, "the smallest build that is shown to keep to the parity margin"
    if kept:
        closest, _ = max(kept, key=lambda one: one[1].same.estimate)
        return (
            closest,
            "no build is shown to keep to the parity margin; this one answers most like the model as it was tuned",
        )
    lines = "\n".join(f"  {name}: {found.sentence}" for name, found in builds)
    raise ExportFailed(f"{_refused(builds)}:\n{lines}\n{_mend(builds)}")


def _refused(builds: Sequence[tuple[str, Parity]]) -> str:
    which = f"the build {builds[0][0]}" if len(builds) == 1 else "every build"
    return f"{which} loses more right answers on the tune split than declared"


def _mend(builds: Sequence[tuple[str, Parity]]) -> str:
    """What the user can do, by the options' names."""
    name, closest = max(builds, key=lambda one: one[1].gain.estimate)
    n, enough = closest.same.n, math.ceil(-100 * closest.gain.estimate - 1e-9) / 100
    ways = []
    if enough < 1:
        ways.append(f"If you can bear that loss, declare it: --parity-margin {enough:g} lets {name} answer.")
    if len(builds) == 1:
        ways.append("--quantisation auto looks among all builds for one that loses less.")
    else:
        ways.append("--quantisation offers no finer build than these.")
    ways.append(f"With more tune examples a lost answer weighs less: of {n:,} each is {100 / n:.1f} points.")
    ways.append("With other options or examples the training begins anew.")
    return " ".join(ways)


def _is_right(answer: Generated, wanted: str, is_same: IsSame) -> bool:
    return answer.finish == "stop" and is_same(answer.text, wanted)
