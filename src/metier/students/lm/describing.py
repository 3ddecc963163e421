"""What a specialist's folder says to whoever opens it: the model card, and a card for each adapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from metier.artefacts.specialists import LanguageModel
from metier.artefacts.tasks import OutputKind, Template
from metier.students.base import FitSummary
from metier.students.lm.bases.origins import origin_of
from metier.students.lm.building import BUILDS_FOLDER, file_of
from metier.students.lm.exporting import AdapterCard, CardFile, CardText, write_adapter_card, write_model_card
from metier.students.lm.exporting.cards import fenced
from metier.students.lm.held_out import HELD_OUT_FILE
from metier.students.lm.learning import Learnt
from metier.students.lm.parts import PromptForm
from metier.students.lm.refitting import Refit
from metier.students.lm.scoring import FOREIGNNESS_FILE
from metier.students.lm.standing import SHARED
from metier.students.lm.training import Job

# The model as it was tuned, in Hugging Face layout; its adapters alone, in the order of the tunings.
MODEL_FOLDER = "model"
ADAPTERS = {
    "adapter": "from the examples",
    "adapter-preference": "from its own mistakes",
    "adapter-refit": "from the tune split too, once all was chosen",
}
_BUILDS = {
    "q4": "the model in 4 bits, for llama.cpp and whatever reads GGUF",
    "q8_0": "the model in 8 bits, for llama.cpp and whatever reads GGUF",
    SHARED: "the base alone in 8 bits, the same file for all its specialists",
}
_FILES = {
    f"{MODEL_FOLDER}/": "the model as it was tuned, with its tokenizer, in Hugging Face layout (safetensors)",
    **{f"{name}/": f"what was learnt {told}, alone: LoRA in peft's layout" for name, told in ADAPTERS.items()},
    FOREIGNNESS_FILE: "what tells foreign inputs from its own; for metier",
    HELD_OUT_FILE: "its answers to the tune split before it learnt from it, in the clear: not to be published",
}


def write_cards(folder: Path, job: Job, learnt: Learnt, last: Refit, summary: FitSummary) -> None:
    """Write README.md beside the exported files in `folder`, in the model's folder and in every adapter's."""
    schema = _schema(job)
    measured = _measured(last, summary)
    write_adapter_cards(folder, job, learnt, measured[:1])
    model = summary.language_model
    assert model is not None
    card = CardText(
        name=f"{learnt.base.name}, specialised",
        description="A small language model tuned for one job with metier. It is meant for inputs of that job alone.",
        base_model=learnt.base.name,
        licence=learnt.base.licence,
        conditions=learnt.base.conditions,
        measured=measured,
        files=files_of(folder, model),
        prompt=learnt.asking.form.write("{input}"),
        schema=schema,
        notes=(
            *((f"Base model: commit {model.base_revision} of the hub.",) if model.base_revision else ()),
            f"Vocabulary: {model.vocabulary}",
            f"Preference tuning: {model.preference}",
            *((f"Refit: {model.refit}",) if model.refit else ()),
            *summary.notes,
        ),
    )
    for place in (folder, folder / MODEL_FOLDER):
        write_model_card(place, card)


def files_of(folder: Path, model: LanguageModel) -> list[CardFile]:
    """The files that are in a specialist's folder, each with its size and what it is; folders as one."""
    told = {}
    for build, _ in model.builds:
        if build in _BUILDS:
            told[file_of(build)] = _BUILDS[build] + ("; this one answers" if build == model.served else "")
    for path in sorted((folder / BUILDS_FOLDER).glob("adapter-*.gguf")):
        told[f"{BUILDS_FOLDER}/{path.name}"] = f"what was learnt, on top of `{file_of(SHARED)}`, with all of its kind"
    told |= _FILES
    return [CardFile(name, size_of(folder / name), what) for name, what in told.items() if (folder / name).exists()]


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 where there is neither."""
    return (
        path.stat().st_size if path.is_file() else sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    )


def write_adapter_cards(folder: Path, job: Job, learnt: Learnt, measured: Sequence[str] = ()) -> None:
    """Write README.md into each adapter's folder; `measured` are sentences on the whole specialist."""
    order = [(name, f"learnt {told}") for name, told in ADAPTERS.items() if (folder / name).is_dir()]
    base, form, origin = learnt.base, learnt.asking.form, origin_of(learnt.base)
    for name, _ in order:
        card = AdapterCard(
            title=f"{base.name}, specialised",
            name=name,
            order=order,
            base=origin.name,
            is_public=origin.is_public,
            base_sha256=base.sha256,
            licence=base.licence,
            conditions=base.conditions,
            purpose=_purpose(job, form),
            prefix=form.prefix,
            suffix=form.suffix,
            end=form.end,
            max_tokens=learnt.asking.max_output_tokens,
            measured=measured,
            gguf_file=origin.gguf_file,
            revision=base.revision,
            base_note=origin.note,
        )
        write_adapter_card(folder / name, card)


def _measured(last: Refit, summary: FitSummary) -> tuple[str, str]:
    model = summary.language_model
    assert model is not None
    return (
        f"Right on {summary.tune_accuracy:.1%} of {summary.n_tune:,} tune examples, as the build {model.served}"
        f"{', before it learnt from them' if last.is_kept else ''}.",
        f"Parity of the builds: {model.parity}.",
    )


def _purpose(job: Job, form: PromptForm) -> list[str]:
    """The job in whole paragraphs: what it answers with, what it reads, and what the prompt said that was dropped."""
    task = job.task
    if task.kind is OutputKind.LABEL:
        how = "a rationale, and then one of these labels in a box" if job.is_reasoned else "one of these labels"
        told = [f"It answers an input with {how}:", fenced("\n".join(job.classes))]
    elif task.kind is OutputKind.FIELDS:
        told = ["It answers an input with a record, as JSON that fits this schema:", fenced(_schema(job), "json")]
    else:
        told = ["It answers an input with a text."]
    if task.view is not None:
        told.append(f"Inputs are not read as they are, but as metier's view `{task.view}` writes them.")
    if form.is_baked and task.template is not None:
        told.append("It learnt to do what this prompt asks for, without reading it any more:")
        told.append(fenced(_written(task.template)))
    return told


def _schema(job: Job) -> str:
    schema = job.task.output_schema
    return json.dumps(schema, indent=2, ensure_ascii=False) if schema else ""


def _written(template: Template) -> str:
    return "\n\n".join("{input}".join(message.literals).strip() for message in template.messages)
