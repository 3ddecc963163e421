"""The teacher of a training: found beside the base, and asked once what it thinks of every answer that is learnt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metier.errors import BadInput
from metier.progress import Progress
from metier.students.base import LabelledTexts
from metier.students.exports import write_arrays
from metier.students.lm.coding import Coder, coder_for
from metier.students.lm.distilling import Asked, Reader, open_reader, read_labels, shares_tokenizer
from metier.students.lm.material import Material
from metier.students.lm.parts import Base, Encoded, PromptForm, Trimmed
from metier.students.lm.phases import Facts
from metier.students.lm.prompts import baked_form, full_form, has_instructions
from metier.students.lm.settings import LmSettings
from metier.students.lm.training import Job, plan_of
from metier.students.lm.tuning.plan import SoftLabels

_PHASE = "teacher"
_LABELS_FILE = "labels.npz"
# The likeliest tokens that are learnt from: on answers that are nearly certain the others hold next to nothing.
_TOP_K = 16
# Texts that two tokenizers are compared on, where what is written of their rules differs.
_MOST_COMPARED = 200
# Answers by which it is decided how the teacher is asked.
_MOST_TRIED = 32


@dataclass(frozen=True)
class Taught:
    """The teacher's labels of the train split and, after it, of its variants (None: there is no teacher), and what is to be
    said of them."""

    soft: SoftLabels | None = None
    notes: tuple[str, ...] = ()


def find_models(settings: LmSettings, train: LabelledTexts, progress: Progress) -> tuple[Base, Base | None]:
    """The base, and the teacher where the settings name one.

    Raises LicenceNotAccepted of either before anything of both is fetched; BadInput where the teacher splits texts into
    other tokens than the base, and what `find_base` raises.
    """
    from metier.students.lm.bases import cache_folder, find_base, licence_of
    from metier.students.lm.bases.licences import require_acceptance

    accepted = settings.accepted_licences
    if settings.teacher:
        for role, source in settings.models():
            require_acceptance(licence_of(source), source, accepted, cache_folder(), role)
    base = find_base(settings.base, accepted=accepted, progress=progress)
    if not settings.teacher:
        return base, None
    teacher = find_base(settings.teacher, accepted=accepted, progress=progress)
    tried = train.take(_spread(len(train), _MOST_COMPARED))
    if not shares_tokenizer(teacher.folder, base.folder, (*tried.inputs, *tried.labels)):
        raise BadInput(
            f"the teacher '{teacher.source}' splits texts into other tokens than the base '{base.source}', to which its "
            "token probabilities mean nothing. Take a teacher of the base's family, or let it answer inputs that are then "
            "learnt from (metier teach)."
        )
    return base, teacher


def ask_teacher(job: Job, trimmed: Trimmed, material: Material) -> Taught:
    """The phase `teacher`: soft labels of all that is tuned on, in that order; done once, and read again after a kill.

    The teacher reads the prompt in its own form: with the instructions or without them, whichever makes the right answers
    likelier to it. Raises BadInput where it can read none of the examples, or its figures are no numbers; TrainingFailed
    where memory does not suffice.
    """
    teacher = job.teacher
    if teacher is None:
        return Taught()
    facts = job.phases.once(_PHASE, lambda place: _ask(job, teacher, trimmed, material, place))
    soft = _read_labels(job.phases.folder / _PHASE / _LABELS_FILE, job.settings.teacher_weight)
    licence = f"the teacher {teacher.named} comes under {teacher.licence}, which may hold for what it taught, too"
    return Taught(soft, (*facts["notes"], f"{licence}: {teacher.conditions}"))


def _ask(job: Job, teacher: Base, trimmed: Trimmed, material: Material, place: Path) -> Facts:
    plan = plan_of(job.settings, job.seed)
    job.progress("Reading the teacher", 0, None)
    reader = open_reader(teacher.folder, trimmed.kept, plan.precision, plan.device)
    full, baked = full_form(job.task, teacher.folder), baked_form(job.task, teacher.folder)
    forms = (full, baked) if has_instructions(full, baked) else (baked,)
    reader, asked, form = _likeliest([(*_asked_in(form, job, teacher, reader, material), form) for form in forms])
    weight = job.settings.teacher_weight
    soft, nats = read_labels(reader, asked, top_k=_TOP_K, weight=weight, progress=job.progress)
    if not math.isfinite(nats):
        raise BadInput(f"the teacher '{teacher.source}' gives no numbers: its weights may be damaged.")
    _write_labels(place / _LABELS_FILE, soft)
    n_read = sum(one.is_read for one in asked)
    prompt = "without" if form.is_baked else "with"
    notes = [
        f"token probabilities of {teacher.name} on {n_read:,} answers, share {weight:g} of the loss; asked {prompt} the "
        f"prompt's instructions, it finds those answers at {nats:.3f} nats a token"
    ]
    if n_read < len(asked):
        left = f"{len(asked) - n_read:,} of {len(asked):,} answers were learnt without the teacher"
        notes.append(f"{left}: it reads {reader.longest:,} tokens, and cuts some texts otherwise")
    return {"notes": notes}


def _asked_in(
    form: PromptForm, job: Job, teacher: Base, reader: Reader, material: Material
) -> tuple[Reader, list[Asked]]:
    """All that is tuned on, as the teacher is asked in a form of its own; its end of an answer may be another token."""
    coder = coder_for(teacher.folder, form)
    read = reader.ending(material.train[0].ids[-1], coder.end)
    splits = (
        (job.train.take(list(material.kept)), material.train),
        (job.variants.take(list(material.variants_kept)), material.variants),
    )
    return read, [one for texts, encoded in splits for one in _asked(coder, read, texts, encoded)]


def _asked(coder: Coder, reader: Reader, texts: LabelledTexts, encoded: Sequence[Encoded]) -> list[Asked]:
    found = []
    for told, one in zip(coder.encode(texts.inputs, texts.labels), encoded, strict=True):
        answer = one.ids[one.n_prompt :]
        # A cut vocabulary, and a tokenizer whose rules are written otherwise, may part a rare text in another way.
        is_same = told.ids[told.n_prompt : -1] == tuple(reader.places[list(answer[:-1])].tolist())
        found.append(Asked(told.ids[: told.n_prompt], answer, is_same and len(told.ids) <= reader.longest))
    return found


def _likeliest(asked: Sequence[tuple[Reader, list[Asked], PromptForm]]) -> tuple[Reader, list[Asked], PromptForm]:
    """The form in which the teacher finds the right answers likelier, by some of those that it can read in each."""
    if len(asked) == 1:
        return asked[0]
    readable = [
        i for i, each in enumerate(zip(*(one[1] for one in asked), strict=True)) if all(e.is_read for e in each)
    ]
    if not readable:
        return max(asked, key=lambda one: sum(each.is_read for each in one[1]))
    tried = [readable[i] for i in _spread(len(readable), _MOST_TRIED)]
    return min(asked, key=lambda one: one[0].nats([one[1][i] for i in tried]))


def _spread(n: int, most: int) -> list[int]:
    """At most `most` places of `n`, evenly apart."""
    return sorted(set(np.linspace(0, n - 1, min(n, most)).astype(int).tolist())) if n else []


def _write_labels(path: Path, soft: SoftLabels) -> None:
    """Each example's rows after those of the one before; `shapes` (n, 2) says how many, and how wide."""
    tokens = [one.astype(np.int32).ravel() for one in soft.tokens]
    logprobs = [one.ravel() for one in soft.logprobs]
    shapes = np.array([one.shape for one in soft.tokens], dtype=np.int64)
    write_arrays(path, {"tokens": np.concatenate(tokens), "logprobs": np.concatenate(logprobs), "shapes": shapes})


def _read_labels(path: Path, weight: float) -> SoftLabels:
    with np.load(path, allow_pickle=False) as stored:
        tokens, logprobs, shapes = (stored[name] for name in ("tokens", "logprobs", "shapes"))
    ends = np.cumsum(shapes.prod(axis=1))[:-1]
    rows = zip(np.split(tokens, ends), np.split(logprobs, ends), shapes, strict=True)
    cut = [(t.astype(np.int64).reshape(shape), p.reshape(shape)) for t, p, shape in rows]
    return SoftLabels(tuple(t for t, _ in cut), tuple(p for _, p in cut), weight)
