"""What is there beside the cause: cells that are as strong and do little harm, and weak ones with the same PCI mod 30."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metier.labs.telecom.causes import partners, place, same_residue
from metier.labs.telecom.draft import Draft
from metier.labs.telecom.network import SECTORS
from metier.labs.telecom.parts import CAUSES

Array = npt.NDArray[np.floating]

# How many of the strongest cells of other sites a cause arranges itself.
_ARRANGED = {"C3": 1, "C4": 3, "C5": 1, "C6": 1}
# How many such cells there are at most.
_PARTNERS = 4


def confound(rng: np.random.Generator, draft: Draft) -> None:
    """Add to the surroundings what a window of any cause may show."""
    arranged = np.array([_ARRANGED.get(name, 0) for name in CAUSES])[draft.cause]
    level = _serving_level(draft)
    _crowd(rng, draft, arranged, level)
    _weak_collisions(rng, draft, arranged, level)


def _serving_level(draft: Draft) -> Array:
    """dBm in the section of the cell that serves there, (n,): not the one that should, where a handover comes late."""
    rows = np.arange(len(draft.cause))
    late = draft.cause == CAUSES.index("C3")
    own = draft.natural[rows, draft.serving] - draft.inside[rows, draft.serving // SECTORS]
    return np.where(late, own, draft.reference)


def _crowd(rng: np.random.Generator, draft: Draft, arranged: npt.NDArray[np.int64], level: Array) -> None:
    """In some windows one or two cells of other sites are about as strong as the serving one, but carry little.

    Fewer where handovers come hastily: there every cell that is as strong would add to the handovers.
    """
    strong = ~np.isin(draft.cause, [CAUSES.index("C1"), CAUSES.index("C2"), CAUSES.index("C4")])
    share = np.where(draft.cause == CAUSES.index("C5"), 0.3, 0.5)
    rows = np.flatnonzero(strong & (rng.random(len(draft.cause)) < share * draft.hardness))
    sites, cells = partners(draft, rows)
    one = np.arange(len(rows))
    for further in range(2):
        which = arranged[rows] + further
        at = one if further == 0 else one[rng.random(len(rows)) < 0.5]
        site, cell = sites[at, which[at]], cells[at, which[at]]
        below = rng.uniform(-1.0, 8.0, len(at))
        place(draft, rows[at], site, cell, level[rows[at]] - below)
        draft.load[rows[at], cell] *= 0.4


def _weak_collisions(rng: np.random.Generator, draft: Draft, arranged: npt.NDArray[np.int64], level: Array) -> None:
    """In some windows a cell too weak to matter shares the serving cell's PCI mod 30: plans are not perfect."""
    rows = np.flatnonzero(rng.random(len(draft.cause)) < 0.4)
    sites, cells = partners(draft, rows)
    which = np.minimum(rng.integers(arranged[rows], _PARTNERS), _PARTNERS - 1)
    at = np.arange(len(rows))
    site, cell = sites[at, which], cells[at, which]
    gap = 11.5 + 4.0 * draft.ease + rng.exponential(4.0, len(rows))
    weak = draft.natural[rows, cell] - draft.static[rows, site]
    place(draft, rows, site, cell, np.minimum(weak, level[rows] - gap))
    # Never the code that C6 gives to another neighbour of the same cell.
    draft.network.pci[rows, cell] = same_residue(rng, draft.network.pci[rows, draft.serving[rows]], (17, 33))
    draft.pci[rows, cell] = draft.network.pci[rows, cell]
