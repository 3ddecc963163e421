"""Brings files of calls into the store: streaming, in constant memory, resumable, nothing twice, nothing dropped."""

from __future__ import annotations

import gc
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from metier.artefacts.traffic import Trace
from metier.errors import BadInput, NotFound
from metier.progress import Progress, silent
from metier.sources.decoding import outcomes, parsed
from metier.sources.detection import READERS, Layout, detect
from metier.sources.outcomes import Flawed, Outcome, Rejected
from metier.sources.readers import Item
from metier.sources.registry import LABELLED, SOURCES
from metier.sources.streams import CHUNK_BYTES, open_stream
from metier.sources.traces import Context
from metier.store.traffic import Batch, ImportRecord, Located, Refused, TrafficStore

DEFAULT_MAX_LINE_BYTES = 16 * 1024 * 1024
# One transaction: large enough that commits cost nothing, small enough for memory and for what a kill can undo.
BATCH_ITEMS = 10_000
BATCH_BYTES = 32 * 1024 * 1024
_COLLECT_AFTER = 200_000  # objects; a few batches' worth


@dataclass(frozen=True)
class FileReport:
    """What this run did with one file. Counts are of this run; `quarantined`, `skipped` and `warnings` count by reason.

    `already_imported`: the same bytes had been imported in full, nothing was read again (`n_present` then counts what they
    hold). `resumed_at` lines or records had been read by an earlier run that was cut off.
    """

    path: str
    format: str
    dataset: str | None
    size_bytes: int
    n_items: int
    n_added: int
    n_present: int
    n_judged: int
    quarantined: dict[str, int]
    skipped: dict[str, int]
    warnings: dict[str, int]
    wall_s: float
    already_imported: bool = False
    resumed_at: int = 0
    note: str = ""

    @property
    def n_quarantined(self) -> int:
        return sum(self.quarantined.values())


@dataclass(frozen=True)
class ImportReport:
    """What an import did, file by file; `traffic_id` is the traffic's id afterwards."""

    files: tuple[FileReport, ...]
    n_traces: int
    traffic_id: str
    wall_s: float

    @property
    def n_added(self) -> int:
        return sum(file.n_added for file in self.files)

    @property
    def n_present(self) -> int:
        return sum(file.n_present for file in self.files)

    @property
    def n_quarantined(self) -> int:
        return sum(file.n_quarantined for file in self.files)


@dataclass(frozen=True)
class _Plan:
    """One file and how to read it."""

    path: Path
    size_bytes: int
    layout: Layout
    dataset: str | None


@dataclass
class _Pending:
    """The batch being filled."""

    traces: list[Located] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    n_items: int = 0
    n_bytes: int = 0

    def take(self, item: Item, found: Outcome, place: str) -> None:
        if isinstance(found, Trace):
            self.traces.append(Located(found, item.line, item.data, place))
        elif isinstance(found, Flawed):
            self.traces.append(Located(found.trace, item.line, item.data, place))
            self.warnings.update(found.warnings)
        elif isinstance(found, Rejected):
            self.refused.append(Refused(item.line, found.reason, found.detail, item.data, item.size_bytes, place))
        else:
            self.skipped[found.reason] += 1

    def batch(self) -> Batch:
        return Batch(self.traces, self.refused, self.n_items, self.skipped, self.warnings)


def import_files(
    paths: Sequence[str | Path],
    store: TrafficStore,
    *,
    format: str | None = None,
    dataset: str | None = None,
    encoding: str | None = None,
    input_column: str | None = None,
    output_column: str | None = None,
    max_line_bytes: int = DEFAULT_MAX_LINE_BYTES,
    clock: Callable[[], float] = time.time,
    progress: Progress = silent,
) -> ImportReport:
    """Reads the files into the store and says what became of every line.

    `format` is a key of SOURCES, found out from the first lines where it is None. `dataset` names labelled records
    (default: each file's stem). A run that was cut off, by Ctrl-C, kill -9 or a full disk, is resumed by calling this
    again; a file that is known, under whatever name, adds nothing. A bad line goes to quarantine with file, line, reason.

    Raises, before anything is written, NotFound for a missing file and BadInput for a file in no known format; StoreBusy
    where another import is running.
    """
    if format is not None and format not in SOURCES:
        raise BadInput(f"unknown format {format!r}; known are {', '.join(SOURCES)}")
    began = time.perf_counter()
    named = bool(input_column or output_column)
    plans = [_plan(Path(path), format, dataset, encoding, max_line_bytes, named) for path in paths]
    reports = []
    with store.importing(), _rare_collections():
        for plan in plans:
            context = Context(0, plan.dataset, None, input_column, output_column)
            reports.append(_import_file(plan, store, context, encoding, max_line_bytes, clock, progress))
    return ImportReport(tuple(reports), len(store), store.id, time.perf_counter() - began)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Cyclic garbage is collected less often: a batch holds thousands of records without a cycle, and walking them again
    and again costs some 7% of an import."""
    before = gc.get_threshold()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _plan(
    path: Path, format: str | None, dataset: str | None, encoding: str | None, max_line_bytes: int, named: bool
) -> _Plan:
    if not path.exists():
        raise NotFound(f"{path}: no such file")
    if not path.is_file():
        raise BadInput(f"{path} is no regular file; name the files in it (a pipe must be written to a file first)")
    size_bytes = path.stat().st_size
    try:
        layout = detect(path, size_bytes, max_line_bytes, format, encoding, named)
    except OSError as problem:
        raise BadInput(f"{path} cannot be read: {problem.strerror or problem}") from problem
    labelled = layout.format in LABELLED
    return _Plan(path, size_bytes, layout, dataset or (stem(path) if labelled else None))


def stem(path: Path) -> str:
    """The file's name without its endings: train.jsonl.gz is `train`."""
    name = _name(Path(path.name))
    return name.split(".", 1)[0] or name


def _name(path: Path) -> str:
    """The path as text that can be stored, also where the file system holds a name that is no UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def _import_file(
    plan: _Plan,
    store: TrafficStore,
    context: Context,
    encoding: str | None,
    max_line_bytes: int,
    clock: Callable[[], float],
    progress: Progress,
) -> FileReport:
    began = time.perf_counter()
    if plan.layout.empty:
        return _report(plan, began, note="the file is empty")
    digest = _sha256(plan, progress)
    # How the bytes were read belongs to what was imported: other columns give other traces.
    reading = "/".join(filter(None, (plan.layout.format, encoding, context.input_column, context.output_column)))
    before = store.begin_import(
        path=_name(plan.path),
        sha256=digest,
        size_bytes=plan.size_bytes,
        format=reading,
        dataset=plan.dataset,
        now=clock(),
    )
    if before.done:
        return _report(plan, began, before)
    after = before
    position = 0

    def on_read(value: int) -> None:
        nonlocal position
        position = value

    with open_stream(plan.path, plan.size_bytes, encoding, on_read) as stream:
        items = READERS[plan.layout.reader](stream, max_line_bytes)
        for batch in _batches(items, before.n_items, plan.layout.format, context):
            after = store.add(before.id, batch, clock())
            progress(f"import {plan.path.name}", position, plan.size_bytes)
    after = store.finish_import(before.id, clock())
    progress(f"import {plan.path.name}", plan.size_bytes, plan.size_bytes)
    return _report(plan, began, before, after)


def _batches(items: Iterator[Item], n_done: int, format: str, context: Context) -> Iterator[Batch]:
    source = SOURCES[format]
    pending = _Pending()
    _, dataset, _, input_column, output_column = context
    for number, item in enumerate(islice(items, n_done, None), n_done):
        if item.problem is not None:
            pending.take(item, item.problem, str(number))
        else:
            here = Context(item.line, dataset, item.key, input_column, output_column)
            found = outcomes(source, item.data, here) if item.row is None else parsed(source, item.row, here)
            for nth, outcome in enumerate(found):
                pending.take(item, outcome, f"{number}.{nth}" if nth else str(number))
        pending.n_items += 1
        pending.n_bytes += len(item.data)
        if pending.n_items >= BATCH_ITEMS or pending.n_bytes >= BATCH_BYTES:
            yield pending.batch()
            pending = _Pending()
    if pending.n_items:
        yield pending.batch()


def _sha256(plan: _Plan, progress: Progress) -> str:
    digest = hashlib.sha256()
    left = plan.size_bytes
    with plan.path.open("rb") as file:
        while left and (chunk := file.read(min(left, 8 * CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
            progress(f"check {plan.path.name}", plan.size_bytes - left, plan.size_bytes)
    return digest.hexdigest()


def _report(
    plan: _Plan, began: float, before: ImportRecord | None = None, after: ImportRecord | None = None, note: str = ""
) -> FileReport:
    """What lies between two states of an import; for one that was complete before, what it holds."""
    known = before is not None and before.done
    empty: dict[str, int] = {}
    return FileReport(
        path=_name(plan.path),
        format=plan.layout.format,
        dataset=plan.dataset,
        size_bytes=plan.size_bytes,
        n_items=after.n_items - before.n_items if before and after else 0,
        n_added=after.n_added - before.n_added if before and after else 0,
        n_present=before.n_added + before.n_present if before and known else _gain(before, after),
        n_judged=after.n_judged - before.n_judged if before and after else 0,
        quarantined=_counter_gain(before.quarantined, after.quarantined) if before and after else empty,
        skipped=_counter_gain(before.skipped, after.skipped) if before and after else empty,
        warnings=_counter_gain(before.warnings, after.warnings) if before and after else empty,
        wall_s=time.perf_counter() - began,
        already_imported=known,
        resumed_at=before.n_items if before and not known else 0,
        note=note,
    )


def _gain(before: ImportRecord | None, after: ImportRecord | None) -> int:
    return after.n_present - before.n_present if before and after else 0


def _counter_gain(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return dict((Counter(after) - Counter(before)).most_common())
