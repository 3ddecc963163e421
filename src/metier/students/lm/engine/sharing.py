"""Loaded models that several engines of this process use: a file is in memory once, however many stand on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from metier.students.lm.engine.server import Llama


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter in GGUF, known by its SHA-256."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class _Key:
    """What must be alike for engines to share a model: the file's SHA-256 and how it is run."""

    sha256: str
    n_context: int
    threads: int
    parallel: int


@dataclass(frozen=True)
class _Loaded:
    """A model with the adapters that may be put on it, in llama.cpp's order."""

    llama: Llama
    adapters: tuple[Adapter, ...]


@dataclass
class _Held:
    """What is loaded now, exchanged as a whole, and of every lease on it the digests of its adapters."""

    loaded: _Loaded
    leases: list[frozenset[str]] = field(default_factory=list)


@dataclass
class Registry:
    """The models that are loaded in this process. Threads share it."""

    _held: dict[_Key, _Held] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def lease(
        self,
        path: Path,
        sha256: str,
        adapters: Sequence[Adapter] = (),
        *,
        n_context: int,
        threads: int,
        parallel: int,
    ) -> Lease:
        """A share in the model of the file `path`, whose SHA-256 is `sha256`, with these adapters on top.

        llama.cpp takes adapters when it loads a model, so a new one has the model loaded anew, with all adapters in use;
        requests under way end with the one before. Raises as `Llama` does, and leaves what is loaded as it is.
        """
        key, wanted = _Key(sha256, n_context, threads, parallel), frozenset(adapter.sha256 for adapter in adapters)
        with self._lock:
            held = self._held.get(key)
            known = held.loaded.adapters if held is not None else ()
            if held is None or wanted - {adapter.sha256 for adapter in known}:
                # Of those that nobody uses any more even the files may be gone.
                in_use = frozenset[str]().union(*held.leases) if held is not None else frozenset[str]()
                kept = [adapter for adapter in known if adapter.sha256 in in_use]
                every = tuple({adapter.sha256: adapter for adapter in (*kept, *adapters)}.values())
                # Off, unless a request asks for them: some ask for none.
                scales = dict.fromkeys((adapter.path for adapter in every), 0.0)
                llama = Llama(path, n_context=n_context, threads=threads, parallel=parallel, adapters=scales)
                if held is None:
                    held = self._held[key] = _Held(_Loaded(llama, every))
                else:
                    held.loaded = _Loaded(llama, every)
            held.leases.append(wanted)
        return Lease(self, key, held, wanted)

    def n_loaded(self) -> int:
        """How many models are in memory."""
        with self._lock:
            return len(self._held)

    def _give_back(self, key: _Key, held: _Held, adapters: frozenset[str]) -> None:
        with self._lock:
            held.leases.remove(adapters)
            if held.leases:
                return
            del self._held[key]
        held.loaded.llama.close()


@dataclass
class Lease:
    """One engine's share in a loaded model, until `release`."""

    _registry: Registry
    _key: _Key
    _held: _Held
    _adapters: frozenset[str]
    _is_released: bool = False

    @property
    def llama(self) -> Llama:
        """The model as it is loaded now; another object once somebody brought a new adapter."""
        return self._held.loaded.llama

    def current(self) -> tuple[Llama, Mapping[str, Any]]:
        """The model, and what a request to it must say so that this lease's adapters are on, and no others.

        Every adapter is named: llama.cpp would go on with what a slot remembers of a prompt, read with other adapters,
        where a request leaves them to the default.
        """
        loaded = self._held.loaded
        scales = [
            {"id": place, "scale": float(one.sha256 in self._adapters)} for place, one in enumerate(loaded.adapters)
        ]
        return loaded.llama, {"lora": scales} if scales else {}

    def release(self) -> None:
        """Give the share back; the last one frees the model."""
        if not self._is_released:
            self._is_released = True
            self._registry._give_back(self._key, self._held, self._adapters)


LOADED = Registry()
