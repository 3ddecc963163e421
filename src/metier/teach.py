"""teach: the generalist labels inputs that nobody has labelled; what passes the checks becomes training examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.tasks import OutputKind, Template
from metier.curation.pii import Scrubber
from metier.errors import BadInput, NotEnoughData
from metier.generalists import Generalist
from metier.progress import Progress, silent
from metier.teaching import reasons
from metier.teaching.lessons import Lesson, Taught, ask
from metier.teaching.screening import (
    TEACHER,
    VARIED,
    Candidate,
    Rejected,
    Screened,
    Scrub,
    candidates,
    screen,
    unanswered,
)
from metier.teaching.variation import vary

__all__ = ["TEACHER", "VARIED", "TeachSettings", "is_unfinished", "teach", "unanswered"]


class TeachSettings(BaseModel):
    """How the teacher is asked, and what is kept of what it says. What it may cost is [generalist] budget_usd."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(1, ge=1, le=16, description="Answers asked for each input.")
    agree: int | None = Field(
        None, ge=1, le=16, description="Answers of them that must be the same; not set means more than half."
    )
    temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description="Temperature of several answers and of variations; not set means the server's own, 0.8 with gguf.",
    )
    grounded: bool = Field(
        False, description="Keep a record only where every value that is no choice from a list occurs in the input."
    )
    vary: int = Field(
        0, ge=0, le=100_000, description="Inputs that the teacher writes itself, by rewriting training inputs."
    )
    near_duplicate_threshold: float = Field(
        0.9,
        ge=0.6,
        le=1,
        description="Similarity from which an input counts as a near-duplicate of a held-out one, and is left out",
    )

    @model_validator(mode="after")
    def _can_agree(self) -> Self:
        if self.agree is not None and self.agree > self.samples:
            raise ValueError(f"agree is {self.agree}, but only {self.samples} answers are asked for (samples)")
        return self

    @property
    def n_agree(self) -> int:
        """Answers that must be the same."""
        return self.agree or self.samples // 2 + 1


def teach(
    dataset: Dataset,
    inputs: Sequence[str],
    generalist: Generalist,
    settings: TeachSettings,
    *,
    template: Template | None = None,
    scrub_pii: bool = False,
    seed: int,
    progress: Progress = silent,
) -> Dataset:
    """`dataset` with more training examples: `inputs`, and variations of its training inputs, answered by `generalist`.

    The splits stay as they are; what is new is in train, with provenance "teacher" or "teacher, varied". What was left out
    is in `removed` with its reason. An input is left out before it is asked about where it is an example already or
    resembles a held-out one. `template` is the task's prompt, by default the dataset's. A generalist with a budget keeps to
    it over all that is asked here. `scrub_pii`: personal data are replaced as `curate` does it, in inputs before anybody is
    asked, in variations and in answers; it must be what the dataset was curated with.

    Raises NotEnoughData where there is nothing to ask about, or no answer was fit to be learnt from; GeneralistFailed where
    the teacher cannot be asked at all; BadInput where the task has no labels or no schema that an answer could fit;
    MissingExtra where personal data are to be replaced and the library for it is not installed.
    """
    scrubber = Scrubber() if scrub_pii else None
    lesson = _lesson(dataset, settings, template, scrubber)
    if not inputs and not settings.vary:
        raise NotEnoughData(
            f"task {dataset.task_name!r} has no unlabelled inputs; give a file of inputs, or let the teacher vary the "
            "known ones (vary)"
        )
    offered = candidates(inputs, scrub=scrubber)
    given = screen(dataset, offered, settings.near_duplicate_threshold, progress)
    bases = [*dataset.split("train")["input"], *(one.text for one in given.kept)]
    varied = vary(
        bases,
        settings.vary,
        generalist,
        temperature=settings.temperature,
        seed=seed,
        scrub=scrubber,
        progress=progress,
    )
    proposed = [*given.kept, *varied.candidates]
    screened = screen(dataset, proposed, settings.near_duplicate_threshold, progress) if varied.candidates else given
    taught = ask(screened.kept, generalist, lesson, progress)
    rejected = list(
        {one.id: one for one in (*given.rejected, *varied.rejected, *screened.rejected, *taught.rejected)}.values()
    )
    if not taught.outputs:
        raise NotEnoughData(
            f"task {dataset.task_name!r}: of {len(inputs):,} inputs and {len(varied.candidates):,} variations none became "
            f"an example: {_counted(rejected)}"
        )
    note = _note(generalist.name, screened, taught, rejected, settings, varied.cost_usd + taught.cost_usd)
    return _extended(dataset, screened, taught, rejected, (*(scrubber.notes() if scrubber else ()), note))


def is_unfinished(made: Dataset, source: Dataset) -> bool:
    """Whether teaching again may bring more: a server was away, or the budget was used up."""
    before = set(source.removed.select("id", "reason").iter_rows())
    passing = reasons.passing()
    return any(row[1] in passing and row not in before for row in made.removed.select("id", "reason").iter_rows())


def _lesson(dataset: Dataset, settings: TeachSettings, template: Template | None, scrub: Scrub | None) -> Lesson:
    if dataset.kind is OutputKind.PAGE:
        raise BadInput(f"task {dataset.task_name!r} answers with pages; a teacher labels label, fields and text tasks")
    if dataset.kind is OutputKind.FIELDS and not dataset.output_schema:
        raise BadInput(f"task {dataset.task_name!r} has no output_schema that an answer could be checked against")
    return Lesson(
        kind=dataset.kind,
        labels=dataset.classes,
        schema=dataset.output_schema,
        template=template or dataset.template,
        samples=settings.samples,
        agree=settings.n_agree,
        temperature=settings.temperature,
        grounded=settings.grounded,
        scrub=scrub,
    )


def _extended(
    dataset: Dataset, screened: Screened, taught: Taught, rejected: Sequence[Rejected], notes: tuple[str, ...]
) -> Dataset:
    learnt = [one for one in screened.kept if one.id in taught.outputs]
    rows = [_row(one, taught.outputs[one.id], screened.groups[one.id]) for one in learnt]
    removed = pl.DataFrame(
        [(one.id, one.text, one.output, one.reason, one.kept_id) for one in rejected],
        schema=REMOVED_SCHEMA,
        orient="row",
    )
    # What was tried before and failed, and is an example or has another reason now, is told once.
    settled = [one.id for one in learnt] + [one.id for one in rejected]
    earlier = dataset.removed.filter(~pl.col("id").is_in(settled))
    return replace(
        dataset,
        examples=pl.concat([dataset.examples, pl.DataFrame(rows, schema=EXAMPLE_SCHEMA)], how="diagonal"),
        removed=pl.concat([earlier, removed]),
        notes=(*dataset.notes, *notes),
    )


def _row(one: Candidate, output: str, group: str) -> dict[str, object]:
    known = {"id": one.id, "input": one.text, "output": output, "provenance": one.provenance, "group": group}
    return {name: known.get(name, "train" if name == "split" else None) for name in EXAMPLE_SCHEMA}


def _note(
    name: str,
    screened: Screened,
    taught: Taught,
    rejected: Sequence[Rejected],
    settings: TeachSettings,
    cost_usd: float,
) -> str:
    n = len(taught.outputs)
    n_varied = sum(one.provenance == VARIED for one in screened.kept if one.id in taught.outputs)
    how = f"{settings.n_agree} of {settings.samples} answers agreeing" if settings.samples > 1 else "one answer each"
    left_out = f"; left out: {_counted(rejected)}" if rejected else ""
    return (
        f"{n:,} training examples labelled by {name} ({how}), {n_varied:,} of them varied by it, for {cost_usd:.4f} USD"
        f"{left_out}"
    )


def _counted(rejected: Sequence[Rejected]) -> str:
    counts = Counter(one.reason for one in rejected)
    return ", ".join(f"{n:,} {reason}" for reason, n in counts.most_common()) or "there were none"
