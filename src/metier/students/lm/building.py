"""The builds of a tuned model, which of them answers, and what makes one score of its token probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.artefacts.tasks import OutputKind
from metier.metrics.correctness import is_correct
from metier.students.base import FloatArray, label_places
from metier.students.confidence import ScoreModel, fit_score_model, fit_temperature
from metier.students.exports import write_arrays
from metier.students.lm.answers import ReadAnswer
from metier.students.lm.coding import coder_for
from metier.students.lm.copying import Copying, copied_in, decide, stored_span
from metier.students.lm.engine import LlamaEngine, TorchWriter
from metier.students.lm.exporting import About, compare_answers, demand, write_gguf
from metier.students.lm.foreignness import CharacterModel, fit_character_model
from metier.students.lm.keeping import kept, read_answers
from metier.students.lm.parts import Base, Generated, Span, Writer
from metier.students.lm.phases import Facts
from metier.students.lm.predictor import Asking, features_of, label_logits
from metier.students.lm.rehearsing import check_reading
from metier.students.lm.scores import AnswerScore, BoolArray, agreement_is_measurable, choose_answer_score
from metier.students.lm.standing import SHARED, Standing, open_build, write_shared
from metier.students.lm.training import Job

BUILDS_FOLDER = "builds"
FOREIGNNESS_FILE = "foreignness.npz"
# Every specialist has both; the smaller first, as it is taken where it loses nothing.
QUANTISATIONS = ("q4", "q8_0")
# Answers written side by side, by the specialist and whenever it is looked at.
PARALLEL = 4
# Tune items that every build and the training-time model answer: the latter writes slowly.
_MOST_COMPARED = 200
_PARITY, _COPYING, _SCORING = "parity", "copying", "scoring"
_COPIED_ANSWERS = "answers.json"


@dataclass(frozen=True)
class Built:
    """The builds with their sizes in bytes, the one that answers and why, and what parity was found."""

    sizes: tuple[tuple[str, int], ...]
    served: str
    reason: str
    parity: str


def file_of(build: str) -> str:
    """A build's file in the specialist's folder."""
    return f"{BUILDS_FOLDER}/{build}.gguf"


def make_builds(job: Job, base: Base, asking: Asking, model: Path, standing: Standing) -> Built:
    """Write every build of the model, compare its answers with the model's own, and choose the one that answers. `standing`
    says what the model is made of, for the build that shares its base.

    Raises ExportFailed where every build that may be chosen loses more right answers than the declared margin.
    """
    about = About(licence=base.licence, base_model=base.name, description="A specialist made with metier.")
    sizes = []
    writes = {build: partial(_write, model, build, about) for build in QUANTISATIONS}
    if job.settings.quantisation == SHARED:
        writes[SHARED] = partial(write_shared, standing, about)
    for done, (build, write) in enumerate(writes.items()):
        job.progress("Writing builds", done, len(writes))
        facts = job.phases.once(f"build-{build}", write)
        sizes.append((build, int(facts["size"])))
    job.progress("Writing builds", len(writes), len(writes))
    facts = job.phases.once(_PARITY, lambda place: _compare(job, asking, model, place))
    return Built(tuple(sizes), facts["served"], facts["reason"], facts["parity"])


def built_path(job: Job, build: str) -> Path:
    """Where a build lies while the specialist is made."""
    return job.phases.folder / f"build-{build}" / "model.gguf"


def _write(model: Path, build: str, about: About, place: Path) -> Facts:
    return {"size": write_gguf(model, place / "model.gguf", build, about=about)}


def compared_places(job: Job) -> npt.NDArray[np.intp]:
    """The places of the tune items that builds are compared on."""
    return np.sort(np.random.default_rng(job.seed).permutation(len(job.tune))[:_MOST_COMPARED])


def _answers_file(place: Path, build: str) -> Path:
    return place / f"{build}.json"


def _compare(job: Job, asking: Asking, model: Path, place: Path) -> Facts:
    tune = job.tune.take(compared_places(job))
    asked = job.settings.quantisation
    names = QUANTISATIONS if asked == "auto" else (asked,)
    if not len(tune):
        return {"served": names[-1], "reason": "there is no tune split to compare builds on", "parity": "not measured"}
    job.progress("Comparing builds", 0, len(names) + 1)
    ours = kept(
        _answers_file(place, "training"),
        lambda: asking.write(TorchWriter(model, n_context=job.n_context), tune.inputs),
    )
    found = []
    for done, name in enumerate(names, start=1):
        job.progress("Comparing builds", done, len(names) + 1)
        theirs = kept(_answers_file(place, name), partial(_ask, job, asking, name, tune.inputs))
        check_reading(coder_for(model, asking.form).prompts(tune.inputs), [one.n_input for one in theirs], name)
        same = compare_answers(
            ours,
            theirs,
            tune.labels,
            is_same=lambda given, wanted: is_correct(
                job.task.kind, asking.reader.conclusion(given), asking.reader.conclusion(wanted)
            ),
            margin=job.settings.parity_margin,
            groups=tune.groups,
        )
        found.append((name, same))
    job.progress("Comparing builds", len(names) + 1, len(names) + 1)
    served, reason = demand(found)
    return {
        "served": served,
        "reason": reason if asked == "auto" else "asked for",
        "parity": "; ".join(f"{name}: {same.sentence}" for name, same in found),
    }


def _ask(job: Job, asking: Asking, build: str, inputs: Sequence[str]) -> list[Generated]:
    with open_build(built_path(job, build), job.n_context, PARALLEL) as engine:
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

    def right(copied: tuple[Span, ...], place: Path) -> int:
        held = asking.copying(copied)
        job.progress("Comparing spans of the input with free values", int(bool(copied)), 2)
        path = place / _COPIED_ANSWERS if copied else _answers_file(job.phases.folder / _PARITY, served)
        written = kept(path, partial(_ask, job, held, served, tune.inputs))
        return int(_right(job, held.read(written, tune.inputs), tune.labels).sum())

    facts = job.phases.once(
        _COPYING, lambda place: asdict(decide(spans, lambda copied: right(copied, place), len(tune)))
    )
    return Copying(tuple(map(stored_span, facts["fields"])), facts["story"])


def _right(job: Job, read: Sequence[ReadAnswer], wanted: Sequence[str | None]) -> BoolArray:
    """(n,) which answers are right; one that failed is not."""
    pairs = zip(read, wanted, strict=True)
    return np.array(
        [one.failure is None and is_correct(job.task.kind, one.text, truth) for one, truth in pairs], dtype=np.bool_
    )


@dataclass(frozen=True)
class Scoring:
    """The score model of the served build, the foreignness it goes with, and the share of tune answers that are right."""

    score: AnswerScore | ScoreModel
    foreignness: CharacterModel
    accuracy: float
    failures: dict[str, int]


def fit_scoring(job: Job, asking: Asking, served: str) -> Scoring:
    """What the served build answers to the tune split makes its score; the train split's inputs say what is foreign."""
    path = job.phases.folder / _SCORING / FOREIGNNESS_FILE

    def make(_: Path) -> Facts:
        foreignness = fit_character_model(job.train.inputs)
        write_arrays(path, foreignness.arrays())
        with open_build(built_path(job, served), job.n_context, PARALLEL) as engine:
            return _fit(job, asking, engine, served, foreignness)

    facts = job.phases.once(_SCORING, make)
    accuracy = facts["accuracy"] if facts["accuracy"] is not None else float("nan")
    return Scoring(score_from(facts["score"]), read_foreignness(path), accuracy, facts["failures"])


def score_from(stored: dict[str, Any]) -> AnswerScore | ScoreModel:
    """The score model as it was stored."""
    if "temperature" in stored:
        return ScoreModel(**stored)
    return AnswerScore(stored["bias"], tuple(stored["weights"]), tuple(stored["centres"]), tuple(stored["spreads"]))


def read_foreignness(path: Path) -> CharacterModel:
    """The character model of a file that `Scoring` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return CharacterModel(**{name: stored[name] for name in stored.files})


def tune_answers(job: Job, asking: Asking, engine: Writer, served: str) -> list[Generated]:
    """The served build's answers to the whole tune split: those of the comparison, and of `engine` only the others."""
    held = asking.constraint.copied
    folder = job.phases.folder
    path = folder / _COPYING / _COPIED_ANSWERS if held else _answers_file(folder / _PARITY, served)
    known = dict(zip(compared_places(job).tolist(), read_answers(path), strict=True)) if path.exists() else {}
    missing = [place for place in range(len(job.tune)) if place not in known]
    asked = asking.write(engine, [job.tune.inputs[place] for place in missing])
    known.update(zip(missing, asked, strict=True))
    return [known[place] for place in range(len(job.tune))]


def _fit(job: Job, asking: Asking, engine: LlamaEngine, served: str, foreignness: CharacterModel) -> Facts:
    inputs = job.tune.inputs
    wanted = [asking.reader.conclusion(label) for label in job.tune.labels]
    job.progress("Scoring answers", 0, len(inputs))
    written = tune_answers(job, asking, engine, served)
    read = asking.read(written, inputs)
    right = _right(job, read, wanted)
    failures = [one.failure for one in read if one.failure is not None]
    foreign = foreignness.cross_entropies(inputs)
    whole = np.array([one.failure is None for one in read], dtype=np.bool_)
    if job.task.kind is OutputKind.LABEL and not asking.is_reasoned:
        score: AnswerScore | ScoreModel = _label_score(job, written, foreign, right)
    else:
        features = features_of(job.task.kind, written, read, foreign)
        agreement = None
        if job.settings.agreement == "auto" and agreement_is_measurable(right[whole]):
            agreement = asking.second_opinion(engine, inputs, read)[whole]
        score = choose_answer_score(features[whole], agreement, right[whole])
    job.progress("Scoring answers", len(inputs), len(inputs))
    return {
        "score": asdict(score),
        "accuracy": float(right.mean()) if len(right) else None,
        "failures": {name: failures.count(name) for name in sorted(set(failures))},
    }


def _label_score(job: Job, written: Sequence[Generated], foreign: FloatArray, right: BoolArray) -> ScoreModel:
    if not len(written):
        return ScoreModel(1.0, 0.0, 1.0, 0.0, 0.0, 1.0)
    logits = label_logits(written, len(job.classes))
    temperature = fit_temperature(logits, label_places(job.tune.labels, job.classes))
    plain = ScoreModel(temperature, 0.0, 1.0, 0.0, 0.0, 1.0)
    none = np.empty(0)
    return fit_score_model(temperature, plain.probabilities(logits).max(axis=1), foreign, right, none, none)
