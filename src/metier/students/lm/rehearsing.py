"""A rehearsal before the tuning: what would stop a training at its very end stops it here, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metier.errors import ExportFailed
from metier.students.lm.bases.derived import why_not_served
from metier.students.lm.bases.gguf_tokenizers import PRE_TOKENIZERS
from metier.students.lm.coding import coder_for
from metier.students.lm.engine import LlamaEngine
from metier.students.lm.exporting import write_gguf
from metier.students.lm.parts import Constraint, PromptForm, Trimmed
from metier.students.lm.phases import Facts
from metier.students.lm.training import Job
from metier.students.lm.vocabulary import read_facts

_BUILD = "q8_0"
_MOST_READ = 64


def rehearse(job: Job, trimmed: Trimmed, constraint: Constraint, forms: Sequence[PromptForm], *, parallel: int) -> None:
    """Write a build of the model as it is before the tuning, have it read some inputs, and try the constraint on it.

    It is loaded as it will be, to write `parallel` answers at a time: llama.cpp fills the memory of the whole context when
    it loads. Raises ExportFailed for an architecture or a tokenizer that llama.cpp does not take, or reads in other tokens;
    BadInput where memory does not hold the context, where answers cannot be held to the schema, or labels cannot be told
    apart.
    """
    _check_tokenizer(trimmed)
    texts = (job.tune.inputs or job.train.inputs)[:_MOST_READ]

    def make(place: Path) -> Facts:
        job.progress("Rehearsing the export", 0, None)
        path = place / "model.gguf"
        try:
            write_gguf(trimmed.folder, path, _BUILD)
            with LlamaEngine(path, n_context=job.n_context, parallel=parallel) as engine:
                engine.check(constraint)
                for form in forms:
                    learnt = coder_for(trimmed.folder, form).prompts(texts)
                    check_reading(learnt, [len(engine.encode(form.write(text))) for text in texts], _BUILD)
        finally:
            path.unlink(missing_ok=True)
        return {}

    job.phases.once("rehearsal", make)


def _check_tokenizer(trimmed: Trimmed) -> None:
    if read_facts(trimmed.folder) is not None:
        return
    why = why_not_served(trimmed.folder) or "is described by nothing that llama.cpp reads"
    raise ExportFailed(
        f"the base cannot be served: its tokenizer {why}. Bases that work have a SentencePiece byte-pair encoding with "
        f"bytes to fall back on (Gemma, Llama 2), or a byte-level one that splits text as {', '.join(PRE_TOKENIZERS)} do. "
        f"Vocabulary: {trimmed.reason}"
    )


def check_reading(learnt: Sequence[Sequence[int]], lengths: Sequence[int], build: str) -> None:
    """Raise ExportFailed where a build reads prompts in another number of tokens than the model learns them in: it would
    answer worse, and nobody would see why."""
    for ids, n_read in zip(learnt, lengths, strict=True):
        if len(ids) != n_read:
            raise ExportFailed(
                f"the build {build} reads a prompt of {len(ids)} tokens as {n_read}: its tokenizer is not that of the "
                "training. Please report the base model; vocabulary = 'keep' may help meanwhile"
            )
