"""gguf: a local model file answered by llama.cpp in this process, held to the task's labels by a grammar."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.errors import GeneralistFailed, MissingExtra
from metier.generalists.cache import open_cache, request_key
from metier.generalists.prompts import Message, messages_for
from metier.generalists.protocol import GeneralistAnswer, Question
from metier.generalists.replies import read_body
from metier.progress import Progress, silent

# llama.cpp stops a label's grammar by itself; this bounds what a broken model can do.
_MAX_TOKENS = 256
_CONTEXT_TOKENS = 4096
_QUIET = -1


@dataclass(frozen=True)
class LocalGguf:
    """Answers with the GGUF model in `path`: greedy decoding, one item at a time, no bill (`cost_usd` is 0).

    Every answer is one of the question's labels. Needs the `[lm]` extra.
    """

    path: Path
    model: str
    prompt: str = ""
    cache_path: Path | None = None
    caveat: str = ""

    @property
    def name(self) -> str:
        return f"{self.model} (local GGUF)"

    @property
    def condition(self) -> str:
        return "one answer at a time, llama.cpp in this process, loaded"

    def answer(self, questions: Sequence[Question], *, progress: Progress = silent) -> list[GeneralistAnswer]:
        """One answer a question; only those not in the cache load the model. Raises MissingExtra, GeneralistFailed."""
        if not self.path.is_file():
            raise GeneralistFailed(f"no model file at {self.path}; set path in [generalist] to a GGUF file")
        digest = _digest(self.path)
        parameters = {"grammar": "labels", "max_tokens": _MAX_TOKENS, "context": _CONTEXT_TOKENS}
        messages = {question.id: messages_for(question, self.prompt) for question in questions}
        keys = {
            question.id: request_key("gguf", digest, messages[question.id], {**parameters, "labels": question.labels})
            for question in questions
        }
        with open_cache(self.cache_path) as cache:
            answers = cache.get(keys)
            todo = [question for question in questions if question.id not in answers]
            server = _load(self.path) if todo else None
            for done, question in enumerate(todo, start=len(answers)):
                progress(f"Asking {self.model}", done, len(questions))
                answer = _ask(server, question, messages[question.id])
                answers[question.id] = answer
                if answer.text is not None:
                    cache.keep(keys[question.id], self.model, answer)
        progress(f"Asking {self.model}", len(questions), len(questions))
        return [answers[question.id] for question in questions]


def labels_grammar(labels: Sequence[str]) -> str:
    """A GBNF grammar whose only sentences are the labels."""
    # GBNF literals take the escapes of JSON strings for quotes, backslashes and control characters.
    return "root ::= " + " | ".join(json.dumps(label, ensure_ascii=False) for label in labels)


def _ask(server: Any, question: Question, messages: list[Message]) -> GeneralistAnswer:
    request = {
        "messages": messages,
        "temperature": 0.0,
        "max_tokens": _MAX_TOKENS,
        "grammar": labels_grammar(question.labels),
        # Models that think aloud first would be stopped by the grammar; ask for the bare answer.
        "chat_template_kwargs": {"enable_thinking": False},
    }
    started = time.perf_counter()
    try:
        result = server.handle_chat_completions(request)
    except RuntimeError:
        return GeneralistAnswer(question.id, None, "rejected", cost_usd=0.0)
    latency_s = time.perf_counter() - started
    if "error" in result:
        return GeneralistAnswer(question.id, None, "rejected", cost_usd=0.0)
    reply = read_body(json.dumps(result))
    return GeneralistAnswer(
        question.id, reply.text, reply.failure, reply.input_tokens, reply.output_tokens, latency_s, cost_usd=0.0
    )


def _load(path: Path) -> Any:
    try:
        import xllamacpp
    except ImportError:
        raise MissingExtra("lm", "a local GGUF model") from None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = _CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.verbosity = _QUIET
    # Its threads wait for each other by spinning: one too many on a busy machine costs tenfold, one too few little.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 2) - 1)
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise GeneralistFailed(f"{path}: llama.cpp cannot load this file as a GGUF model: {error}") from error


def _digest(path: Path) -> str:
    """Hash of the file's size and its two ends: tells model files apart without reading gigabytes."""
    size, end = path.stat().st_size, 1 << 20
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(end))
        file.seek(max(0, size - end))
        digest.update(file.read(end))
    return digest.hexdigest()
