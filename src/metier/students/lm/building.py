"""The builds of a tuned model, which of them answers, and whether its records are held to their inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.artefacts.tasks import OutputKind
from metier.metrics.correctness import is_correct
from metier.students.base import LabelledTexts
from metier.students.lm.answers import ReadAnswer
from metier.students.lm.coding import coder_for
from metier.students.lm.copying import Copying, copied_in, decide, stored_span
from metier.students.lm.engine import TorchWriter
from metier.students.lm.exporting import About, Parity, can_be_shown, compare_answers, demand, write_gguf
from metier.students.lm.keeping import kept
from metier.students.lm.parts import Base, Generated, Span
from metier.students.lm.phases import Facts
from metier.students.lm.predictor import Asking
from metier.students.lm.rehearsing import check_reading
from metier.students.lm.scores import BoolArray
from metier.students.lm.standing import SHARED, Standing, open_build, write_shared
from metier.students.lm.training import Job

BUILDS_FOLDER = "builds"
# Every specialist has both; the smaller first, as it is taken where it loses nothing.
QUANTISATIONS = ("q4", "q8_0")
# Answers written side by side, by the specialist and whenever it is looked at.
PARALLEL = 4
# Tune items that every build and the training-time model answer: the latter writes slowly.
_MOST_COMPARED = 200
_BUILD, _PARITY, _COPYING = "build", "parity", "copying"
_COPIED_ANSWERS = "answers.json"


@dataclass(frozen=True)
class Built:
    """The builds with their sizes in bytes, the one that answers and why, and what parity was found. They lie in phases
    called after `stem`."""

    sizes: tuple[tuple[str, int], ...]
    served: str
    reason: str
    parity: str
    stem: str = _BUILD


def file_of(build: str) -> str:
    """A build's file in the specialist's folder."""
    return f"{BUILDS_FOLDER}/{build}.gguf"


def make_builds(job: Job, base: Base, asking: Asking, model: Path, standing: Standing) -> Built:
    """Write every build of the model, compare its answers with the model's own, and choose the one that answers. `standing`
    says what the model is made of, for the build that shares its base.

    Raises ExportFailed where every build that may be chosen loses more right answers than the declared margin.
    """
    sizes = write_builds(job, base, model, standing)
    facts = job.phases.once(_PARITY, lambda place: _compare(job, asking, model, place))
    return Built(sizes, facts["served"], facts["reason"], facts["parity"])


def write_builds(
    job: Job, base: Base, model: Path, standing: Standing, stem: str = _BUILD
) -> tuple[tuple[str, int], ...]:
    """Every build of the model with its size in bytes, each in a phase called after `stem` and itself."""
    about = About(licence=base.licence, base_model=base.name, description="A specialist made with metier.")
    writes = {build: partial(_write, model, build, about) for build in QUANTISATIONS}
    if job.settings.quantisation == SHARED:
        writes[SHARED] = partial(write_shared, standing, about)
    sizes = []
    for done, (build, write) in enumerate(writes.items()):
        job.progress("Writing builds", done, len(writes))
        facts = job.phases.once(f"{stem}-{build}", write)
        sizes.append((build, int(facts["size"])))
    job.progress("Writing builds", len(writes), len(writes))
    return tuple(sizes)


def built_path(job: Job, build: str, stem: str = _BUILD) -> Path:
    """Where a build lies while the specialist is made."""
    return job.phases.folder / f"{stem}-{build}" / "model.gguf"


def _write(model: Path, build: str, about: About, place: Path) -> Facts:
    return {"size": write_gguf(model, place / "model.gguf", build, about=about)}


def compared_places(job: Job) -> npt.NDArray[np.intp]:
    """The places of the tune items that builds are compared on."""
    return np.sort(np.random.default_rng(job.seed).permutation(len(job.tune))[:_MOST_COMPARED])


def parity_answers(job: Job, build: str) -> Path:
    """The file of what a build answered to the tune items that builds are compared on."""
    return _answers_file(job.phases.folder / _PARITY, build)


def copied_answers(job: Job) -> Path:
    """The file of what the served build answered to them, its records held to their inputs."""
    return job.phases.folder / _COPYING / _COPIED_ANSWERS


def _answers_file(place: Path, build: str) -> Path:
    return place / f"{build}.json"


def _compare(job: Job, asking: Asking, model: Path, place: Path) -> Facts:
    tune = job.tune.take(compared_places(job))
    asked = job.settings.quantisation
    if not len(tune):
        served = QUANTISATIONS[-1] if asked == "auto" else asked
        return {"served": served, "reason": "there is no tune split to compare builds on", "parity": "not measured"}
    job.progress("Comparing builds", 0, None)

    def parity_of(name: str) -> tuple[str, Parity]:
        return name, parity_on(job, asking, model, name, tune, place, job.settings.parity_margin)

    if asked != "auto":
        return _chosen([parity_of(name) for name in _counted(job, [asked])], "asked for")
    if can_be_shown(len(tune), job.settings.parity_margin):
        return _chosen([parity_of(name) for name in _counted(job, QUANTISATIONS)])
    *smaller, closest = QUANTISATIONS
    found = [parity_of(name) for name in _counted(job, [closest])]
    if not found[0][1].holds:
        return _chosen([*(parity_of(name) for name in _counted(job, smaller)), *found])
    told = f"answers all alike to {len(tune):,} tune items would not show"
    untried = f"not asked: {told} it to keep to the declared margin"
    facts = _chosen(found, f"{told} a smaller build to keep to the parity margin, so that this one was taken")
    return {**facts, "parity": "; ".join([facts["parity"], *(f"{name}: {untried}" for name in smaller)])}


def parity_on(
    job: Job,
    asking: Asking,
    model: Path,
    build: str,
    tune: LabelledTexts,
    place: Path,
    margin: float,
    stem: str = _BUILD,
) -> Parity:
    """How a build's answers to these tune examples differ from the training-time model's; both are kept in `place`."""
    ours = kept(
        _answers_file(place, "training"),
        lambda: asking.write(TorchWriter(model, n_context=job.n_context), tune.inputs),
    )
    theirs = kept(_answers_file(place, build), partial(answers_of, job, asking, build, tune.inputs, stem))
    check_reading(coder_for(model, asking.form).prompts(tune.inputs), [one.n_input for one in theirs], build)

    def is_same(given: str, wanted: str) -> bool:
        return is_correct(job.task.kind, asking.reader.conclusion(given), asking.reader.conclusion(wanted))

    return compare_answers(ours, theirs, tune.labels, is_same=is_same, margin=margin, groups=tune.groups)


def _counted(job: Job, names: Sequence[str]) -> Iterator[str]:
    """The builds, with a word to the progress before each and at the end."""
    for done, name in enumerate(names):
        job.progress("Comparing builds", done, len(names))
        yield name
    job.progress("Comparing builds", len(names), len(names))


def _chosen(found: Sequence[tuple[str, Parity]], reason: str = "") -> Facts:
    served, why = demand(found)
    return {
        "served": served,
        "reason": reason or why,
        "parity": "; ".join(f"{name}: {same.sentence}" for name, same in found),
    }


def answers_of(job: Job, asking: Asking, build: str, inputs: Sequence[str], stem: str = _BUILD) -> list[Generated]:
    """What a build answers to the inputs."""
    with open_build(built_path(job, build, stem), job.n_context, PARALLEL) as engine:
        return asking.write(engine, inputs)


def choose_copying(job: Job, asking: Asking, served: str) -> Copying:
    """Whether the served build's records are held to their inputs: where the compared tune answers get no worse by it."""
    schema = job.task.output_schema
    if job.settings.copying == "off" or job.task.kind is not OutputKind.FIELDS or schema is None:
        return Copying((), "")
    spans = copied_in(job.train, schema)
    if not spans or not len(job.tune):
        return Copying((), "")
    tune = job.tune.take(compared_places(job))

    def right(copied: tuple[Span, ...]) -> int:
        held = asking.copying(copied)
        job.progress("Comparing spans of the input with free values", int(bool(copied)), 2)
        path = copied_answers(job) if copied else parity_answers(job, served)
        written = kept(path, partial(answers_of, job, held, served, tune.inputs))
        return int(right_ones(job, held.read(written, tune.inputs), tune.labels).sum())

    facts = job.phases.once(_COPYING, lambda _: asdict(decide(spans, right, len(tune))))
    return Copying(tuple(map(stored_span, facts["fields"])), facts["story"])


def right_ones(job: Job, read: Sequence[ReadAnswer], wanted: Sequence[str | None]) -> BoolArray:
    """(n,) which answers are right; one that failed is not."""
    pairs = zip(read, wanted, strict=True)
    return np.array(
        [one.failure is None and is_correct(job.task.kind, one.text, truth) for one, truth in pairs], dtype=np.bool_
    )
