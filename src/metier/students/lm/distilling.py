"""Soft labels: what a teacher that shares the student's tokenizer thinks of every answer token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.errors import BadArtefact, BadInput, MissingExtra
from metier.progress import Progress, silent
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.plan import SoftLabels

IntArray = npt.NDArray[np.int64]

# Parts of tokenizer.json that decide which tokens a text becomes.
_DECIDING = ("model", "added_tokens", "normalizer", "pre_tokenizer")


def vocabulary_hash(folder: Path) -> str:
    """A digest of what decides which tokens a text becomes: the same for two models, their tokens mean the same.

    Merges are read in either of their two spellings. Raises BadArtefact where there is no readable tokenizer.json.
    """
    path = folder / "tokenizer.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        model = dict(stored["model"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadArtefact(f"{path} is no tokenizer that can be read: {error}") from error
    if isinstance(model.get("merges"), list):
        model["merges"] = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    parts = [model if name == "model" else stored.get(name) for name in _DECIDING]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def shares_tokenizer(teacher: Path, base: Path) -> bool:
    """Whether a teacher's soft labels can be learnt from by a student of this base (before its vocabulary is cut)."""
    return vocabulary_hash(teacher) == vocabulary_hash(base)


def soft_labels(
    teacher: Path,
    base: Path,
    encoded: Sequence[Encoded],
    kept: IntArray | None = None,
    *,
    top_k: int = 16,
    weight: float = 0.5,
    precision: str = "auto",
    device: str = "auto",
    progress: Progress = silent,
) -> SoftLabels:
    """The teacher's `top_k` likeliest tokens and their log-probabilities at every answer token of `encoded`.

    `encoded` holds the student's token ids; `kept` (n,) the base's id of every token of a cut vocabulary, None where it is
    whole. The teacher reads the base's ids, and its probabilities are renormalised over the tokens that the student has.
    They are computed once, before tuning. Raises BadInput where teacher and `base` do not share a tokenizer, where the
    teacher is too small for a prompt, or where `kept` does not cover the ids; MissingExtra.
    """
    if not shares_tokenizer(teacher, base):
        raise BadInput(
            f"The teacher in {teacher} splits texts into other tokens than the base in {base}. Take a teacher of the same "
            "family, or leave its soft labels out: its answers can be learnt from in any case."
        )
    if top_k < 1:
        raise BadInput(f"top_k is {top_k}; give 1 or more.")
    try:
        import torch

        from metier.students.lm.likelihood import answer_logits, open_causal, split
    except ImportError:
        raise MissingExtra("train", "Soft labels of a teacher") from None
    model, _ = open_causal(teacher, precision, device)
    n_teacher = int(model.config.get_text_config().vocab_size)
    places = np.arange(_n_tokens(base)) if kept is None else np.asarray(kept, dtype=np.int64)
    _check(encoded, places, n_teacher, int(model.config.get_text_config().max_position_embeddings), teacher)
    columns = torch.from_numpy(places).to(model.device)
    tokens, logprobs = [], []
    with torch.no_grad():
        for done, one in enumerate(encoded):
            progress("Reading the teacher", done, len(encoded))
            prompt, answer = ([int(places[i]) for i in part] for part in split(one))
            known = answer_logits(model, prompt, [answer])[0].index_select(1, columns).log_softmax(-1)
            best = known.topk(min(top_k, known.shape[1]), dim=-1)
            tokens.append(best.indices.cpu().numpy().astype(np.int64))
            logprobs.append(best.values.cpu().numpy().astype(np.float32))
    progress("Reading the teacher", len(encoded), len(encoded))
    return SoftLabels(tuple(tokens), tuple(logprobs), weight)


def _n_tokens(folder: Path) -> int:
    from metier.students.lm.prompts import load_tokenizer

    return int(load_tokenizer(folder).get_vocab_size())


def _check(encoded: Sequence[Encoded], places: IntArray, n_teacher: int, longest: int, teacher: Path) -> None:
    if len(places) and places.max() >= n_teacher:
        raise BadInput(f"The teacher in {teacher} has {n_teacher} tokens; the student's go up to {places.max()}.")
    for place, one in enumerate(encoded):
        if max(one.ids) >= len(places):
            raise BadInput(f"Example {place} holds token {max(one.ids)}; the student has {len(places)}.")
        if len(one.ids) > longest:
            raise BadInput(f"Example {place} has {len(one.ids)} tokens; the teacher in {teacher} reads {longest}.")
