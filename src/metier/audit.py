"""audit: what recurs in this traffic, and what of it is worth specialising."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from metier.artefacts.estimates import Estimate, not_scored
from metier.artefacts.tasks import ASSIGNMENT_SCHEMA, Affinity, Audit, OutputKind, Task, TaskAudit, Template
from metier.artefacts.traffic import Traffic
from metier.errors import BadSettings
from metier.generalists.prices import list_price
from metier.mining.assigning import UNASSIGNED, Tally, assign_calls
from metier.mining.costs import CHARS_A_TOKEN, CostBasis, Priced, Span, cost_note, measure_span
from metier.mining.naming import describe, make_unique, name_task, task_id
from metier.mining.outputs import Output, read_output
from metier.mining.sampling import sample_prompts
from metier.mining.savings import project_saving, writing_usd_month
from metier.mining.separation import measure_affinity
from metier.mining.units import OPEN_ENDED, Unit, group_calls
from metier.mining.verdicts import LabelNeeds, is_closed, judge
from metier.progress import Progress, silent

# A template must be shared by a fiftieth of a small log's prompts, and by five in any case, to be more than chance.
_SMALL_LOG_SHARE = 50
_LEAST_SUPPORT = 5


class AuditSettings(BaseModel):
    """What `metier audit` may be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_size: int = Field(20_000, ge=100, le=200_000, description="Distinct prompts that templates are mined from.")
    min_calls: int = Field(20, ge=2, description="Sampled prompts that must share a template before it counts.")
    reference_model: str = Field("gpt-4o", description="Model whose list price is taken for calls of unknown models.")
    coverage_low: float = Field(
        0.5, gt=0, le=1, description="Share of calls a specialist would answer itself, at worst."
    )
    coverage_high: float = Field(
        0.9, gt=0, le=1, description="Share of calls a specialist would answer itself, at best."
    )
    running_usd_low: float = Field(
        100.0, gt=0, description="A specialist's running cost a month in US dollars, at best."
    )
    running_usd_high: float = Field(
        900.0, gt=0, description="A specialist's running cost a month in US dollars, at worst."
    )
    min_labels: int = Field(300, ge=1, description="Distinct labelled inputs a task needs at least.")
    labels_per_class: int = Field(10, ge=1, description="Distinct labelled inputs a task needs for each of its labels.")
    affinity: bool = Field(True, description="Measure how separable each task's inputs are from the rest.")


def audit(traffic: Traffic, settings: AuditSettings, *, seed: int = 0, progress: Progress = silent) -> Audit:
    """The tasks found in a traffic, each with what it costs and a verdict.

    Two passes over the traffic: a sample of distinct prompts gives the templates, then every call is matched with them.

    Raises:
        BadSettings: a range is upside down, or the reference model has no list price.
    """
    price_of = _price_table(settings)
    # Many small matrices: more threads only wait for one another.
    with threadpool_limits(limits=1):
        return _audit(traffic, settings, price_of, seed, progress)


def _audit(
    traffic: Traffic, settings: AuditSettings, price_of: Callable[[str], Priced], seed: int, progress: Progress
) -> Audit:
    sample = sample_prompts(traffic, settings.sample_size, seed, progress)
    support = max(_LEAST_SUPPORT, min(settings.min_calls, len(sample.calls) // _SMALL_LOG_SHARE))
    grouping = group_calls(sample, support, seed, progress)
    calls, tallies = assign_calls(traffic, grouping, price_of, progress)
    is_call = calls["cost_basis"] != int(CostBasis.NO_CALL)
    span = measure_span(calls["time"].filter(is_call))
    jobs = _jobs(grouping.units, tallies, calls)
    bill = float(calls["cost_usd"].sum()) * span.scale
    rows = []
    for number, job in enumerate(jobs):
        rows.append(_audit_job(job, calls, bill, span, settings, seed))
        progress("Auditing tasks", number + 1, len(jobs))
    rows.sort(key=lambda row: (-row.cost_usd_month, -row.n_calls, row.task.id))
    names = make_unique([row.task.name for row in rows])
    tasks = tuple(
        dataclasses.replace(row, task=dataclasses.replace(row.task, name=name))
        for row, name in zip(rows, names, strict=True)
    )
    costs = cost_note(calls["cost_basis"], settings.reference_model, _price_source(settings))
    return Audit(
        n_traces=calls.height,
        n_unassigned=int((calls["unit"] == UNASSIGNED).sum()),
        span_days=span.days,
        cost_usd_month=bill,
        cost_note=f"{costs} {span.note}".strip() if is_call.any() else "No calls, no costs.",
        tasks=tasks,
        assignments=_assignments(calls, grouping.units, jobs),
    )


def _price_table(settings: AuditSettings) -> Callable[[str], Priced]:
    if settings.coverage_low > settings.coverage_high or settings.running_usd_low > settings.running_usd_high:
        raise BadSettings(
            f"A range is upside down: coverage {settings.coverage_low} to {settings.coverage_high}, running cost "
            f"{settings.running_usd_low} to {settings.running_usd_high} USD a month. Give the lower value as `_low`."
        )
    reference = list_price(settings.reference_model)
    if reference is None:
        raise BadSettings(
            f"No list price is known for reference_model {settings.reference_model!r}: name another model."
        )

    @functools.cache
    def price_of(model: str) -> Priced:
        known = list_price(model)
        price = known or reference
        return Priced(price.cost_usd(1, 0), price.cost_usd(0, 1), known is None)

    return price_of


def _price_source(settings: AuditSettings) -> str:
    price = list_price(settings.reference_model)
    return price.source if price else ""


@dataclasses.dataclass(frozen=True)
class _Job:
    """The units that are one task, with their tallies added up and their calls counted by unit."""

    id: str
    units: tuple[int, ...]
    templates: tuple[Template, ...]
    tally: Tally
    dataset: str | None
    is_open_ended: bool
    is_pooled: bool


def _jobs(units: Sequence[Unit], tallies: Sequence[Tally], calls: pl.DataFrame) -> list[_Job]:
    """The jobs that at least one call belongs to."""
    n_calls = dict(calls["unit"].value_counts().iter_rows())
    members: dict[int, list[int]] = {}
    for number, unit in enumerate(units):
        if n_calls.get(number):
            members.setdefault(unit.job, []).append(number)
    return [_make_job(numbers, units, tallies, n_calls) for numbers in members.values()]


def _make_job(numbers: list[int], units: Sequence[Unit], tallies: Sequence[Tally], n_calls: dict[int, int]) -> _Job:
    first = units[numbers[0]]
    per_template: Counter[str] = Counter()
    by_id: dict[str, Template] = {}
    total = Tally()
    for number in numbers:
        template, tally = units[number].template, tallies[number]
        per_template[template.id] += n_calls[number]
        by_id[template.id] = template
        total.merge(tally)
    templates = tuple(dataclasses.replace(by_id[key], n_calls=n) for key, n in per_template.most_common())
    parts = sorted({f"{units[number].template.id}/{units[number].part}" for number in numbers})
    is_open_ended = all(units[number].is_open_ended for number in numbers)
    is_pooled = is_open_ended and first.job == 0
    identity = first.dataset or (OPEN_ENDED if is_pooled else "\n".join(parts))
    return _Job(
        task_id(identity),
        tuple(numbers),
        templates,
        total,
        first.dataset,
        is_open_ended,
        is_pooled,
    )


def _audit_job(
    job: _Job, calls: pl.DataFrame, bill: float, span: Span, settings: AuditSettings, seed: int
) -> TaskAudit:
    inside = calls["unit"].is_in(job.units)
    rows = calls.filter(inside)
    output = read_output(rows, job.tally, job.is_open_ended)
    is_record = job.dataset is not None
    cost = float(rows["cost_usd"].sum()) * span.scale
    saving = not_scored(rows.height) if is_record else _saving(cost, rows, output, span, settings, seed)
    n_distinct = rows["input_key"].n_unique()
    needs = LabelNeeds(settings.min_labels, settings.labels_per_class)
    # Instructions of some length, and answers drawn from the input, make a task of what users write in their own words.
    is_open = job.is_open_ended and (job.is_pooled or not is_closed(output))
    verdict, reason = judge(output, saving, n_distinct, is_open, needs)
    n_human = int(rows["is_human"].sum())
    return TaskAudit(
        task=_make_task(job, output),
        n_calls=rows.height,
        calls_per_month=0.0 if is_record else rows.height * span.scale,
        cost_usd_month=cost,
        bill_share=cost / bill if bill else 0.0,
        n_human_labels=n_human,
        n_teacher_labels=int((rows["answer_key"].is_not_null() & ~rows["is_human"]).sum()),
        n_feedback=int(rows["is_judged"].sum()),
        variability=n_distinct / rows.height,
        definedness=output.definedness,
        affinity=_affinity(calls, inside, seed) if settings.affinity else None,
        saving_usd_month=saving,
        verdict=verdict,
        reason=reason,
    )


def _saving(
    cost: float, rows: pl.DataFrame, output: Output, span: Span, settings: AuditSettings, seed: int
) -> Estimate:
    coverage = (settings.coverage_low, settings.coverage_high)
    running = (settings.running_usd_low, settings.running_usd_high)
    if output.kind is not OutputKind.LABEL:
        read = float(rows["input"].str.len_chars().sum()) / rows.height / CHARS_A_TOKEN
        written = output.definedness.mean_length_chars / CHARS_A_TOKEN
        running = writing_usd_month(rows.height * span.scale, read, written, running)
    return project_saving(cost, span.days, coverage, running, rows.height, seed)


def _affinity(calls: pl.DataFrame, inside: pl.Series, seed: int) -> Affinity | None:
    """How separable the inputs of a task are from those of all other tasks; None where there is nothing to compare."""
    assigned = calls["unit"] != UNASSIGNED
    return measure_affinity(calls.filter(inside), calls.filter(~inside & assigned), seed)


def _make_task(job: _Job, output: Output) -> Task:
    if job.dataset is not None:
        name, description = job.dataset, f"Labelled records of {job.dataset}."
    elif job.is_pooled:
        name, description = OPEN_ENDED, "Open questions with no recurring instructions."
    else:
        name = name_task(output.kind, job.templates, job.tally.wrappers, job.tally.keys or job.tally.wrappers)
        description = describe(job.templates)
    return Task(job.id, name, description, job.templates, output.kind, output.labels, output.output_schema)


def _assignments(calls: pl.DataFrame, units: Sequence[Unit], jobs: Sequence[_Job]) -> pl.DataFrame:
    task_of = {number: job.id for job in jobs for number in job.units}
    table = pl.DataFrame(
        {
            "unit": np.array(list(task_of), dtype=np.int32),
            "task_id": list(task_of.values()),
            "template_id": [units[number].template.id for number in task_of],
        },
        schema={"unit": pl.Int32(), "task_id": pl.String(), "template_id": pl.String()},
    )
    joined = calls.lazy().join(table.lazy(), on="unit", how="left", maintain_order="left")
    return joined.select(list(ASSIGNMENT_SCHEMA)).collect()
