"""LlamaEngine: the served build of a specialist, answering in this process through llama.cpp."""

from __future__ import annotations

import json
import time
from codecs import getincrementaldecoder
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

import numpy as np

from metier.errors import BadInput
from metier.students.lm.engine.copying import copying_grammar
from metier.students.lm.engine.labels import LabelTree, chosen_label, plant, weigh
from metier.students.lm.engine.loops import is_looping
from metier.students.lm.engine.schemas import check_schema, closed
from metier.students.lm.engine.segments import runs_of
from metier.students.lm.engine.server import Chunk, Llama, pieces_of
from metier.students.lm.engine.sharing import LOADED, Adapter, Lease
from metier.students.lm.parts import Constraint, Finish, FloatArray, Generated, Prompt

# Temperature alone: what the model says is not cut by the engine's usual samplers (top-k, top-p, min-p).
_SAMPLERS = ["temperature"]
# Lifts the tokens of a fork above all others; it is the same for each, so their ratios stay as they are.
_LIFT = 100.0
# A text no JSON begins with: a model that writes it in spite of a constraint is under none.
_NO_JSON = ")"


class EngineStopped(Exception):
    """The engine was told to stop before the answer was whole."""


class LlamaEngine:
    """A `Writer` that answers with the GGUF file `path`; a context manager, thread safe.

    `n_context` tokens for a prompt with its answer; `parallel` answers are written at a time, whether one call has many
    prompts or many threads call. `threads` 0 takes the cores that are idle now. `adapter` is a
    LoRA adapter in GGUF to put on top. `lease` is a share in a model that others use, too (`LlamaEngine.shared`). Raises
    MissingExtra, and BadInput for a file that llama.cpp cannot load.

    The log-probabilities are the model's own, before the constraint's mask and the temperature. Those of an answer that
    ends by itself include its end token, whose piece is "". llama.cpp reports a character that several tokens spell as one
    token, with the probability of its last part; one that the token limit cut in two is left out.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_context: int,
        threads: int = 0,
        parallel: int = 1,
        adapter: Path | None = None,
        lease: Lease | None = None,
    ) -> None:
        adapters = {adapter: 1.0} if adapter is not None else {}
        own = None
        if lease is None:
            own = Llama(path, n_context=n_context, threads=threads, parallel=parallel, adapters=adapters)
        self._own, self._lease = own, lease
        self._n_context = n_context
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="lm-engine")
        self._lock = Lock()
        self._ends = self._llama.tokens(self._llama.end_text, special=True)
        self._specials: dict[str, set[str]] = {}
        self._trees: dict[tuple[str, ...], LabelTree] = {}
        self._schemas: dict[tuple[str, bool], dict[str, Any]] = {}
        self._is_stopped = False

    @classmethod
    def shared(
        cls,
        path: Path,
        sha256: str,
        adapters: Sequence[Adapter] = (),
        *,
        n_context: int,
        threads: int = 0,
        parallel: int = 1,
    ) -> LlamaEngine:
        """An engine that shares the model of the file, whose SHA-256 is `sha256`, with all others of this process that run
        it in the same way. Each puts its own adapters on top, for its own answers alone."""
        lease = LOADED.lease(path, sha256, adapters, n_context=n_context, threads=threads, parallel=parallel)
        try:
            return cls(path, n_context=n_context, threads=threads, parallel=parallel, lease=lease)
        except BaseException:
            lease.release()
            raise

    @property
    def _llama(self) -> Llama:
        if self._lease is not None:
            return self._lease.llama
        assert self._own is not None
        return self._own

    def _current(self) -> tuple[Llama, Mapping[str, Any]]:
        """The model as it is loaded now, and what every request to it says beside its own. Raises EngineStopped after
        `stop`."""
        if self._is_stopped:
            raise EngineStopped
        return (self._llama, {}) if self._lease is None else self._lease.current()

    def write(
        self,
        prompts: Sequence[str],
        constraint: Constraint,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]:
        """One answer a prompt, in order; see `Writer`. Raises BadInput for a schema that answers cannot be held to.

        Whoever reads a record checks it once more: one among thousands that llama.cpp broke off is `invalid`, and no reason
        to lose the others.
        """
        if max_tokens < 1 or temperature < 0:
            raise BadInput(f"max_tokens ({max_tokens}) must be at least 1 and temperature ({temperature}) at least 0")
        request: dict[str, Any] = {
            "n_predict": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "samplers": _SAMPLERS,
            "cache_prompt": True,
            "n_probs": 1,
        }
        tree = self._tree(constraint.labels) if constraint.labels else None
        if constraint.schema is not None:
            request["json_schema"] = self._schema(constraint.schema, constraint.is_compact)

        def answer(prompt: str) -> Generated:
            started = time.perf_counter()
            ids = self.encode(prompt)
            if len(ids) + max_tokens > self._n_context:
                return _unread(len(ids), started)
            if tree is not None:
                return self._choose(ids, constraint.labels, tree, temperature, seed, started)
            held = _held_to_the_input(request, constraint, prompt)
            return self._write_one({**held, "prompt": ids}, len(ids), started)

        return list(self._pool.map(answer, prompts))

    def check(self, constraint: Constraint) -> None:
        """Raise BadInput, naming the part, where answers cannot be held to the constraint: a schema that nothing satisfies,
        labels that are one to the tokenizer."""
        if constraint.labels:
            self._tree(constraint.labels)
        if constraint.schema is not None:
            self._schema(constraint.schema, constraint.is_compact)

    def encode(self, prompt: str) -> list[int]:
        """The prompt's token ids as the model gets them, the beginning-of-text token included where it wants one."""
        if not isinstance(prompt, Prompt):
            return self._llama.tokens(prompt, special=True, begin=True)
        frame = (str(prompt[: prompt.start]), str(prompt[prompt.stop :]))
        specials = self._specials_in(frame[0]) | self._specials_in(frame[1])
        ids = self._llama.tokens("", special=False, begin=True)
        for text, is_special in runs_of(prompt, specials):
            ids += self._llama.tokens(text, special=is_special)
        return ids

    def stop(self) -> None:
        """Break off the answers that are being written, at their next token: those who asked, and whoever asks later, get
        EngineStopped."""
        self._is_stopped = True

    def close(self) -> None:
        """Free the model. Waits for the answers that are being written."""
        self._pool.shutdown()
        if self._lease is not None:
            self._lease.release()
        elif self._own is not None:
            self._own.close()

    def __enter__(self) -> LlamaEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_one(self, request: Mapping[str, Any], n_input: int, started: float) -> Generated:
        texts: list[str] = []
        tokens: list[Mapping[str, Any]] = []
        finish: Finish = "length"

        def on_chunk(chunk: Chunk) -> bool:
            nonlocal finish
            if self._is_stopped:
                raise EngineStopped
            choice = chunk["choices"][0]
            tokens.extend(pieces_of(chunk))
            if choice["text"]:
                texts.append(choice["text"])
                if is_looping("".join(texts)):
                    finish = "loop"
                    return True
            if choice["finish_reason"] is not None:
                finish = "stop" if choice["finish_reason"] == "stop" else "length"
            return False

        llama, more = self._current()
        llama.stream({**request, **more}, on_chunk)
        pieces = _pieces(tokens)
        text = "".join(pieces)
        logprobs = np.array([token["logprob"] for token in tokens], dtype=np.float64)
        return Generated(text, pieces, logprobs, finish, n_input, len(tokens), time.perf_counter() - started)

    def _choose(
        self, ids: list[int], labels: tuple[str, ...], tree: LabelTree, temperature: float, seed: int, started: float
    ) -> Generated:
        def fork(path: tuple[int, ...], tokens: tuple[int, ...]) -> FloatArray:
            return self._fork([*ids, *path], tokens)

        probabilities = weigh(tree, fork)
        return chosen_label(labels, probabilities, temperature, seed, len(ids), time.perf_counter() - started)

    def _fork(self, ids: list[int], tokens: tuple[int, ...]) -> FloatArray:
        """The probabilities of `tokens` after `ids`, renormalised over them."""
        request = {
            "prompt": ids,
            "n_predict": 1,
            "temperature": 1.0,
            "samplers": _SAMPLERS,
            "logit_bias": [[token, _LIFT] for token in tokens],
            "n_probs": len(tokens),
            "post_sampling_probs": True,
            "cache_prompt": True,
        }
        llama, more = self._current()
        reply = llama.complete({**request, **more})
        found = {entry["id"]: entry["prob"] for entry in pieces_of(reply)[0]["top_probs"]}
        shares = np.array([found.get(token, 0.0) for token in tokens], dtype=np.float64)
        total: float = shares.sum()
        return shares / total

    def _tree(self, labels: tuple[str, ...]) -> LabelTree:
        with self._lock:
            if labels not in self._trees:
                ids = [self._llama.tokens(label, special=False) for label in labels]
                self._trees[labels] = plant(ids, self._ends[-1])
            return self._trees[labels]

    def _schema(self, schema: Mapping[str, Any], is_compact: bool) -> dict[str, Any]:
        key = json.dumps(schema), is_compact
        with self._lock:
            if key not in self._schemas:
                check_schema(schema, self._is_possible)
                self._schemas[key] = closed(schema, is_compact)
            return self._schemas[key]

    def _is_possible(self, schema: dict[str, Any]) -> bool:
        """Whether llama.cpp takes the schema as a constraint: one it does not take it leaves out without a word."""
        wrong = self._llama.tokens(_NO_JSON, special=False)[-1]
        request = {"prompt": self._ends[:1], "n_predict": 1, "temperature": 0.0, "samplers": _SAMPLERS}
        reply = self._llama.complete({**request, "json_schema": schema, "logit_bias": [[wrong, _LIFT]], "n_probs": 1})
        return bool(pieces_of(reply)[0]["id"] != wrong)

    def _specials_in(self, frame: str) -> set[str]:
        with self._lock:
            if frame not in self._specials:
                self._specials[frame] = self._llama.specials_in(frame)
            return self._specials[frame]


def _held_to_the_input(request: Mapping[str, Any], constraint: Constraint, prompt: str) -> Mapping[str, Any]:
    """The request with a grammar in place of the schema, where fields are copied from the prompt's input."""
    if constraint.schema is None or not constraint.copied or not isinstance(prompt, Prompt):
        return request
    source = prompt[prompt.start : prompt.stop]
    grammar = copying_grammar(constraint.schema, constraint.copied, source, constraint.is_compact)
    if grammar is None:
        return request
    return {**{name: value for name, value in request.items() if name != "json_schema"}, "grammar": grammar}


def _unread(n_input: int, started: float) -> Generated:
    return Generated("", (), np.zeros(0), "too long", n_input, 0, time.perf_counter() - started)


def _pieces(tokens: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The tokens' texts, which make up the answer; bytes that are no text are marked."""
    decoder = getincrementaldecoder("utf-8")("replace")
    last = len(tokens) - 1
    return tuple(decoder.decode(bytes(token["bytes"]), index == last) for index, token in enumerate(tokens))
