"""From labelled calls to distinct examples in groups: duplicates, contradictions and leaks are settled here."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from metier.artefacts.datasets import Contradiction
from metier.artefacts.tasks import OutputKind
from metier.curation import reasons
from metier.curation.agreement import Copy, contradiction, settle
from metier.curation.boilerplate import without_boilerplate
from metier.curation.duplicates import near_pairs
from metier.curation.given import RANK_OF_SIDE
from metier.curation.grouping import bind, leaking_groups, leaking_rows, row_pairs
from metier.curation.kinds import vote_of
from metier.curation.ood import Gathered
from metier.curation.texts import duplicate_key
from metier.progress import Progress, silent

IntArray = npt.NDArray[np.int64]

_OOD_RANK = 1 + max(RANK_OF_SIDE.values())
# Near-duplicates with different labels that are listed one by one; the count is always told.
_LISTED_NEAR = 200


@dataclass(frozen=True)
class Pruned:
    """`rows` are all calls, with `reason` (null: an example), `kept` (position of the row kept in its place) and `bound`
    (group number, shared by rows and extras). `extras` are the out-of-scope inputs that are no calls of the task."""

    rows: pl.DataFrame
    extras: tuple[str, ...]
    extra_bound: tuple[int, ...]
    contradictions: tuple[Contradiction, ...]
    ood_source: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass
class _Ledger:
    """What has been decided so far, by row position."""

    reason: list[str | None]
    kept: list[int | None]
    donor: dict[int, int] = field(default_factory=dict)
    contradictions: list[Contradiction] = field(default_factory=list)

    def remove(self, position: int, reason: str, kept: int | None) -> None:
        self.reason[position] = reason
        self.kept[position] = kept


def deduplicate(gathered: Gathered, kind: OutputKind, threshold: float, progress: Progress = silent) -> Pruned:
    """Keep one example per input, bind near-duplicates into groups, and free given held-out sides of leaks.

    Near-duplicates on two sides are a leak where their answers agree; those of records and texts, which hardly ever agree
    altogether, always are.
    """
    rows = gathered.rows
    keys = [_key(text or "") for text in rows["input"]]
    ledger = _Ledger(rows["reason"].to_list(), [None] * rows.height)
    _settle_copies(rows, keys, vote_of(kind), ledger)
    known = {keys[i] for i in _alive(rows, ledger, ood=False)}
    _settle_ood(rows, keys, known, ledger)
    extras = _new_extras(gathered.extras, known | {keys[i] for i in _alive(rows, ledger, ood=True)})
    positions = np.array(sorted(_alive(rows, ledger, ood=False) + _alive(rows, ledger, ood=True)), dtype=np.int64)
    item_keys = [keys[i] for i in positions] + [_key(text) for text in extras]
    first = {key: i for i, key in reversed(list(enumerate(item_keys)))}
    number = {key: i for i, key in enumerate(dict.fromkeys(item_keys))}
    numbers = np.array([number[key] for key in item_keys], dtype=np.int64)
    texts = pl.concat([rows["input"][positions], pl.Series("input", extras, dtype=pl.String)])
    telling = without_boilerplate(texts[[first[key] for key in number]].to_list())
    pairs = row_pairs(numbers, near_pairs([duplicate_key(text) for text in telling], threshold, progress))
    return _bound(gathered, kind is OutputKind.LABEL, rows, ledger, positions, extras, pairs)


def _key(text: str) -> bytes:
    """The digest of a text's `duplicate_key`: inputs may be long, and many."""
    return hashlib.blake2b(duplicate_key(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _alive(rows: pl.DataFrame, ledger: _Ledger, *, ood: bool) -> list[int]:
    return [i for i, side in enumerate(rows["side"]) if ledger.reason[i] is None and (side == "ood") == ood]


def _settle_copies(rows: pl.DataFrame, keys: list[bytes], vote: Callable[[str], str], ledger: _Ledger) -> None:
    copies: dict[bytes, list[int]] = defaultdict(list)
    for position in _alive(rows, ledger, ood=False):
        copies[keys[position]].append(position)
    several = [positions for positions in copies.values() if len(positions) > 1]
    if not several:
        return
    output, provenance, side = (rows[name].to_list() for name in ("output", "provenance", "side"))
    measured = rows["recorded"].is_not_null().to_list()
    for positions in several:
        said: dict[str, str] = {}
        settled = settle(
            [
                Copy(
                    i,
                    said.setdefault(vote(output[i]), output[i]),
                    provenance[i],
                    RANK_OF_SIDE.get(side[i] or "train", 0),
                    side[i] == "test",
                    measured[i],
                )
                for i in positions
            ]
        )
        for position, (reason, kept) in settled.removed.items():
            ledger.remove(position, reason, kept)
        if settled.measured is not None:
            ledger.donor[settled.kept[0]] = settled.measured
        found = contradiction(rows["input"][positions[0]], settled)
        ledger.contradictions += [found] if found else []


def _settle_ood(rows: pl.DataFrame, keys: list[bytes], known: set[bytes], ledger: _Ledger) -> None:
    first: dict[bytes, int] = {}
    for position in _alive(rows, ledger, ood=True):
        if keys[position] in known:
            ledger.remove(position, reasons.OUT_OF_SCOPE_KNOWN, None)
        elif first.setdefault(keys[position], position) != position:
            ledger.remove(position, reasons.EXACT_DUPLICATE, first[keys[position]])


def _new_extras(extras: tuple[str, ...], known: set[bytes]) -> list[str]:
    chosen: dict[bytes, str] = {}
    for text in extras:
        key = _key(text)
        if key not in known:
            chosen.setdefault(key, text)
    return list(chosen.values())


def _bound(
    gathered: Gathered,
    has_labels: bool,
    rows: pl.DataFrame,
    ledger: _Ledger,
    positions: IntArray,
    extras: list[str],
    pairs: IntArray,
) -> Pruned:
    chosen = rows[positions]
    n_rows = len(positions)
    n = n_rows + len(extras)
    ranks = np.full(n, _OOD_RANK, dtype=np.int64)
    ranks[:n_rows] = [_OOD_RANK if side == "ood" else RANK_OF_SIDE.get(side or "train", 0) for side in chosen["side"]]
    groups = np.full(n, -1, dtype=np.int64)
    groups[:n_rows] = _numbered(chosen["group"], empty=-1)
    labels = np.full(n, -1, dtype=np.int64)
    labels[:n_rows] = _numbered(chosen["output"], empty=-1) if has_labels else 0
    in_scope = pairs[(ranks[pairs] < _OOD_RANK).all(axis=1)]
    gone = _remove_leaks(ledger, positions, in_scope, groups, ranks, labels)
    dropped = _foreign_lookalikes(gathered, pairs, n_rows)
    listed, n_near = _near_contradictions(chosen, in_scope, labels, gone)
    bound = bind(n, pairs, groups, ranks)
    by_position: list[int | None] = [None] * rows.height
    for position, group in zip(positions.tolist(), bound[:n_rows].tolist(), strict=True):
        by_position[position] = group
    stays = [i for i in range(len(extras)) if n_rows + i not in dropped][: gathered.limit]
    return Pruned(
        rows=_taken_over(rows, ledger)
        .with_row_index("position")
        .with_columns(
            reason=pl.Series(ledger.reason, dtype=pl.String),
            kept=pl.Series(ledger.kept, dtype=pl.Int64),
            bound=pl.Series(by_position, dtype=pl.Int64),
        ),
        extras=tuple(extras[i] for i in stays),
        extra_bound=tuple(int(bound[n_rows + i]) for i in stays),
        contradictions=(*ledger.contradictions, *listed),
        ood_source=gathered.source,
        notes=_notes(ledger, len(dropped), n_near),
        warnings=_warnings(ledger, n_rows),
    )


def _numbered(values: pl.Series, empty: int) -> list[int]:
    numbers: dict[str, int] = {}
    return [empty if value is None else numbers.setdefault(value, len(numbers)) for value in values]


def _remove_leaks(
    ledger: _Ledger, positions: IntArray, pairs: IntArray, groups: IntArray, ranks: IntArray, labels: IntArray
) -> set[int]:
    held = np.where(ranks == _OOD_RANK, -1, ranks)
    by_group = set(
        np.flatnonzero(leaking_groups(groups, held)[: len(positions)] & (held[: len(positions)] >= 0)).tolist()
    )
    for item in by_group:
        ledger.remove(int(positions[item]), reasons.GROUP_LEAKS, None)
    left = pairs[~np.isin(pairs, list(by_group)).any(axis=1)] if by_group else pairs
    by_text = leaking_rows(left, ranks, labels)
    for low, high in by_text.items():
        ledger.remove(int(positions[low]), reasons.LEAKS, int(positions[high]))
    return by_group | set(by_text)


def _foreign_lookalikes(gathered: Gathered, pairs: IntArray, n_rows: int) -> set[int]:
    """Extras from other tasks that resemble an input of the task itself, or an earlier extra."""
    if not gathered.foreign:
        return set()
    dropped: set[int] = set()
    ordered = np.sort(pairs, axis=1)
    ordered = ordered[ordered[:, 1] >= n_rows]
    for first, second in ordered[np.lexsort((ordered[:, 0], ordered[:, 1]))].tolist():
        if first < n_rows or first not in dropped:
            dropped.add(second)
    return dropped


def _near_contradictions(
    chosen: pl.DataFrame, pairs: IntArray, labels: IntArray, gone: set[int]
) -> tuple[list[Contradiction], int]:
    differ = pairs[(labels[pairs[:, 0]] != labels[pairs[:, 1]]) & ~np.isin(pairs, list(gone)).any(axis=1)]
    text, output = chosen["input"], chosen["output"]
    listed = [
        Contradiction(
            text[a], ((output[a], 1), (output[b], 1)), f"kept both, in one group: nearly the same as {text[b]!r}"
        )
        for a, b in differ[:_LISTED_NEAR].tolist()
    ]
    return listed, len(differ)


def _taken_over(rows: pl.DataFrame, ledger: _Ledger) -> pl.DataFrame:
    """A labelled record that was also seen as a call takes over what the model answered and what that cost."""
    if not ledger.donor:
        return rows
    source = list(range(rows.height))
    for kept, donor in ledger.donor.items():
        source[kept] = donor
    columns = ["recorded", "input_tokens", "output_tokens", "latency_s", "cost_usd"]
    return rows.with_columns(rows[source].select(columns))


def _notes(ledger: _Ledger, n_dropped: int, n_near: int) -> tuple[str, ...]:
    counts = Counter(reason for reason in ledger.reason if reason is not None)
    told = [f"removed {count:,}: {reason}" for reason, count in counts.most_common()]
    told += [
        f"{len(ledger.donor):,} labelled records were also seen as calls and took over what the model answered"
    ] * bool(ledger.donor)
    told += [f"{n_near:,} pairs of near-duplicates have different labels; both of each were kept"] * bool(n_near)
    told += [f"{n_dropped:,} inputs of other tasks were left out of ood: near-duplicates"] * bool(n_dropped)
    return tuple(told)


def _warnings(ledger: _Ledger, n_kept: int) -> tuple[str, ...]:
    counts = Counter(reason for reason in ledger.reason if reason is not None)
    found = []
    unusable = sum(counts[reason] for reason in (reasons.NO_RECORD, reasons.RECORD_IN_PROSE, reasons.INVALID_RECORD))
    if unusable > 0.05 * max(1, n_kept):
        found.append(f"{unusable:,} answers are no record that fits the schema: see `removed` and `notes`")
    if counts[reasons.GROUP_LEAKS]:
        found.append(
            f"{counts[reasons.GROUP_LEAKS]:,} examples were removed because their group is also on a held-out side of the"
            " splits given: check that `group` and `split` agree"
        )
    if counts[reasons.STRAY_OUTPUT] > 0.05 * max(1, n_kept):
        found.append(f"{counts[reasons.STRAY_OUTPUT]:,} outputs are free text rather than labels: see `removed`")
    return tuple(found)
