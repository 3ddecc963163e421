from __future__ import annotations

from pathlib import Path

import pytest

from metier.errors import BadInput, LicenceNotAccepted
from metier.students.lm.bases import find_base, licence_of
from metier.students.lm.bases.licences import card_licence, known_licence, require_acceptance


def test_packaged_bases_state_their_licences() -> None:
    gemma, smollm2 = licence_of("gemma3-270m"), licence_of("smollm2")
    assert (gemma.name, gemma.needs_acceptance) == ("gemma", True)
    assert "https://ai.google.dev/gemma/terms" in gemma.conditions
    assert "https://ai.google.dev/gemma/prohibited_use_policy" in gemma.conditions
    assert (smollm2.name, smollm2.needs_acceptance) == ("apache-2.0", False)


@pytest.mark.parametrize("name", ["apache-2.0", "mit", "MIT", "bsd-3-clause"])
def test_free_licences_ask_for_nothing(name: str, tmp_path: Path) -> None:
    require_acceptance(known_licence(name, "x"), "x", (), tmp_path)


@pytest.mark.parametrize("name", ["gemma", "llama3.2", "my-own-terms", None, "other"])
def test_others_are_asked_for_once(name: str | None, tmp_path: Path) -> None:
    licence = known_licence(name, "x")
    with pytest.raises(LicenceNotAccepted) as refused:
        require_acceptance(licence, "x", (), tmp_path)
    assert f'accepted_licences = ["{licence.name}"]' in str(refused.value)
    assert f"--accept-licence {licence.name}" in str(refused.value)
    assert licence.conditions in str(refused.value)
    require_acceptance(licence, "x", [licence.name], tmp_path)
    require_acceptance(licence, "x", (), tmp_path)


def test_an_unknown_licence_is_accepted_for_its_source_alone(tmp_path: Path) -> None:
    require_acceptance(known_licence(None, "x"), "x", ["unknown"], tmp_path)
    with pytest.raises(LicenceNotAccepted):
        require_acceptance(known_licence(None, "y"), "y", (), tmp_path)


def test_nothing_is_made_before_the_licence_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(LicenceNotAccepted, match="gemma"):
        find_base("gemma3-270m", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: apache-2.0\n---\n# Model", "apache-2.0"),
        ("---\ntags:\n- x\nlicense: 'mit'\n---\n", "mit"),
        ("---\nlicense: other\nlicense_name: house-terms\n---\n", "house-terms"),
        ("# Model\nlicense: mit\n", None),
        ("---\ntitle: x\n---\nlicense: mit", None),
        ("", None),
    ],
)
def test_the_licence_is_read_from_the_cards_front_matter(card: str, expected: str | None, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(card)
    assert card_licence(tmp_path / "README.md") == expected


def test_a_source_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"gemma3-270m, smollm2, 'hf:org/name', 'hf:org/name@revision', a folder .* \.gguf"
    ):
        licence_of(str(tmp_path / "nothing"))
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"no \.gguf"):
        licence_of(str(tmp_path / "model.bin"))
