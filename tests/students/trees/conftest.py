"""The small view in the registry, and trees trained on it once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.students.trees.meters import Meters, make_readings

from metier.progress import silent
from metier.students import STUDENTS, FitSummary, TaskSpec
from metier.views import VIEWS


@pytest.fixture(autouse=True)
def meters(monkeypatch: pytest.MonkeyPatch) -> Meters:
    view = Meters()
    monkeypatch.setitem(VIEWS, view.name, view)
    return view


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FitSummary]:
    folder = tmp_path_factory.mktemp("trees") / "folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VIEWS, "meters", Meters())
        summary = STUDENTS["trees"].fit(
            make_readings(400, 0),
            make_readings(150, 1),
            folder,
            seed=0,
            progress=silent,
            options={},
            task=TaskSpec(view="meters"),
        )
    return folder, summary
