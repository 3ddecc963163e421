"""What makes one score of the served build's token probabilities: its answers to the tune split, which are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metier.artefacts.tasks import OutputKind
from metier.students.base import FloatArray, label_places
from metier.students.confidence import ScoreModel, fit_score_model, fit_temperature
from metier.students.exports import write_arrays
from metier.students.lm.building import (
    PARALLEL,
    built_path,
    compared_places,
    copied_answers,
    parity_answers,
    right_ones,
)
from metier.students.lm.engine import LlamaEngine
from metier.students.lm.foreignness import CharacterModel, fit_character_model
from metier.students.lm.held_out import HELD_OUT_FILE, write_held_out
from metier.students.lm.keeping import kept, read_answers
from metier.students.lm.parts import Generated, Writer
from metier.students.lm.phases import Facts
from metier.students.lm.predictor import Asking, LmPredictor, features_of, label_logits
from metier.students.lm.scores import AnswerScore, BoolArray, agreement_is_measurable, choose_answer_score
from metier.students.lm.standing import open_build
from metier.students.lm.training import Job

FOREIGNNESS_FILE = "foreignness.npz"
# What the served build wrote for the tune split.
WRITTEN_FILE = "written.json"
_SCORING = "scoring"


def scoring_path(job: Job, name: str) -> Path:
    """Where a file of `fit_scoring` lies while the specialist is made."""
    return job.phases.folder / _SCORING / name


@dataclass(frozen=True)
class Scoring:
    """The score model of the served build, the foreignness it goes with, and the share of tune answers that are right."""

    score: AnswerScore | ScoreModel
    foreignness: CharacterModel
    accuracy: float
    failures: dict[str, int]


def fit_scoring(job: Job, asking: Asking, served: str) -> Scoring:
    """What the served build answers to the tune split makes its score, and is kept; the train split's inputs say what is
    foreign."""
    path = scoring_path(job, FOREIGNNESS_FILE)

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
    path = copied_answers(job) if held else parity_answers(job, served)
    known = dict(zip(compared_places(job).tolist(), read_answers(path), strict=True)) if path.exists() else {}
    missing = [place for place in range(len(job.tune)) if place not in known]
    asked = asking.write(engine, [job.tune.inputs[place] for place in missing])
    known.update(zip(missing, asked, strict=True))
    return [known[place] for place in range(len(job.tune))]


def _fit(job: Job, asking: Asking, engine: LlamaEngine, served: str, foreignness: CharacterModel) -> Facts:
    inputs = job.tune.inputs
    wanted = [asking.reader.conclusion(label) for label in job.tune.labels]
    job.progress("Scoring answers", 0, len(inputs))
    written = kept(scoring_path(job, WRITTEN_FILE), lambda: tune_answers(job, asking, engine, served))
    read = asking.read(written, inputs)
    right = right_ones(job, read, wanted)
    failures = [one.failure for one in read if one.failure is not None]
    foreign = foreignness.cross_entropies(inputs)
    whole = np.array([one.failure is None for one in read], dtype=np.bool_)
    second = None
    if job.task.kind is OutputKind.LABEL and not asking.is_reasoned:
        score: AnswerScore | ScoreModel = _label_score(job, written, foreign, right)
    else:
        features = features_of(job.task.kind, written, read, foreign)
        if job.settings.agreement == "auto" and agreement_is_measurable(right[whole]):
            second = asking.second_opinion(engine, inputs, read)
        agree = None if second is None else second.agree[whole]
        groups = None if job.tune.groups is None else [job.tune.groups[place] for place in np.flatnonzero(whole)]
        score = choose_answer_score(features[whole], agree, right[whole], groups)
    predictor = LmPredictor(job.classes, asking, engine, foreignness, score)
    write_held_out(scoring_path(job, HELD_OUT_FILE), inputs, predictor.judged(inputs, written, second))
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
