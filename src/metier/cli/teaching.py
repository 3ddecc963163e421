"""`metier teach`: inputs that nobody has labelled, answered by the generalist, become training examples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from metier.artefacts.datasets import Dataset
from metier.artefacts.manifests import Manifest
from metier.cli.inputs import InputFormat, inputs_of, opened
from metier.cli.lookup import Found, audited_task, latest_dataset
from metier.cli.options import with_settings
from metier.cli.session import Session, session, versions
from metier.cli.terminal import err, out
from metier.errors import BadSettings
from metier.gateway.routing.inputs import was_scrubbed
from metier.generalists.backends import make_generalist
from metier.generalists.prompts import task_template
from metier.generalists.settings import GeneralistSettings
from metier.pages import console as show
from metier.store.folders import Recipe, Stored
from metier.teach import TeachSettings, is_unfinished, teach, unanswered

Given = dict[str, Any]
# The inputs of a manifest that say what it was taught from.
_INPUTS = "inputs"


@with_settings(TeachSettings, GeneralistSettings)
def teach_command(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of the task.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="Inputs without answers: text lines, JSONL or CSV, '-' for stdin; left out, the task's calls that have no "
            "answer to learn from.",
        ),
    ] = None,
    *,
    form: Annotated[
        InputFormat, typer.Option("--format", help="How the inputs are written; auto goes by the suffix.")
    ] = "auto",
    given: Given,
) -> None:
    """Let the generalist label inputs, and add what passes the checks to the task's training examples."""
    with session(Path.cwd(), err) as at:
        inputs = None
        if file is not None:
            with opened(file) as source:
                inputs = list(inputs_of(source, form, "stdin" if str(file) == "-" else str(file)))
        own = {name: value for name, value in given.items() if name in TeachSettings.model_fields}
        stored = teach_stage(at, task, own, {name: value for name, value in given.items() if name not in own}, inputs)
    made = cast(Dataset, stored.artefact)
    state = "made" if stored.fresh else "unchanged, skipped"
    out.print(f"[dim]dataset {stored.manifest.id}: {state}[/]", highlight=False)
    out.print(show.dataset_table(made))
    out.print(made.notes[-1], highlight=False, markup=False)


def teach_stage(at: Session, task: str, given: Given, ask: Given, inputs: Sequence[str] | None = None) -> Stored:
    """The task's newest dataset with more training examples. `given` overrides [teach], `ask` overrides [generalist];
    without `inputs` those calls are taken that have no answer to learn from.

    What was taught already is found again, although the newest dataset is then the one that came of it.
    """
    found = latest_dataset(at, task)
    name, seed = found.dataset.task_name, at.project.project.seed
    settings = cast(TeachSettings, at.project.settings("teach", name, **given))
    asked = cast(GeneralistSettings, at.project.settings("generalist", name, **ask))
    _require_teacher(asked)
    for source in _ancestry(at, found):
        recipe = _recipe(source.manifest, settings, asked, inputs, seed)
        if (done := at.store.find(recipe)) is not None:
            made = cast(Dataset, at.store.load(done))
            if not is_unfinished(made, source.dataset):
                return Stored(made, done, fresh=False)
            found = source
    source = found
    cache = at.project.store_folder / "cache" / "answers.db"
    teacher = make_generalist(asked, source.dataset, cache_path=cache, seed=seed)
    assert teacher is not None  # _require_teacher
    row = audited_task(at, source.manifest)
    return at.store.produce(
        _recipe(source.manifest, settings, asked, inputs, seed),
        lambda _: teach(
            source.dataset,
            unanswered(source.dataset) if inputs is None else inputs,
            teacher,
            settings,
            template=source.dataset.template or task_template(row.task if row else None),
            scrub_pii=was_scrubbed(source.manifest.settings),
            seed=seed,
            progress=at.progress,
        ),
        clock=at.now,
        final=lambda made: not is_unfinished(cast(Dataset, made), source.dataset),
    )


def _recipe(
    source: Manifest, settings: TeachSettings, asked: GeneralistSettings, inputs: Sequence[str] | None, seed: int
) -> Recipe:
    told = "unanswered" if inputs is None else hashlib.sha256("\x00".join(inputs).encode()).hexdigest()
    # The audit and the traffic stay named: later stages look the task up there.
    origins = {**source.inputs, "dataset": source.id, _INPUTS: told}
    # How much may be spent, and how fast, shapes no answer: a run that goes on with more money is the same run.
    how = asked.model_dump(
        mode="json", exclude={"budget_usd", "max_concurrency", "max_retries", "timeout_s", "threads"}
    )
    made_of = {**settings.model_dump(mode="json"), "generalist": how}
    if was_scrubbed(source.settings):
        # As it was curated: the gateway reads here what a specialist's inputs must be cleared of.
        made_of["scrub_pii"] = True
    return Recipe("dataset", source.task, origins, made_of, seed, versions())


def _ancestry(at: Session, newest: Found) -> Iterator[Found]:
    """The newest dataset, the one it was taught from, and so on to the one that was curated."""
    current: Found | None = newest
    while current is not None:
        yield current
        before = current.manifest.inputs.get("dataset")
        known = {manifest.id: manifest for manifest in at.store.manifests("dataset")}
        manifest = known.get(before) if before else None
        current = Found(cast(Dataset, at.store.load(manifest)), manifest) if manifest else None


def _require_teacher(asked: GeneralistSettings) -> None:
    """Raises BadSettings where the backend cannot answer anything new."""
    if asked.backend == "none" or (asked.backend == "replay" and not asked.path):
        raise BadSettings(
            f"[generalist] backend is {asked.backend!r}, which answers nothing that was not asked before; set it to openai "
            "or gguf, or give replay a file of answers (path)"
        )
