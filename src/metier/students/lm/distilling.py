"""Soft labels: what a teacher that shares the student's tokenizer thinks of every answer token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from metier.errors import BadArtefact, BadInput, MissingExtra, TrainingFailed
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


def shares_tokenizer(teacher: Path, base: Path, texts: Sequence[str] = ()) -> bool:
    """Whether a teacher's soft labels can be learnt from by a student of this base (before its vocabulary is cut).

    The rules written down are the same; or else, where there are `texts` to try them on, every id that both have is the
    same token, and the texts become the same ones: a tokenizer that was read from a GGUF file writes its rules otherwise.
    """
    if vocabulary_hash(teacher) == vocabulary_hash(base):
        return True
    if not texts:
        return False
    from metier.students.lm.prompts import load_tokenizer

    theirs, ours = load_tokenizer(teacher), load_tokenizer(base)
    n_both = min(theirs.get_vocab_size(), ours.get_vocab_size())
    # Ids that one alone has are padding, or for images.
    if any(theirs.id_to_token(i) != ours.id_to_token(i) for i in range(n_both)):
        return False
    pairs = zip(*(known.encode_batch(list(texts), add_special_tokens=False) for known in (theirs, ours)), strict=True)
    return all(one.ids == other.ids for one, other in pairs)


@dataclass(frozen=True)
class Asked:
    """An answer that a teacher is asked about: `prompt` in the base's token ids, `answer` in the student's. Where it cannot
    be read (`is_read` False), the student learns from the answer alone."""

    prompt: Sequence[int]
    answer: Sequence[int]
    is_read: bool = True


@dataclass(frozen=True)
class Reader:
    """A teacher that is open. `places` (n,) is the base's id of every token of the student, `columns` (n,) where the
    teacher has it, `is_unknown` (n,) which of them it lacks; prompt and answer together may have `longest` tokens."""

    model: Any
    places: IntArray
    columns: Any
    is_unknown: Any
    longest: int

    def ending(self, student: int, teacher: int) -> Reader:
        """The reader of a teacher that closes its answers with the token `teacher` (the base's id), where the student's end
        with `student` (its own): each token's probability is the other's."""
        mine = int(self.places[student])
        columns = self.columns.clone()
        columns[self.columns == teacher] = mine
        columns[student] = teacher
        return replace(self, columns=columns)

    def logprobs(self, asked: Asked) -> Any:
        """(n_answer, n) natural log-probabilities of the student's tokens before each token of the answer, renormalised
        over them. Raises TrainingFailed where memory does not suffice."""
        import torch

        from metier.students.lm.likelihood import answer_logits
        from metier.students.lm.tuning.memory import is_out_of_memory

        answer = [int(self.places[i]) for i in asked.answer]
        try:
            with torch.no_grad():
                logits = answer_logits(self.model, asked.prompt, [answer])[0].index_select(1, self.columns)
                return logits.masked_fill_(self.is_unknown, float("-inf")).log_softmax(-1)
        except (RuntimeError, MemoryError) as problem:
            if not is_out_of_memory(problem):
                raise
            n = len(asked.prompt) + len(answer)
            raise TrainingFailed(
                f"Out of memory with the teacher and one example of {n:,} tokens: take a smaller teacher, or lower "
                "max_tokens."
            ) from problem

    def nats(self, asked: Sequence[Asked]) -> float:
        """Negative log-likelihood of the answers in nats a token."""
        total = sum(_nats(self.logprobs(one), one.answer) for one in asked)
        return total / sum(len(one.answer) for one in asked)


def open_reader(teacher: Path, places: IntArray, precision: str = "auto", device: str = "auto") -> Reader:
    """Open the teacher in `teacher` for a student whose tokens have the ids `places` (n,) in the base. Raises MissingExtra,
    and TrainingFailed where memory does not suffice."""
    try:
        import torch

        from metier.students.lm.likelihood import open_causal
        from metier.students.lm.tuning.memory import is_out_of_memory
    except ImportError:
        raise MissingExtra("train", "Soft labels of a teacher") from None
    try:
        model, _ = open_causal(teacher, precision, device)
    except (RuntimeError, MemoryError) as problem:
        if not is_out_of_memory(problem):
            raise
        raise TrainingFailed(
            f"Out of memory while the teacher in {teacher} was opened: take a smaller one."
        ) from problem
    config = model.config.get_text_config()
    n_teacher = int(config.vocab_size)
    columns = torch.from_numpy(np.minimum(places, n_teacher - 1)).to(model.device)
    is_unknown = torch.from_numpy(places >= n_teacher).to(model.device)
    return Reader(model, places, columns, is_unknown, int(config.max_position_embeddings))


def read_labels(
    reader: Reader, asked: Sequence[Asked], *, top_k: int, weight: float, progress: Progress = silent
) -> tuple[SoftLabels, float]:
    """The teacher's `top_k` likeliest tokens at every answer token, and the answers' negative log-likelihood, nats a token.

    Of an answer that is not read there are no tokens (n_answer, 0). Raises BadInput where none is.
    """
    if not any(one.is_read for one in asked):
        raise BadInput("The teacher can read none of the examples.")
    tokens, logprobs, total = [], [], 0.0
    for done, one in enumerate(asked):
        progress("Reading the teacher", done, len(asked))
        if not one.is_read:
            tokens.append(np.empty((len(one.answer), 0), dtype=np.int64))
            logprobs.append(np.empty((len(one.answer), 0), dtype=np.float32))
            continue
        known = reader.logprobs(one)
        best = known.topk(min(top_k, known.shape[1]), dim=-1)
        tokens.append(best.indices.cpu().numpy().astype(np.int64))
        logprobs.append(best.values.cpu().numpy().astype(np.float32))
        total += _nats(known, one.answer)
    progress("Reading the teacher", len(asked), len(asked))
    n_tokens = sum(len(one.answer) for one in asked if one.is_read)
    return SoftLabels(tuple(tokens), tuple(logprobs), weight), total / n_tokens


def _nats(logprobs: Any, answer: Sequence[int]) -> float:
    import torch

    chosen = torch.tensor(list(answer), device=logprobs.device)[:, None]
    return -float(logprobs.gather(1, chosen).double().sum())


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
    """The teacher's `top_k` likeliest tokens and their log-probabilities at every answer token of `encoded`, the prompts
    read as the student reads them.

    `encoded` holds the student's token ids; `kept` (n,) the base's id of every token of a cut vocabulary, None where it is
    whole. The teacher reads the base's ids, and its probabilities are renormalised over the tokens that the student has.
    They are computed once, before tuning. Raises BadInput where teacher and `base` do not share a tokenizer, where the
    teacher is too small for a prompt, or where `kept` does not cover the ids; MissingExtra; TrainingFailed.
    """
    if not shares_tokenizer(teacher, base):
        raise BadInput(
            f"The teacher in {teacher} splits texts into other tokens than the base in {base}. Take a teacher of the same "
            "family, or leave its soft labels out: its answers can be learnt from in any case."
        )
    if top_k < 1:
        raise BadInput(f"top_k is {top_k}; give 1 or more.")
    places = np.arange(_n_tokens(base)) if kept is None else np.asarray(kept, dtype=np.int64)
    reader = open_reader(teacher, places, precision, device)
    _check(encoded, reader, teacher)
    asked = [Asked([int(places[i]) for i in one.ids[: one.n_prompt]], one.ids[one.n_prompt :]) for one in encoded]
    return read_labels(reader, asked, top_k=top_k, weight=weight, progress=progress)[0]


def _n_tokens(folder: Path) -> int:
    from metier.students.lm.prompts import load_tokenizer

    return int(load_tokenizer(folder).get_vocab_size())


def _check(encoded: Sequence[Encoded], reader: Reader, teacher: Path) -> None:
    places, longest = reader.places, reader.longest
    if bool(reader.is_unknown.any()):
        n_teacher = int(reader.model.config.get_text_config().vocab_size)
        raise BadInput(f"The teacher in {teacher} has {n_teacher} tokens; the student's go up to {places.max()}.")
    for place, one in enumerate(encoded):
        if max(one.ids) >= len(places):
            raise BadInput(f"Example {place} holds token {max(one.ids)}; the student has {len(places)}.")
        if len(one.ids) > longest:
            raise BadInput(f"Example {place} has {len(one.ids)} tokens; the teacher in {teacher} reads {longest}.")
