"""`metier curate`: a task's calls become examples, split so that what is measured later can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from metier.artefacts.datasets import Dataset
from metier.artefacts.tasks import Audit, OutputKind, Task
from metier.artefacts.traffic import Traffic
from metier.curation.assembly import assemble
from metier.curation.deduplication import deduplicate
from metier.curation.given import sides
from metier.curation.ood import gather
from metier.curation.pii import Scrubber
from metier.curation.reading import find_task, read_calls
from metier.curation.splitting import Shares
from metier.curation.texts import clean
from metier.curation.verdicts import label_rows
from metier.errors import BadInput
from metier.generalists.prompts import task_template
from metier.progress import Progress, silent

# Texts that are held as Python strings at one time.
_AT_ONCE = 2_000


class CurateSettings(BaseModel):
    """How examples are made of calls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    near_duplicate_threshold: float = Field(
        0.9,
        ge=0.6,
        le=1,
        description="Similarity (2 LCS / total length) from which two inputs are near-duplicates; 1 = none are",
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=0.6, description="Share of the examples for test, where no split is given"
    )
    calibration_fraction: float = Field(
        0.2, gt=0, lt=0.6, description="Share of the examples for calibration, where no split is given"
    )
    tune_fraction: float = Field(
        0.1, gt=0, lt=0.6, description="Share of the examples for tune, where no split is given"
    )
    min_split_size: int = Field(
        10, ge=1, description="Fewest examples that train, tune, calibration and test may each have"
    )
    time_order: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Hold out the newest examples: where times span min_span_days, wherever there are times, never",
    )
    min_span_days: float = Field(
        2.0, ge=0, description="Shortest span in days in which time_order = auto holds out the newest"
    )
    max_label_chars: int = Field(100, ge=1, description="Longer labels are removed: a label is a name, not a text")
    ood_size: int = Field(
        1000, ge=0, description="Most out-of-scope inputs taken from other tasks, where none are given"
    )
    scrub_pii: bool = Field(False, description="Replace personal data by typed placeholders; needs the pii extra")

    @model_validator(mode="after")
    def _leaves_something_to_train_on(self) -> Self:
        held_out = self.test_fraction + self.calibration_fraction + self.tune_fraction
        if held_out > 0.9:
            raise ValueError(
                f"test, calibration and tune fractions add up to {held_out:.2f}; leave at least 0.1 for train"
            )
        return self


def curate(
    audit: Audit,
    task_name: str,
    traffic: Traffic,
    settings: CurateSettings,
    *,
    seed: int,
    ood_inputs: Sequence[str] | None = None,
    progress: Progress = silent,
) -> Dataset:
    """Make a Dataset of one task's calls.

    Args:
        audit: where the task was found, with the calls assigned to it.
        task_name: name or id of the task.
        traffic: the traffic that was audited.
        settings: see CurateSettings.
        seed: of every random choice; the same seed on the same data gives the same dataset.
        ood_inputs: inputs that do not belong to the task; without them (or records with split "ood") inputs of the
            audit's other tasks are taken.
        progress: told how far it is.

    Raises:
        NotFound: the audit has no such task.
        BadInput: the task's inputs are pages, a record's split name is not known, or the JSON Schema that its requests
            state is none.
        NotEnoughData: too few usable examples or labels; says how many there are and what was removed.
        MissingExtra: personal data are to be scrubbed and the library for it is not installed.
    """
    task = _text_task(find_task(audit, task_name))
    split_seed, ood_seed = np.random.SeedSequence(seed).spawn(2)
    scrubber = Scrubber() if settings.scrub_pii else None
    rows = read_calls(audit, task, traffic, progress)
    rows = rows.with_columns(input=_each(rows["input"], clean))
    if scrubber:
        rows = _scrubbed(rows, scrubber, progress)
    labelled = label_rows(rows, task, settings.max_label_chars)
    meanings = sides(labelled.rows["split"].to_list())
    rows = labelled.rows.with_columns(
        side=pl.Series([meanings[name] for name in labelled.rows["split"]], dtype=pl.String)
    )
    gathered = gather(audit, task, rows, ood_inputs, settings.ood_size, scrubber, np.random.default_rng(ood_seed))
    pruned = deduplicate(gathered, task.kind, settings.near_duplicate_threshold, progress)
    return assemble(
        task,
        labelled,
        pruned,
        Shares(settings.tune_fraction, settings.calibration_fraction, settings.test_fraction),
        settings.time_order,
        settings.min_span_days,
        settings.min_split_size,
        scrubber.notes() if scrubber else (),
        task_template(task),
        np.random.default_rng(split_seed),
    )


def _text_task(task: Task) -> Task:
    if task.kind is OutputKind.PAGE:
        raise BadInput(
            f"Task {task.name!r} reads images; this version trains tasks that read text. `metier audit` shows the output"
            " kind of every task."
        )
    return task


def _each(texts: pl.Series, change: Callable[[str], str]) -> pl.Series:
    """Every text changed, some at a time: as Python strings all of them may take much more room."""
    parts = [
        pl.Series(texts.name, [None if text is None else change(text) for text in part], dtype=pl.String)
        for part in (texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE))
    ]
    return pl.concat(parts) if parts else texts


def _scrubbed(rows: pl.DataFrame, scrubber: Scrubber, progress: Progress) -> pl.DataFrame:
    """Every text that a dataset could hold, without personal data; equal texts stay equal."""
    return rows.with_columns(
        pl.Series(name, scrubber.scrub_all(rows[name].to_list(), progress), dtype=pl.String)
        for name in ("input", "response", "correction", "reference")
    )
