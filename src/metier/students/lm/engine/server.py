"""llama.cpp's server in this process: load it quietly, turn text into token ids, run requests."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from metier.errors import BadInput, MissingExtra
from metier.llama_models import load_model
from metier.machine import usable_cores

_TIMEOUT_S = 60.0
# What the server keeps of past prompts beside its slots is of no use to a specialist, whose prompts share one beginning.
_NO_STORE_MIB = 0

Chunk = Mapping[str, Any]


class Llama:
    """A loaded model. Thread safe; requests beyond `parallel` wait in llama.cpp's queue. `adapters` are put on top at their
    scales, where a request does not name others (`lora`).

    The binding also opens a port on the loopback address, the only way to its tokenizer: it is closed to others by a key
    that is drawn at loading and never leaves this process.
    """

    def __init__(
        self, path: Path, *, n_context: int, threads: int, parallel: int, adapters: Mapping[Path, float] | None = None
    ) -> None:
        self._key = secrets.token_hex(16)
        self._server = _load(path, n_context, threads, parallel, adapters or {}, self._key)
        # llama.cpp waits for ever for a loop that is told to end before it began; one that has answered has begun.
        self.complete({"prompt": [0], "n_predict": 1, "temperature": 0.0})
        self._address = urlsplit(self._server.listening_address)
        self.end_text = str(self._ask("GET", "/props")["eos_token"])

    def tokens(self, text: str, *, special: bool, begin: bool = False) -> list[int]:
        """The ids of `text`; `special`: special tokens written in it count; `begin`: as the model wants a text to begin."""
        asked = {"content": text, "parse_special": special, "add_special": begin}
        return list(self._ask("POST", "/tokenize", asked)["tokens"])

    def specials_in(self, text: str) -> set[str]:
        """The special tokens that are written in `text`."""
        plain, parsed = self.tokens(text, special=False), self.tokens(text, special=True)
        if plain == parsed:
            return set()
        asked = {"content": text, "parse_special": True, "add_special": False, "with_pieces": True}
        pieces = {
            token["piece"]
            for token in self._ask("POST", "/tokenize", asked)["tokens"]
            if isinstance(token["piece"], str) and token["id"] not in plain
        }
        return {piece for piece in pieces if self.tokens(piece, special=False) != self.tokens(piece, special=True)}

    def complete(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The completion of a request, which must not stream. Raises BadInput where llama.cpp refuses it."""
        reply: Mapping[str, Any] = self._server.handle_completions(dict(request))
        _refuse(reply)
        return reply

    def stream(self, request: Mapping[str, Any], on_chunk: Callable[[Chunk], bool]) -> None:
        """Run a request, handing on every chunk until `on_chunk` says to stop. Raises BadInput where it is refused.

        What `on_chunk` raises is raised here: the binding would print it and go on.
        """
        failures: list[BaseException] = []

        def guarded(chunk: Any) -> bool:
            try:
                for part in chunk if isinstance(chunk, list) else [chunk]:
                    _refuse(part)
                    if on_chunk(part):
                        return True
            except BaseException as error:
                failures.append(error)
                return True
            return False

        self._server.handle_completions({**request, "stream": True}, guarded)
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Free the model; further calls fail."""
        self._server = None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        connection = HTTPConnection(str(self._address.hostname), self._address.port, timeout=_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        _refuse(reply)
        return reply


def idle_cores() -> int:
    """How many cores have nothing to do, at least one.

    llama.cpp's threads wait for each other by spinning: one too many on a busy machine costs tenfold, one too few little.
    """
    cores = usable_cores()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(cores, round(cores - busy)))


def pieces_of(chunk: Chunk) -> Sequence[Mapping[str, Any]]:
    """The tokens of a chunk or a completion, with `id`, `token` and `logprob` or `top_probs`."""
    logprobs = chunk["choices"][0].get("logprobs")
    return logprobs["content"] if logprobs else ()


def _load(path: Path, n_context: int, threads: int, parallel: int, adapters: Mapping[Path, float], key: str) -> Any:
    try:
        import xllamacpp
    except ImportError:
        raise MissingExtra("lm", "answering with a language-model specialist") from None
    for file in (path, *adapters):
        if not file.is_file():
            raise BadInput(f"no model file at {file}")
    n_threads = threads or idle_cores()

    def parameters() -> Any:
        made = xllamacpp.CommonParams()
        made.model.path = str(path)
        made.n_ctx = n_context * parallel
        made.n_parallel = parallel
        made.fit_params = False
        made.cache_ram_mib = _NO_STORE_MIB
        # The whole window of every layer is kept: prompts that begin alike, and the labels' forks, are not read anew.
        made.swa_full = True
        made.n_ctx_checkpoints = 0
        made.n_threads_http = 2
        made.cpuparams.n_threads = made.cpuparams_batch.n_threads = n_threads
        if adapters:
            made.lora_adapters = [
                xllamacpp.CommonAdapterLoraInfo(str(adapter), scale) for adapter, scale in adapters.items()
            ]
        return made

    try:
        return load_model(parameters, key)
    except (RuntimeError, MemoryError) as error:
        # llama.cpp does not say which of the two it is.
        raise BadInput(
            f"{path}: llama.cpp cannot load this file as a GGUF model with a context of {n_context * parallel:,} tokens, "
            f"{n_context:,} for each of {parallel} answers at a time: {str(error) or 'out of memory'}. Where the file is "
            "one, the context may be too large for memory: lower max_tokens or max_output_tokens, or close other programs."
        ) from error


def _refuse(reply: Mapping[str, Any]) -> None:
    if "error" in reply:
        error = reply["error"]
        raise BadInput(
            f"llama.cpp refused the request: {error.get('message', error) if isinstance(error, dict) else error}"
        )
