"""GENERALISTS: every backend by name, and the one function that builds the configured one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl

from metier.artefacts.datasets import Dataset
from metier.errors import BadSettings
from metier.generalists.gguf import LocalGguf
from metier.generalists.openai_compatible import OpenAICompatible, read_key
from metier.generalists.prices import ListPrice, list_price
from metier.generalists.protocol import Generalist
from metier.generalists.replay import Replay, load_replay
from metier.generalists.settings import GeneralistSettings
from metier.generalists.shots import shots_from
from metier.generalists.simulated import Simulated

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True)
class Surroundings:
    """What a backend may need besides its settings. `environ` is where keys are read from, and nowhere else."""

    dataset: Dataset
    cache_path: Path | None
    environ: Mapping[str, str]
    seed: int


Maker = Callable[[GeneralistSettings, Surroundings], Generalist | None]


def make_generalist(
    settings: GeneralistSettings,
    dataset: Dataset,
    *,
    cache_path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Generalist | None:
    """The generalist that the settings name; None where there is none, which is a supported state.

    `cache_path` is the SQLite file in which bought answers are kept (None keeps them for this run only). Raises BadSettings
    where a setting is missing, GeneralistFailed where a key is, MissingExtra where a library is.
    """
    around = Surroundings(dataset, cache_path, os.environ if environ is None else environ, seed)
    return GENERALISTS[settings.backend](settings, around)


def token_price(settings: GeneralistSettings) -> ListPrice:
    """The price in the settings, else the model's list price. Raises BadSettings where neither is known."""
    inputs, outputs = settings.input_usd_per_million, settings.output_usd_per_million
    if inputs is not None and outputs is not None:
        return ListPrice(settings.model, "", inputs, outputs, "settings")
    listed = list_price(settings.model)
    if listed is None:
        raise BadSettings(
            f"[generalist] no list price is known for model {settings.model!r}; set input_usd_per_million and "
            "output_usd_per_million (0 and 0 for a model that you run yourself)"
        )
    return ListPrice(
        listed.model,
        listed.provider,
        listed.input_usd_per_million if inputs is None else inputs,
        listed.output_usd_per_million if outputs is None else outputs,
        listed.source,
    )


def _none(_settings: GeneralistSettings, _around: Surroundings) -> None:
    return None


def _replay(settings: GeneralistSettings, around: Surroundings) -> Replay | None:
    if settings.path:
        return load_replay(Path(settings.path), settings.model)
    nothing_recorded = around.dataset.split("test")["recorded"].null_count() == around.dataset.split("test").height
    return None if nothing_recorded else Replay(model=settings.model)


def _openai(settings: GeneralistSettings, around: Surroundings) -> OpenAICompatible:
    if not settings.model:
        raise BadSettings("[generalist] model is empty; name the model that the server shall answer with")
    _refuse_secrets(settings)
    if settings.base_url and urlsplit(settings.base_url).scheme not in ("http", "https"):
        raise BadSettings(
            f"[generalist] base_url {settings.base_url!r} is no address; it starts with https:// or http://"
        )
    return OpenAICompatible(
        model=settings.model,
        price=token_price(settings),
        key=read_key(around.environ, settings.api_key_env, settings.base_url),
        base_url=settings.base_url,
        prompt=settings.prompt,
        max_concurrency=settings.max_concurrency,
        timeout_s=settings.timeout_s,
        max_retries=settings.max_retries,
        budget_usd=settings.budget_usd,
        max_output_tokens=settings.max_output_tokens,
        cache_path=around.cache_path,
        shots=shots_from(around.dataset, settings.shots, around.seed),
    )


def _refuse_secrets(settings: GeneralistSettings) -> None:
    """Settings go into manifests: a key that slipped into one must stop here, and must not be repeated."""
    if "@" in urlsplit(settings.base_url).netloc:
        raise BadSettings("[generalist] base_url holds a user or password; put the key into the environment instead")
    if not _VARIABLE.fullmatch(settings.api_key_env):
        raise BadSettings(
            "[generalist] api_key_env is not the name of an environment variable in capitals (A-Z, 0-9, _); if it is the "
            "key itself, take it out of there and revoke it"
        )


def _gguf(settings: GeneralistSettings, around: Surroundings) -> LocalGguf:
    if not settings.path:
        raise BadSettings("[generalist] path is empty; set it to the GGUF file of the model")
    return LocalGguf(
        path=Path(settings.path),
        model=settings.model or Path(settings.path).stem,
        prompt=settings.prompt,
        cache_path=around.cache_path,
        shots=shots_from(around.dataset, settings.shots, around.seed),
        max_output_tokens=settings.max_output_tokens,
        context_tokens=settings.context_tokens,
        threads=settings.threads,
    )


def _simulated(settings: GeneralistSettings, around: Surroundings) -> Simulated:
    known = around.dataset.examples.filter(pl.col("output").is_not_null())
    return Simulated(truth=dict(known.select("id", "output").iter_rows()), seed=around.seed, model=settings.model)


GENERALISTS: dict[str, Maker] = {
    "none": _none,
    "replay": _replay,
    "openai": _openai,
    "gguf": _gguf,
    "simulated": _simulated,
}
