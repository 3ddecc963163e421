"""Models that llama.cpp holds in this process, one loaded after another.

Its constraint engine (llguidance) is handed a model's vocabulary when the model first answers under a constraint, and keeps
one, by the model's address, until another model asks (`llama_sampler_llg_new_tokenizer` of llama.cpp has it in static
variables). It does not hear that a model was freed: the next one that comes to lie at that address would be held to the
vocabulary of the one before, and write what it likes, without a word. So no model but a process's first goes to work before
another has asked.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

_LOADING = Lock()
_SMALL_CONTEXT = 256
# Any constraint will do.
_ASKED = {"prompt": [0], "n_predict": 1, "temperature": 0.0, "json_schema": {"type": "object"}}
_has_loaded = False


def load_model(parameters: Callable[[], Any]) -> Any:
    """llama.cpp's server (`xllamacpp.Server`) with the `parameters`, of which each call gives new ones. Raises what the
    server raises: RuntimeError or MemoryError, for a file or a size that it cannot load.

    Where this process has loaded a model before, the file is opened once more for a moment, with a small context and
    sharing the weights' pages, so that another address is what the constraint engine keeps.
    """
    global _has_loaded
    import xllamacpp

    with _LOADING:
        server = xllamacpp.Server(parameters())
        if _has_loaded:
            beside = parameters()
            beside.n_ctx, beside.n_parallel = _SMALL_CONTEXT, 1
            beside.n_gpu_layers, beside.no_extra_bufts = 0, True
            # While both are there, they lie at different addresses. What it answers is of no use.
            xllamacpp.Server(beside).handle_completions(dict(_ASKED))
        _has_loaded = True
    return server
