"""Models that llama.cpp holds in this process, one loaded after another.

Its constraint engine (llguidance) is handed a model's vocabulary when the model first answers under a constraint, and keeps
one, by the model's address, until another model asks (`llama_sampler_llg_new_tokenizer` of llama.cpp has it in static
variables). It does not hear that a model was freed: the next one that comes to lie at that address would be held to the
vocabulary of the one before, and write what it likes, without a word. So no model but a process's first goes to work before
another has asked.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from threading import Lock
from typing import Any

_LOADING = Lock()
_QUIET = -1
_SMALL_CONTEXT = 256
# Any constraint will do.
_ASKED = {"prompt": [0], "n_predict": 1, "temperature": 0.0, "json_schema": {"type": "object"}}
_has_loaded = False


def load_model(parameters: Callable[[], Any], key: str = "") -> Any:
    """llama.cpp's server (`xllamacpp.Server`) with the `parameters`, of which each call gives new ones, loaded quietly.
    Raises what the server raises: RuntimeError or MemoryError, for a file or a size that it cannot load.

    The binding also opens a port on the loopback address. It is closed to whoever does not know the `key`; to everybody,
    where none is given.

    Where this process has loaded a model before, the file is opened once more for a moment, with a small context and
    sharing the weights' pages, so that another address is what the constraint engine keeps.
    """
    global _has_loaded
    import xllamacpp

    key = key or secrets.token_hex(16)

    def closed() -> Any:
        made = parameters()
        made.verbosity = _QUIET
        made.api_keys = [key]
        made.ui = made.endpoint_slots = False
        return made

    with _LOADING:
        server = xllamacpp.Server(closed())
        if _has_loaded:
            beside = closed()
            beside.n_ctx, beside.n_parallel = _SMALL_CONTEXT, 1
            beside.n_gpu_layers, beside.no_extra_bufts = 0, True
            # While both are there, they lie at different addresses. What it answers is of no use.
            xllamacpp.Server(beside).handle_completions(dict(_ASKED))
        _has_loaded = True
    return server
