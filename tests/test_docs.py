"""What the docs derive from the code is up to date, and every verb and setting has its place."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from metier.cli.app import COMMANDS, GROUPS
from metier.project import SECTIONS

ROOT = Path(__file__).parent.parent
_CODE = re.compile(r"```.*?```", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date(generate: ModuleType) -> None:
    stale = [path.name for path, text in generate.generated().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run 'make docs'"


def test_every_setting_stands_in_the_page_of_its_verb(generate: ModuleType) -> None:
    for name, cls in SECTIONS.items():
        text = (ROOT / "docs" / generate.PAGES[name]).read_text()
        assert [key for key in cls.model_fields if f"`{key}`" not in text] == []


def test_every_command_is_in_the_readme_or_a_page_of_its_own() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in (*COMMANDS, *GROUPS) if f"metier {name}" not in readme] == []


def test_every_command_of_a_group_is_in_the_reference_by_its_full_name(generate: ModuleType) -> None:
    reference = generate.command_reference()
    names = [*COMMANDS, *(f"{group} {name}" for group, (_, commands) in GROUPS.items() for name in commands)]
    assert re.findall(r"^## metier (.+)$", reference, re.MULTILINE) == names


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in _LINK.findall(_CODE.sub("", page.read_text()))
        if not (page.parent / target).exists()
    ]
    assert broken == []
