"""Whether a preference pass is tried, and whether what it made is kept: by the tune split, whose answers it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metier.metrics.generation import CUT_OFF, DEGENERATE, INVALID, TOO_LONG
from metier.students.lm.parts import Generated
from metier.students.lm.preference.judging import UNGROUNDED, WRONG, Judge

# Below this many mistakes among the tune split's answers a pass could hardly be seen to help.
_MIN_MISTAKES = 3


@dataclass(frozen=True)
class Tally:
    """What n answers were: `degenerate` repeat themselves up to the limit, `cut_off` reach it otherwise (both never stop),
    `invalid` fit no schema, `ungrounded` are wrong with values from nowhere, `wrong` otherwise; `unread` had too long a
    prompt. They sum to n with `right`."""

    n: int
    right: int
    degenerate: int
    cut_off: int
    invalid: int
    ungrounded: int
    wrong: int
    unread: int

    @property
    def failed(self) -> int:
        """Answers that no program can use, or that make things up."""
        return self.degenerate + self.cut_off + self.invalid + self.ungrounded

    def told(self) -> str:
        """The rates in a line."""
        return (
            f"right {self.right}, degenerate {self.degenerate}, cut off {self.cut_off}, invalid {self.invalid}, "
            f"ungrounded {self.ungrounded} of {self.n}"
        )


@dataclass(frozen=True)
class Decision:
    """Whether the preference-tuned model is kept, and why."""

    keep: bool
    reason: str


def tally(judge: Judge, answers: Sequence[Generated], inputs: Sequence[str], truths: Sequence[str]) -> Tally:
    """Count what the answers to these inputs are."""
    found = [judge.fault(*item) for item in zip(answers, inputs, truths, strict=True)]
    return Tally(
        n=len(found),
        right=found.count(None),
        degenerate=found.count(DEGENERATE),
        cut_off=found.count(CUT_OFF),
        invalid=found.count(INVALID),
        ungrounded=found.count(UNGROUNDED),
        wrong=found.count(WRONG),
        unread=found.count(TOO_LONG),
    )


def worth_it(before: Tally) -> Decision:
    """Whether the tune split shows mistakes enough to learn from: three or more."""
    mistakes = before.n - before.right - before.unread
    if mistakes >= _MIN_MISTAKES:
        return Decision(True, f"{mistakes} of {before.n} answers on the tune split are mistakes")
    return Decision(False, f"not tried: {mistakes} of {before.n} answers on the tune split are mistakes")


def keep_preference(before: Tally, after: Tally) -> Decision:
    """Kept where fewer answers failed and no fewer are right, or as many failed and more are right; else not.

    Failed are degenerate, cut off, invalid and ungrounded answers. Both tallies are of the same inputs, asked the same way.
    """
    story = f"before: {before.told()}; after: {after.told()}"
    fewer_failures = after.failed < before.failed and after.right >= before.right
    more_right = after.right > before.right and after.failed <= before.failed
    if fewer_failures or more_right:
        return Decision(True, f"kept, since the tune split improved ({story})")
    return Decision(False, f"not kept, since the tune split did not improve ({story})")
