from __future__ import annotations

from typing import get_args

import polars as pl
import pytest

from metier.artefacts.datasets import EXAMPLE_SCHEMA, REMOVED_SCHEMA, Dataset
from metier.artefacts.evaluations import PASSING_FAILURES
from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput, BadSettings, GeneralistFailed
from metier.generalists import GENERALISTS, FailureKind, GeneralistSettings, make_generalist
from metier.generalists.gguf import LocalGguf
from metier.generalists.openai_compatible import OpenAICompatible
from metier.generalists.prices import list_price
from metier.generalists.replay import Replay


def dataset(recorded: str | None = None) -> Dataset:
    row = dict.fromkeys(EXAMPLE_SCHEMA.names()) | {
        "id": "1",
        "input": "x",
        "output": "a",
        "recorded": recorded,
        "split": "test",
    }
    return Dataset(
        "t",
        "t",
        OutputKind.LABEL,
        ("a",),
        "",
        "",
        (),
        (),
        pl.DataFrame([row], schema=EXAMPLE_SCHEMA),
        pl.DataFrame(schema=REMOVED_SCHEMA),
    )


def made(environ=None, recorded=None, **settings):
    return make_generalist(GeneralistSettings(**settings), dataset(recorded), environ=environ or {})


def test_every_backend_of_the_settings_is_in_the_registry():
    annotation = GeneralistSettings.model_fields["backend"].annotation
    assert set(annotation.__args__) == set(GENERALISTS)


def test_passing_failures_are_failures_that_generalists_have():
    assert set(get_args(FailureKind)) > PASSING_FAILURES


def test_the_default_replays_the_traffic_and_is_none_without_recorded_answers():
    assert made() is None
    assert isinstance(made(recorded="a"), Replay)
    assert made(backend="none", recorded="a") is None


def test_openai_takes_its_price_from_the_list_or_the_settings():
    generalist = made({"OPENAI_API_KEY": "k"}, backend="openai", model="gpt-4o-mini")
    assert isinstance(generalist, OpenAICompatible)
    assert generalist.price == list_price("gpt-4o-mini")
    own = made(
        backend="openai",
        model="mine",
        base_url="http://localhost:8000/v1",
        input_usd_per_million=0.0,
        output_usd_per_million=0.5,
    )
    assert own.price.cost_usd(1e6, 1e6) == 0.5
    half = made({"OPENAI_API_KEY": "k"}, backend="openai", model="gpt-4o-mini", output_usd_per_million=9.0)
    assert (half.price.input_usd_per_million, half.price.output_usd_per_million) == (
        list_price("gpt-4o-mini").input_usd_per_million,
        9.0,
    )


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"backend": "openai"}, BadSettings, "model is empty"),
        (
            {"backend": "openai", "model": "no-such-model-9"},
            BadSettings,
            "no list price is known for model 'no-such-model-9'",
        ),
        (
            {"backend": "openai", "model": "m", "base_url": "localhost:8000"},
            BadSettings,
            "base_url 'localhost:8000' is no",
        ),
        ({"backend": "openai", "model": "gpt-4o-mini"}, GeneralistFailed, "OPENAI_API_KEY is not set"),
        ({"backend": "gguf"}, BadSettings, "path is empty"),
        ({"backend": "replay", "path": "/no/such/file.jsonl"}, BadInput, "no such file"),
    ],
)
def test_what_is_missing_is_named(settings, error, message):
    with pytest.raises(error, match=message):
        made(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"base_url": "https://user:sk-secret-1@example.org/v1"}, {"api_key_env": "sk-secret-1"}],
)
def test_a_key_in_the_settings_is_refused_and_not_repeated(settings):
    with pytest.raises(BadSettings) as refused:
        made(backend="openai", model="gpt-4o-mini", **settings)
    assert "secret" not in str(refused.value)


def test_a_gguf_model_is_named_by_its_file(tmp_path):
    generalist = made(backend="gguf", path=str(tmp_path / "tiny.gguf"))
    assert isinstance(generalist, LocalGguf)
    assert generalist.name == "tiny (local GGUF)"


def test_settings_hold_no_key_and_know_no_other_fields():
    with pytest.raises(ValueError, match="api_key"):
        GeneralistSettings(api_key="sk-1")
