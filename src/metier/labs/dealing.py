"""Whole groups dealt out to splits of stated sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random


def deal(groups: Sequence[str], sizes: Mapping[str, int], rest: str, largest: int, seed: int) -> list[str]:
    """The split of each item: about `sizes` items a split, all others in `rest`, and no group in two splits.

    Groups of more than `largest` items go to `rest`: one of them would make a held-out split. The others, in random order
    from the large to the small, each go to a split drawn by how much it still lacks, so that all splits are drawn alike.
    """
    counts = Counter(groups)
    rng = Random(f"deal {seed}")
    order = sorted(counts)
    rng.shuffle(order)
    order.sort(key=lambda group: -counts[group])
    held = sum(n for group, n in counts.items() if n > largest)
    room = {**sizes, rest: max(0, len(groups) - sum(sizes.values()) - held)}
    split: dict[str, str] = {}
    for group in order:
        n = counts[group]
        fitting = [name for name, left in room.items() if left >= n] if n <= largest else []
        split[group] = rng.choices(fitting, [room[name] for name in fitting])[0] if fitting else rest
        if n <= largest:
            room[split[group]] = max(0, room[split[group]] - n)
    return [split[group] for group in groups]
