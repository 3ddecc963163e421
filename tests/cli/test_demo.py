"""`metier demo`: what it may run on, and the whole tour on a small log of the telecom lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from metier.artefacts.datasets import Dataset
from metier.cli.demo import demo_command
from metier.cli.demo_data import NAMES, demo_data
from metier.cli.lookup import latest_dataset
from metier.cli.session import session
from metier.cli.terminal import err
from metier.errors import NotFound
from metier.project import FILE_NAME, load_project


@pytest.mark.parametrize("name", ["telecom", "support"])
def test_made_up_data_needs_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METIER_DATA", raising=False)
    data = demo_data(name, 30, seed=4)
    assert len(list(data.calls)) == 30
    assert "30 calls" in data.description
    assert "up itself (seed 4)" in data.description
    (tmp_path / FILE_NAME).write_text(data.settings)
    assert load_project(tmp_path).project.seed == 4


def test_clinc150_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METIER_DATA", str(tmp_path))
    with pytest.raises(NotFound, match="METIER_DATA"):
        demo_data("clinc150", None, 0)


def test_other_data_there_is_none() -> None:
    with pytest.raises(NotFound, match=", ".join(NAMES)):
        demo_data("weather", None, 0)


def test_the_tour_on_a_small_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tour"
    demo_command(folder=folder, data="telecom", calls=700, seed=0)
    said = capsys.readouterr().out
    for step in ("metier import", "metier audit", "metier run analyze-wireless-network-drive", "what next"):
        assert step in said
    [page] = (folder / "reports").glob("*.html")
    assert "telelogs" in page.read_text(encoding="utf-8")
    with session(folder, err) as at:
        dataset: Dataset = latest_dataset(at, "analyze-wireless-network-drive").dataset
    assert dataset.classes == tuple(f"C{number}" for number in range(1, 9))
    # Both tables are whole, the instructions are not a part of the input; answers are boxed, drives in one split each.
    assert all(text.startswith("Timestamp|") and "\ngNodeB ID|" in text for text in dataset.split("train")["input"])
    [form] = dataset.forms
    assert (form.prefix, form.suffix) == (r"\boxed{", "}")
    assert dataset.examples.group_by("group").agg(splits="split")["splits"].list.n_unique().max() == 1
