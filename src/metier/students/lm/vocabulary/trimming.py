"""Cut a model's vocabulary to what a task's texts need: `trim`; and put tuned rows back into the whole of it: `restore`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from metier.errors import BadInput
from metier.progress import Progress, silent
from metier.students.lm.parts import Trimmed
from metier.students.lm.vocabulary.choosing import candidates, closed, count_tokens, extended, needed, split_off
from metier.students.lm.vocabulary.facts import read_facts, write_facts
from metier.students.lm.vocabulary.matrices import OUTPUT, count_parameters, input_matrix, is_tied, token_matrices
from metier.students.lm.vocabulary.merging import merges_among
from metier.students.lm.vocabulary.records import VOCABULARY_FILE, read_trimmed, write_record
from metier.students.lm.vocabulary.rewriting import (
    cut_tokenizer,
    ids_of,
    read_json,
    special_ids,
    write_json,
    write_small_files,
)
from metier.students.lm.vocabulary.segmenters import Segmenter, read_segmenter, why_not
from metier.students.lm.vocabulary.weights import (
    Outgoing,
    chosen_rows,
    read_tensors,
    replaced_rows,
    unchanged,
    write_safetensors,
)

Ids = npt.NDArray[np.int64]

# Sizes tried, in order. What the texts need comes first whatever its size; on receipts, court rulings and dialogues that
# alone lets unseen text grow by 0.6 to 2.1%, so that larger vocabularies are for tasks with few texts.
SIZES = (4096, 8192, 12288, 16384)
# Growth of unseen text that is accepted: the time lost in reading it is then below that which a larger matrix costs.
_GROWTH_LIMIT = 0.02
_FEWEST_TEXTS = 20  # below, a tenth says nothing, and the largest size is taken
_WEIGHTS = "model.safetensors"


def trim(
    base_folder: Path,
    texts: Iterable[str],
    target: Path,
    *,
    mode: Literal["trim", "keep"] = "trim",
    progress: Progress = silent,
) -> Trimmed:
    """Write the base to `target` with the tokens that `texts` (prompts with their answers) call for; "keep" copies it.

    Kept are: the tokens of the texts and of their derivations (see `merging`, which proves that text made of kept tokens is
    segmented exactly as by the base); single bytes, so that any text can still be written; tokens with a role, those of the
    chat template and all that are matched before merging, but for places held free; printable ASCII; JSON's punctuation.
    Where a tenth of the texts, left out, grows by more than 2%, the domain's likeliest other tokens join, up to 16,384.

    The weights are copied block by block. A tokenizer or model that cannot be cut is kept, and `reason` says why. `target`
    appears whole, in one rename; what was there is replaced. Raises BadInput where the base's folder is not complete.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.parent / f".{target.name}.{os.getpid()}.tmp"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        _make(base_folder, texts, work, mode, progress)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return read_trimmed(target)


def restore(trimmed: Path, base: Path, target: Path) -> None:
    """Write the whole vocabulary's model to `target`: rows of kept tokens and all other weights from `trimmed` (tuned or
    not), rows of the other tokens, tokenizer and configuration from `base`. Nothing tuned gives the base's weights again.

    Raises BadInput where `trimmed` was not cut from this base.
    """
    record = read_trimmed(trimmed)
    tuned, whole = read_tensors(trimmed), read_tensors(base)
    n_rows = read_json(base / "config.json")["vocab_size"]
    matrices = token_matrices(whole, n_rows)
    _check_origin(record, n_rows, set(tuned), set(whole))
    target.mkdir(parents=True, exist_ok=True)
    embeddings = input_matrix(matrices)
    out: list[Outgoing] = []
    for name, tensor in tuned.items():
        # Tuning may have parted an output matrix that was the embeddings; their rows are the base's then.
        rows_from = name if name in matrices else embeddings if name == OUTPUT else None
        if rows_from is not None and record.mode == "trim":
            out.append(replace(replaced_rows(whole[rows_from], record.kept, tensor), name=name))
        else:
            out.append(unchanged(tensor))
    for path in base.iterdir():
        if path.is_file() and path.suffix in (".json", ".jinja") and path.name not in (VOCABULARY_FILE, "base.json"):
            shutil.copyfile(path, target / path.name)
    config = read_json(base / "config.json")
    write_json(target / "config.json", {**config, "tie_word_embeddings": is_tied(trimmed)})
    write_safetensors(target / _WEIGHTS, out)


def _make(base: Path, texts: Iterable[str], work: Path, mode: str, progress: Progress) -> None:
    tensors = read_tensors(base)
    n_rows = int(read_json(base / "config.json").get("vocab_size") or 0)
    matrices = token_matrices(tensors, n_rows)
    if mode == "keep":
        return _keep(base, work, n_rows, "the whole vocabulary was asked for")
    segmenter = read_segmenter(base)
    problem = why_not(segmenter)
    if problem is None and input_matrix(matrices) is None:
        problem = "its embeddings have a name or form that is not known here"
    if problem is not None:
        return _keep(base, work, n_rows, f"the vocabulary was kept whole: {problem}")
    tokens, why = _choose(base, segmenter, list(texts), progress)
    kept = np.asarray(ids_of(segmenter, tokens), dtype=np.int64)
    if len(kept) >= n_rows:
        return _keep(base, work, n_rows, "the texts need every token")
    _write_cut(base, work, segmenter, tokens, kept, progress)
    n_parameters = count_parameters(read_tensors(work), tied=is_tied(base))
    n_base = count_parameters(tensors, tied=is_tied(base))
    reason = f"{len(kept):,} of {n_rows:,} tokens were kept: {why}"
    write_record(Trimmed(work, "trim", reason, n_rows, len(kept), n_base, n_parameters, kept))
    return None


def _choose(base: Path, segmenter: Segmenter, texts: list[str], progress: Progress) -> tuple[set[str], str]:
    """The tokens to keep, and what decided on their number."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    roles = special_ids(base)
    facts = read_facts(base)
    if facts is not None:
        roles |= set(facts.ids.values())
        texts = [*texts, facts.chat_template] if facts.chat_template else texts
    counted = count_tokens(tokenizer, texts, progress)
    core = needed(segmenter, tokenizer, counted, roles)
    likely = list(candidates(segmenter, counted.characters))
    size, why = _size(segmenter, tokenizer, texts, roles, progress)
    return closed(segmenter, extended(segmenter, core, likely, size)), why


def _size(
    segmenter: Segmenter, tokenizer: Tokenizer, texts: list[str], roles: set[int], progress: Progress
) -> tuple[int, str]:
    """The smallest size at which texts that were left out hardly grow."""
    rest, left_out = split_off(texts)
    if len(texts) < _FEWEST_TEXTS:
        return SIZES[-1], f"{len(texts)} texts are too few to tell how much is enough"
    before = _n_tokens(tokenizer, left_out)
    counted = count_tokens(tokenizer, rest, silent)
    core = needed(segmenter, tokenizer, counted, roles)
    likely = list(candidates(segmenter, counted.characters))
    growth = 0.0
    for step, size in enumerate(SIZES):
        progress("choosing the vocabulary", step, len(SIZES))
        tried = Tokenizer.from_str(json.dumps(cut_tokenizer(segmenter, extended(segmenter, core, likely, size))))
        growth = _n_tokens(tried, left_out) / before - 1 if before else 0.0
        if growth <= _GROWTH_LIMIT:
            break
    progress("choosing the vocabulary", len(SIZES), len(SIZES))
    return size, f"a tenth of the texts, left out of the choice, then takes {growth:.1%} more tokens"


def _n_tokens(tokenizer: Tokenizer, texts: list[str]) -> int:
    return sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False))


def _write_cut(base: Path, work: Path, segmenter: Segmenter, tokens: set[str], kept: Ids, progress: Progress) -> None:
    new_id = {int(old): new for new, old in enumerate(kept)}
    write_small_files(base, work, new_id)
    cut = json.dumps(cut_tokenizer(segmenter, tokens), ensure_ascii=False)
    (work / "tokenizer.json").write_text(cut, encoding="utf-8")
    facts = read_facts(base)
    if facts is not None:
        merges = [f"{left} {right}" for left, right in merges_among(segmenter.merges, tokens)]
        write_facts(facts.subset(kept.tolist(), merges), work)
    tensors = read_tensors(base)
    n_rows = read_json(base / "config.json")["vocab_size"]
    matrices = token_matrices(tensors, n_rows)
    progress("cutting the vocabulary", 0, 1)
    out = [chosen_rows(tensor, kept) if name in matrices else unchanged(tensor) for name, tensor in tensors.items()]
    write_safetensors(work / _WEIGHTS, out)
    progress("cutting the vocabulary", 1, 1)


def _keep(base: Path, work: Path, n_rows: int, reason: str) -> None:
    for path in base.iterdir():
        if path.is_file() and path.suffix in (".json", ".jinja") and path.name not in (VOCABULARY_FILE, "base.json"):
            shutil.copyfile(path, work / path.name)
    tensors = read_tensors(base)
    # A copy, not a link: whoever tunes in the folder must not write into the cache.
    write_safetensors(work / _WEIGHTS, [unchanged(tensor) for tensor in tensors.values()])
    (work / "model.safetensors.index.json").unlink(missing_ok=True)
    n_parameters = count_parameters(tensors, tied=is_tied(base))
    kept = np.arange(n_rows, dtype=np.int64)
    write_record(Trimmed(work, "keep", reason, n_rows, n_rows, n_parameters, n_parameters, kept))


def _check_origin(record: Trimmed, n_rows: int, tuned: set[str], whole: set[str]) -> None:
    strange = sorted(tuned - whole - {OUTPUT})
    if record.n_vocabulary_base != n_rows or strange:
        what = (
            f"it has '{strange[0]}'" if strange else f"it was cut from {record.n_vocabulary_base} tokens, not {n_rows}"
        )
        raise BadInput(f"{record.folder} was not cut from this base: {what}. Give the base that it was cut from.")
