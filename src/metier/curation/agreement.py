"""Exact duplicates become one example; where their labels disagree, the best-founded one is kept, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from metier.artefacts.datasets import Contradiction
from metier.curation import reasons

# A label given by a person beats one confirmed in use, which beats a simulator's, which beats a model's.
RANK_OF_PROVENANCE = {"human": 3, "feedback": 2, "simulator": 1, "teacher": 0}


@dataclass(frozen=True)
class Copy:
    """One of several calls with the same input. `rank` is that of the side it was given to (0 where none was)."""

    position: int
    output: str
    provenance: str
    rank: int
    fixed: bool
    measured: bool


@dataclass(frozen=True)
class Settled:
    """`kept` positions stay; `removed` maps the others to a reason and the position kept in their place (or None).
    `measured` is the copy whose recorded answer and measurements the kept one takes over, where it has none."""

    kept: tuple[int, ...]
    removed: dict[int, tuple[str, int | None]]
    contradiction: tuple[tuple[tuple[str, int], ...], str] | None
    measured: int | None = None


def settle(copies: Sequence[Copy]) -> Settled:
    """Decide among calls with the same input.

    Copies given to a held-out side win over the others, and every copy of a given test (`fixed`) stays as given. Else
    the labels of the best provenance vote; a tie removes all.
    """
    top = max(copy.rank for copy in copies)
    winners = [copy for copy in copies if copy.rank == top]
    outputs = tuple(sorted(Counter(copy.output for copy in copies).items(), key=lambda item: (-item[1], item[0])))
    if any(copy.fixed for copy in winners):
        first = winners[0].position
        removed = {copy.position: _lost(copy, winners[0].output, first) for copy in copies if copy.rank < top}
        told = (outputs, "kept as given: the test split is the user's own") if len(outputs) > 1 else None
        return Settled(tuple(copy.position for copy in winners), removed, told)
    best = max(RANK_OF_PROVENANCE.get(copy.provenance, 0) for copy in winners)
    votes = Counter(copy.output for copy in winners if RANK_OF_PROVENANCE.get(copy.provenance, 0) == best)
    ranking = votes.most_common(2)
    if len(ranking) == 2 and ranking[0][1] == ranking[1][1]:
        return Settled((), {copy.position: (reasons.TIED, None) for copy in copies}, (outputs, "removed: a tie"))
    label = ranking[0][0]
    kept = next(copy for copy in winners if copy.output == label and RANK_OF_PROVENANCE.get(copy.provenance, 0) == best)
    removed = {copy.position: _lost(copy, label, kept.position) for copy in copies if copy is not kept}
    donor = None if kept.measured else next((copy.position for copy in copies if copy.measured), None)
    told = (outputs, _resolution(label, kept.provenance, len(votes) > 1)) if len(outputs) > 1 else None
    return Settled((kept.position,), removed, told, donor)


def _lost(copy: Copy, label: str, kept: int) -> tuple[str, int | None]:
    return (reasons.EXACT_DUPLICATE if copy.output == label else reasons.OUTVOTED), kept


def _resolution(label: str, provenance: str, voted: bool) -> str:
    if voted:
        return f"kept {label!r}, the majority of the {provenance} labels"
    if RANK_OF_PROVENANCE.get(provenance, 0) > 0:
        return f"kept {label!r}, given by {provenance}"
    return f"kept {label!r}, the label on the held-out side"


def contradiction(text: str, settled: Settled) -> Contradiction | None:
    """The disagreement that was settled, if there was one."""
    return None if settled.contradiction is None else Contradiction(text, *settled.contradiction)
