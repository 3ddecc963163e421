"""Where others find a base: never in the folders that metier keeps for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.students.lm.bases.origins import Origin, origin_of
from metier.students.lm.bases.packaged import PACKAGED
from metier.students.lm.parts import Base

CACHE = Path("/cache/bases/0123456789abcdef-v1")


def base(name: str, source: str, sha256: str = "0" * 64) -> Base:
    return Base(name, source, "mit", "", sha256, CACHE)


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        (base("organisation/name", "hf:organisation/name"), Origin("organisation/name", is_public=True)),
        (base("tiny", "./models/tiny"), Origin("./models/tiny", is_public=False)),
        # The converted base itself, given as a folder, still knows where it came from.
        (base("organisation/name", str(CACHE)), Origin("organisation/name", is_public=True)),
        (base("Tiny 1", "models/tiny.gguf"), Origin("models", is_public=False, gguf_file="tiny.gguf")),
        (base("org/tiny", "tiny.gguf"), Origin(".", is_public=False, gguf_file="tiny.gguf")),
    ],
)
def test_a_base_is_named_as_others_load_it(given: Base, origin: Origin) -> None:
    assert origin_of(given) == origin


def test_one_text_names_a_file() -> None:
    assert origin_of(base("Tiny 1", "models/tiny.gguf")).path == "models/tiny.gguf"


def test_a_home_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert origin_of(base("tiny", "~/tiny")).name == "/home/somebody/tiny"


@pytest.mark.parametrize("source", list(PACKAGED))
def test_a_package_holds_rounded_weights_of_a_base_on_the_hub(source: str) -> None:
    packaged = PACKAGED[source]
    found = origin_of(base(packaged.name, source, packaged.sha256))
    assert (found.path, found.is_public) == (packaged.name, True)
    assert packaged.install in found.note
