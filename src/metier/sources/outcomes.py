"""What becomes of one record: a Trace, a Trace with flaws, or a reason why it is none."""

from __future__ import annotations

from typing import NamedTuple

from metier.artefacts.traffic import Trace


class Rejected(NamedTuple):
    """The record cannot be used. `reason` is one of a few short texts to count by, `detail` says what was found."""

    reason: str
    detail: str = ""


class Skipped(NamedTuple):
    """The record is sound, but no call (a tool span, say): counted, not quarantined."""

    reason: str


class Flawed(NamedTuple):
    """A usable trace, some optional fields of which held nonsense and were left empty; `warnings` say which."""

    trace: Trace
    warnings: tuple[str, ...]


Outcome = Trace | Flawed | Rejected | Skipped
