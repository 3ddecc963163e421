"""The build that stands on others' shoulders: the base's own, which specialists share in memory, and adapters on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metier.errors import BadInput
from metier.students.exports import sha256_of
from metier.students.lm.engine import Adapter, LlamaEngine
from metier.students.lm.exporting import About, write_adapter_gguf, write_gguf
from metier.students.lm.phases import Facts

SHARED = "shared"
# The same for every specialist of a base, or their files would not be the same.
_DESCRIPTION = "A base model whose specialists are adapters on top."
_PRECISION = "q8_0"
_ADAPTERS = "adapter-*.gguf"


@dataclass(frozen=True)
class Standing:
    """The base in Hugging Face layout, its vocabulary whole, and what was tuned on it, in the order of the tunings."""

    base: Path
    adapters: tuple[Path, ...]


def write_shared(standing: Standing, about: About, place: Path) -> Facts:
    """Write the base's 8-bit build and the adapters to the folder `place`; the size is that of all of them.

    Raises BadInput where there is no adapter: every weight was tuned, and there is nothing to share.
    """
    if not standing.adapters:
        raise BadInput("quantisation = 'shared' needs a specialist that is an adapter: set method = 'lora'")
    plain = About(licence=about.licence, base_model=about.base_model, description=_DESCRIPTION)
    size = write_gguf(standing.base, place / "model.gguf", _PRECISION, about=plain)
    for number, adapter in enumerate(standing.adapters):
        size += write_adapter_gguf(adapter, standing.base, place / f"adapter-{number}.gguf")
    return {"size": size}


def adapters_beside(build: Path) -> list[Path]:
    """The adapters that belong on top of a build, in order."""
    return sorted(build.parent.glob(_ADAPTERS))


def open_build(build: Path, n_context: int, parallel: int) -> LlamaEngine:
    """An engine over a build as it lies in the work folder, with the adapters beside it."""
    found: Sequence[Path] = adapters_beside(build)
    if not found:
        return LlamaEngine(build, n_context=n_context, parallel=parallel)
    adapters = [Adapter(path, sha256_of(path)) for path in found]
    return LlamaEngine.shared(build, sha256_of(build), adapters, n_context=n_context, parallel=parallel)
