"""metier.toml: precedence of settings, errors that name file, key and value, and a template that parses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from metier.errors import BadSettings
from metier.project import SECTIONS, Project, load_project, template, write_template


def project(tmp_path: Path, text: str) -> Project:
    (tmp_path / "metier.toml").write_text(text)
    return load_project(tmp_path)


def test_without_a_file_every_default_holds(tmp_path: Path) -> None:
    found = load_project(tmp_path)
    assert found.settings("calibrate").model_dump() == SECTIONS["calibrate"]().model_dump()
    assert found.traffic_url == f"sqlite:///{tmp_path.resolve()}/.metier/traffic.db"


def test_given_beats_task_beats_section_beats_default(tmp_path: Path) -> None:
    found = project(tmp_path, "[calibrate]\nalpha = 0.1\ndelta = 0.2\n[tasks.intents.calibrate]\nalpha = 0.02\n")
    assert found.settings("calibrate", "other").model_dump()["alpha"] == 0.1
    settings = found.settings("calibrate", "intents", delta=0.3).model_dump()
    assert (settings["alpha"], settings["delta"]) == (0.02, 0.3)


def test_a_parent_folder_is_found(tmp_path: Path) -> None:
    project(tmp_path, "[project]\nseed = 9\n")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    found = load_project(tmp_path / "deep" / "er")
    assert (found.project.seed, found.root) == (9, tmp_path.resolve())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[calibrate]\nalpha = 7\n", r"metier\.toml \[calibrate\] alpha: .*\(received 7\)"),
        ("[calibrate]\nalfa = 0.1\n", r"\[calibrate\] alfa: no such setting"),
        ("[nonsense]\nx = 1\n", r"unknown section \['nonsense'\]"),
        ("[tasks.a.calibrate]\nalpha = 'x'\n", r"\[tasks\.a\.calibrate\] alpha: .*received 'x'"),
        ("[tasks.a.nonsense]\nx = 1\n", r"\[tasks\.a\]: unknown section"),
        ("calibrate = 3\n", r"\[calibrate\] must be a table, received 3"),
        ("tasks = 3\n", r"\[tasks\] must be a table"),
        ("[tasks]\na = 3\n", r"\[tasks\.a\] must be a table"),
        ("[project]\nseed = -1\n", r"\[project\] seed"),
        ("[calibrate\n", "not valid TOML"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        project(tmp_path, text)


def test_the_template_is_toml_and_its_defaults_are_the_defaults(tmp_path: Path) -> None:
    path = write_template(tmp_path)
    assert load_project(tmp_path).sections == {name: {} for name in SECTIONS}
    # Uncommenting every line must give the very defaults; lines of settings that are not set stay out.
    lines = [line for line in template().splitlines() if not line.startswith("## ") and "# not set" not in line]
    uncommented = "\n".join(re.sub(r"^# (?=[a-z_]+ = )", "", line) for line in lines)
    content = tomllib.loads(uncommented)
    for name, cls in SECTIONS.items():
        assert cls(**content[name]).model_dump() == cls().model_dump()
    with pytest.raises(BadSettings, match="exists already"):
        write_template(tmp_path)
    assert path.read_text() == template()
