"""The contract of a view: a versioned pure function from a raw input to what a student reads of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Feature:
    """One number that a view computes: its name, its unit ("" for a count or a share), and what it is."""

    name: str
    unit: str
    description: str


@dataclass(frozen=True)
class Reading:
    """What a view made of one input.

    values (n_features,): in the order of the view's `features`, NaN where a feature does not exist for this input. `text`
    is what a student of language reads in place of the raw input, None where it reads the input itself. `choices` maps each
    class that this input offers to the label by which the input calls it (an exam question with its options in another
    order); None where every class goes by its own name.
    """

    values: FloatArray
    text: str | None = None
    choices: Mapping[str, str] | None = None


class View(Protocol):
    """A pure function of one input; the same code reads at training and at run time."""

    @property
    def name(self) -> str:
        """The name it has in the registry."""
        ...

    @property
    def version(self) -> int:
        """Raised with every change of what `read` gives."""
        ...

    @property
    def features(self) -> tuple[Feature, ...]:
        """The numbers it computes, in their order."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes between which its inputs let choose, sorted; empty where inputs offer no choices of their own."""
        ...

    def fits(self, text: str) -> bool:
        """Whether an input looks like one of this view's, at a glance; it may still be malformed."""
        ...

    def read(self, text: str) -> Reading:
        """What the student reads. Raises Unreadable naming what is wrong with the input, and where; never guesses."""
        ...
