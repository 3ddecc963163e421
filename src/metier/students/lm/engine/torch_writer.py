"""TorchWriter: the training-time model as a `Writer`, for samples to learn from and to hold the served build against."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metier.errors import BadInput, MissingExtra
from metier.students.lm.engine.labels import LabelTree, chosen_label, draw, plant, weigh
from metier.students.lm.engine.loops import is_looping
from metier.students.lm.engine.segments import encode_prompt, encode_text
from metier.students.lm.parts import Constraint, Finish, FloatArray, Generated

_BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass
class _Row:
    """An answer while it is written."""

    ids: list[int]
    draws: np.random.Generator
    out: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    text: str = ""
    finish: Finish | None = None


class TorchWriter:
    """A `Writer` over a folder in Hugging Face layout, `batch` prompts at a time, on the first GPU or else the CPU.

    Labels are chosen and weighed just as the served build does it. A schema is not enforced here: the answer is what the
    model writes by itself, to be judged afterwards (that is what preference tuning must see). `n_context` 0 takes the
    model's own. Raises MissingExtra, BadInput for a folder that holds no such model.
    """

    def __init__(
        self,
        folder: Path,
        *,
        n_context: int = 0,
        batch: int = 16,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        try:
            import torch
            from tokenizers import Tokenizer
            from transformers import AutoModelForCausalLM

            from metier.students.lm.likelihood import without_bars
        except ImportError:
            raise MissingExtra("train", "answering with the training-time model") from None
        if not (folder / "config.json").is_file() or not (folder / "tokenizer.json").is_file():
            raise BadInput(f"no model in {folder}: config.json and tokenizer.json are needed")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        with without_bars():
            model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, precision))
        self._model = model.to(self._device).eval()
        self._batch = batch
        self._n_context = n_context or int(model.config.max_position_embeddings)
        ends = model.generation_config.eos_token_id
        ends = model.config.eos_token_id if ends is None else ends
        self._ends: list[int] = list(ends) if isinstance(ends, list | tuple) else [int(ends)]

    def write(
        self,
        prompts: Sequence[str],
        constraint: Constraint,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]:
        """One answer a prompt, in order; see `Writer`. `latency_s` is the batch's time, shared evenly."""
        if max_tokens < 1 or temperature < 0:
            raise BadInput(f"max_tokens ({max_tokens}) must be at least 1 and temperature ({temperature}) at least 0")
        rows = [
            _Row(encode_prompt(self._tokenizer, prompt), np.random.default_rng((seed, index)))
            for index, prompt in enumerate(prompts)
        ]
        short = [index for index, row in enumerate(rows) if len(row.ids) + max_tokens <= self._n_context]
        answers = {
            index: Generated("", (), np.zeros(0), "too long", len(row.ids), 0, 0.0)
            for index, row in enumerate(rows)
            if index not in set(short)
        }
        if constraint.labels:
            tree = plant([encode_text(self._tokenizer, label) for label in constraint.labels], self._ends[0])
            for index in short:
                answers[index] = self._choose(rows[index].ids, constraint.labels, tree, temperature, seed)
        else:
            # Prompts of one length waste no padding.
            short.sort(key=lambda index: len(rows[index].ids))
            for at in range(0, len(short), self._batch):
                part = short[at : at + self._batch]
                started = time.perf_counter()
                self._fill([rows[index] for index in part], max_tokens, temperature)
                latency_s = (time.perf_counter() - started) / len(part)
                answers |= {index: self._finished(rows[index], latency_s) for index in part}
        return [answers[index] for index in range(len(rows))]

    def _fill(self, rows: list[_Row], max_tokens: int, temperature: float) -> None:
        steps = self._steps(rows)
        logits = next(steps)
        for n_written in range(1, max_tokens + 1):
            for row, values in zip(rows, logits, strict=True):
                if row.finish is None:
                    self._add(row, values, temperature)
                    if row.finish is None and n_written == max_tokens:
                        row.finish = "length"
            if all(row.finish is not None for row in rows):
                break
            logits = next(steps)

    def _steps(self, rows: list[_Row]) -> Iterator[FloatArray]:
        """The next token's log-probabilities (b, v) of every row, again after each has got a token."""
        import torch

        longest = max(len(row.ids) for row in rows)
        pads = [longest - len(row.ids) for row in rows]
        ids = torch.tensor([[self._ends[0]] * pad + row.ids for pad, row in zip(pads, rows, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * len(row.ids) for pad, row in zip(pads, rows, strict=True)])
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache = None
        while True:
            with torch.inference_mode():
                out = self._model(
                    input_ids=ids.to(self._device),
                    attention_mask=mask.to(self._device),
                    position_ids=positions.to(self._device),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                logprobs = out.logits[:, -1].float().log_softmax(-1).cpu().numpy().astype(np.float64)
            yield logprobs
            cache = out.past_key_values
            ids = torch.tensor([[row.out[-1]] for row in rows])
            mask = torch.cat([mask, torch.ones((len(rows), 1), dtype=mask.dtype)], dim=1)
            positions = positions[:, -1:] + 1

    def _add(self, row: _Row, logprobs: FloatArray, temperature: float) -> None:
        token = draw(np.exp(logprobs), temperature, row.draws)
        row.out.append(token)
        row.logprobs.append(float(logprobs[token]))
        if token in self._ends:
            row.finish = "stop"
            return
        row.text = self._decode(row.out)
        if is_looping(row.text):
            row.finish = "loop"

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _finished(self, row: _Row, latency_s: float) -> Generated:
        pieces, written = [], ""
        for stop in range(1, len(row.out) + 1):
            text = self._decode(row.out[:stop])
            whole = text if stop == len(row.out) else text.rstrip(_BROKEN)
            pieces.append(whole[len(written) :])
            written = max(whole, written, key=len)
        return Generated(
            row.text,
            tuple(pieces),
            np.array(row.logprobs),
            row.finish or "length",
            len(row.ids),
            len(row.out),
            latency_s,
        )

    def _choose(
        self, ids: list[int], labels: tuple[str, ...], tree: LabelTree, temperature: float, seed: int
    ) -> Generated:
        started = time.perf_counter()

        def fork(path: tuple[int, ...], tokens: tuple[int, ...]) -> FloatArray:
            row = _Row([*ids, *path], np.random.default_rng(0))
            chosen: FloatArray = np.exp(next(self._steps([row]))[0][list(tokens)])
            total: float = chosen.sum()
            return chosen / total

        return chosen_label(labels, weigh(tree, fork), temperature, seed, len(ids), time.perf_counter() - started)
