"""gguf: a local model file answered by llama.cpp in this process, held to the task's labels or schema by a grammar."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.artefacts.tasks import OutputKind
from metier.errors import GeneralistFailed, MissingExtra
from metier.generalists.cache import open_cache, request_key
from metier.generalists.prompts import Message, messages_for
from metier.generalists.protocol import GeneralistAnswer, Question
from metier.generalists.reading import check_schemas, read_answer
from metier.generalists.replies import Reply, read_body, read_status
from metier.generalists.shots import Shot
from metier.llama_models import load_model
from metier.machine import usable_cores
from metier.progress import Progress, silent

CONTEXT_TOKENS = 8192
MAX_TOKENS = 512
# So many refused prompts, before a single one is answered, mean that the model takes none written like these.
_HOPELESS_PROMPTS = 40
# Of several samples the first is the model's best answer; the others are drawn at this temperature where none is given.
_SAMPLING_TEMPERATURE = 0.8
# For llama.cpp's constraint engine (llguidance): records on one line, since spaces and line breaks between the keys are
# tokens that take as long as any other. Keywords it does not know would make it drop the constraint; it shall drop them.
_NOTATION = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "lenient": True}


@dataclass(frozen=True)
class LocalGguf:
    """Answers with the GGUF model in `path`: greedy decoding, one item at a time, no bill (`cost_usd` is 0).

    Every label is one of the question's, every record is written under its schema's grammar. `shots` are worked examples
    shown before every question that has none of its own; what stands before the item is read once and kept. `threads` 0
    means all cores that this process may use but one. Needs the `[lm]` extra.
    """

    path: Path
    model: str
    prompt: str = ""
    cache_path: Path | None = None
    shots: tuple[Shot, ...] = ()
    max_output_tokens: int = MAX_TOKENS
    context_tokens: int = CONTEXT_TOKENS
    threads: int = 0
    caveat: str = ""

    @property
    def name(self) -> str:
        return f"{self.model} (local GGUF)"

    @property
    def condition(self) -> str:
        cores = "one thread" if self.n_threads == 1 else f"{self.n_threads} threads"
        return (
            f"one answer at a time, {cores}, llama.cpp in this process, loaded, what all prompts begin with read before"
        )

    @property
    def n_threads(self) -> int:
        """The threads that answer. They wait for each other by spinning: one too many on a busy machine costs tenfold."""
        return self.threads or max(1, usable_cores() - 1)

    def answer(self, questions: Sequence[Question], *, progress: Progress = silent) -> list[GeneralistAnswer]:
        """One answer a question; only those not in the cache load the model. Raises MissingExtra, GeneralistFailed."""
        if not self.path.is_file():
            raise GeneralistFailed(f"no model file at {self.path}; set path in [generalist] to a GGUF file")
        check_schemas(questions)
        digest = _digest(self.path)
        messages = {question.id: messages_for(question, self.prompt, self.shots) for question in questions}
        keys = {one.id: request_key("gguf", digest, messages[one.id], self._parameters(one)) for one in questions}
        with open_cache(self.cache_path) as cache:
            answers = cache.get(keys)
            todo = [question for question in questions if question.id not in answers]
            server = _load(self) if todo else None
            if todo:
                self._warm_up(server, todo[0])
            n_refused = 0
            for done, question in enumerate(todo, start=len(answers)):
                progress(f"Asking {self.model}", done, len(questions))
                reply, latency_s = _complete(server, self._request(question, messages[question.id]))
                answer = _answer(question, reply, latency_s)
                answers[question.id] = answer
                n_refused += reply.failure == "rejected"
                if n_refused == len(answers) == min(_HOPELESS_PROMPTS, len(questions)):
                    raise GeneralistFailed(
                        f"{self.path}: llama.cpp refused each of the first {n_refused} prompts, the last with: {reply.said}"
                    )
                if answer.text is not None:
                    cache.keep(keys[question.id], self.model, answer)
        progress(f"Asking {self.model}", len(questions), len(questions))
        return [read_answer(question, answers[question.id]) for question in questions]

    def _parameters(self, question: Question) -> dict[str, Any]:
        """What shapes an answer besides the messages, and the threads that its latency was measured with."""
        return {
            "kind": question.kind.value,
            "labels": question.labels if question.kind is OutputKind.LABEL else (),
            "schema": question.output_schema if question.kind is OutputKind.FIELDS else None,
            "max_tokens": self.max_output_tokens,
            "context": self.context_tokens,
            "threads": self.n_threads,
            "sample": question.sample,
            "temperature": _temperature(question),
        }

    def _request(self, question: Question, messages: list[Message]) -> dict[str, Any]:
        request: dict[str, Any] = {
            "messages": messages,
            "temperature": _temperature(question),
            "seed": question.sample,
            "max_tokens": self.max_output_tokens,
            "cache_prompt": True,
            # Models that think aloud first would be stopped by the grammar; ask for the bare answer.
            "chat_template_kwargs": {"enable_thinking": False},
        }
        if question.kind is OutputKind.LABEL:
            request["grammar"] = labels_grammar(question.labels)
        elif question.kind is OutputKind.FIELDS:
            request["grammar"] = record_grammar(question.output_schema or {})
        return request

    def _warm_up(self, server: Any, question: Question) -> None:
        """Read what all prompts begin with, and touch the weights, before anything is timed."""
        blank = Question(
            question.id, "-", question.labels, question.template, None, question.kind, question.output_schema,
            question.shots, question.instruction,
        )  # fmt: skip
        _complete(server, {**self._request(blank, messages_for(blank, self.prompt, self.shots)), "max_tokens": 1})


def labels_grammar(labels: Sequence[str]) -> str:
    """A GBNF grammar whose only sentences are the labels."""
    # GBNF literals take the escapes of JSON strings for quotes, backslashes and control characters.
    return "root ::= " + " | ".join(json.dumps(label, ensure_ascii=False) for label in labels)


def record_grammar(schema: Mapping[str, Any]) -> str:
    """The grammar of the JSON objects that fit a schema, on one line, with no keys but its own unless it says otherwise.
    What a grammar cannot express is left to the reading of the answer, which checks the whole schema."""
    import xllamacpp

    stated = {"type": "object", "additionalProperties": False, **schema, "x-guidance": _NOTATION}
    return str(xllamacpp.json_schema_to_grammar(json.dumps(stated)))


def _temperature(question: Question) -> float:
    if question.temperature is not None:
        return question.temperature
    return _SAMPLING_TEMPERATURE if question.sample else 0.0


def _complete(server: Any, request: dict[str, Any]) -> tuple[Reply, float]:
    """The reply, and the seconds it took."""
    started = time.perf_counter()
    try:
        result = server.handle_chat_completions(request)
    except RuntimeError as error:
        return read_status(400, None, str(error), None, 0.0), 0.0
    latency_s = time.perf_counter() - started
    if "error" in result:
        said = result["error"]
        return read_status(400, str(said.get("type")), str(said.get("message")), None, 0.0), latency_s
    return read_body(json.dumps(result)), latency_s


def _answer(question: Question, reply: Reply, latency_s: float) -> GeneralistAnswer:
    if reply.text is None and not reply.final:
        return GeneralistAnswer(question.id, None, reply.failure, cost_usd=0.0)
    failure = "cut off" if reply.hit_limit else reply.failure
    return GeneralistAnswer(
        question.id, reply.text, failure, reply.input_tokens, reply.output_tokens, latency_s, cost_usd=0.0
    )


def _load(settings: LocalGguf) -> Any:
    try:
        import xllamacpp
    except ImportError:
        raise MissingExtra("lm", "a local GGUF model") from None

    def parameters() -> Any:
        made = xllamacpp.CommonParams()
        made.model.path = str(settings.path)
        made.n_ctx = settings.context_tokens
        made.n_parallel = 1
        # Copies of earlier prompts would be made at every call and may fill gigabytes; the prefix stays without them.
        made.cache_ram_mib = 0
        made.cpuparams.n_threads = made.cpuparams_batch.n_threads = settings.n_threads
        return made

    try:
        return load_model(parameters)
    except (RuntimeError, MemoryError) as error:
        # llama.cpp does not say which of the two it is.
        raise GeneralistFailed(
            f"{settings.path}: llama.cpp cannot load this file as a GGUF model with a context of "
            f"{settings.context_tokens:,} tokens: {str(error) or 'out of memory'}. Where the file is one, the context may "
            "be too large for memory: lower context_tokens, or close other programs."
        ) from error


def _digest(path: Path) -> str:
    """Hash of the file's size and its two ends: tells model files apart without reading gigabytes."""
    size, end = path.stat().st_size, 1 << 20
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(end))
        file.seek(max(0, size - end))
        digest.update(file.read(end))
    return digest.hexdigest()
