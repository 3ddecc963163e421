"""`metier benchmark telelogs` from a file of labelled drive tests to the stored benchmark; the linear student, no view.

In this process: six commands would each load the same libraries anew.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metier.cli.app import build
from metier.errors import NotFound
from metier.labs.telecom.text import OPTIONS, question

Metier = Callable[..., str]

SETTINGS = """
[train]
students = ["linear"]
[curate]
near_duplicate_threshold = 1.0
"""
CELLS = ["0033164|1|128.194|32.583|80|6|255|0|DEFAULT|25.0|113|32T32R|34.9|NR AAU 1"]
PUBLISHED = list(OPTIONS.items())
# What n-grams can see: each cause has a serving PCI of its own.
PCI = {cause: str(100 + 11 * place) for place, cause in enumerate(OPTIONS)}


def drive(cause: str, seed: int) -> list[str]:
    values = np.random.default_rng(seed).uniform(1, 100, size=(10, 5)).round(2).tolist()
    return [
        f"2025-05-07 15:11:{place:02}|128.1|32.5|{a}|{PCI[cause]}|-{b}|{c}|{d}{'|-' * 10}|{e}"
        for place, (a, b, c, d, e) in enumerate(values)
    ]


def questions(n: int, seed: int) -> list[tuple[str, str]]:
    rng = np.random.default_rng(seed)
    causes = [list(OPTIONS)[place] for place in rng.integers(len(OPTIONS), size=n)]
    return [
        (question(PUBLISHED, drive(cause, 1000 * seed + place), CELLS), cause) for place, cause in enumerate(causes)
    ]


@pytest.fixture
def metier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Metier:
    (tmp_path / "metier.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    app = build()

    def run(*arguments: str) -> str:
        app(arguments, standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_from_training_to_the_stored_benchmark(tmp_path: Path, metier: Metier) -> None:
    train = questions(200, 1)
    with (tmp_path / "drives.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("input", "output"), *train])
    test = questions(40, 2)
    rows = [{"question": text, "answer": truth} for text, truth in [*test, train[0]]]
    (tmp_path / "copy.json").write_text(json.dumps([*rows, {"question": "no answer"}]))
    asked = ("benchmark", "telelogs", "copy.json", "--n-resamples", "200", "--n-latency", "5")

    with pytest.raises(NotFound, match=r"metier demo.*metier import"):
        metier(*asked)
    for command in (("import", "drives.csv"), ("audit",), ("curate", "drives"), ("train", "drives")):
        metier(*command)
    with pytest.raises(NotFound, match="--specialist"):
        metier(*asked)
    with pytest.raises(NotFound, match="no specialist is of the student 'encoder'"):
        metier(*asked, "--specialist", "encoder")
    with pytest.raises(NotFound, match=r"none\.json does not exist"):
        metier("benchmark", "telelogs", "none.json")

    shown = metier(*asked, "--specialist", "linear", "--json", "out/all.json")
    assert "1 × no answer" in shown
    assert max(map(len, shown.splitlines()[1:])) <= 80
    assert "unchanged, skipped" in metier(*asked, "--specialist", "linear")

    made = json.loads((tmp_path / "out" / "all.json").read_text())
    assert (made["n"], made["n_records"], len(made["answers"])) == (41, 42, 41)
    whole = made["contestants"][0]["forms"][0]
    assert whole["pass_at_1"]["value"] == sum(row["correct"] for row in made["answers"]) / 41
    assert made["contestants"][0]["overlap"]["n_near"] == 1
    assert next(one for one in made["published"] if one["name"] == "QwQ-32B")["accuracy"]["low"] is None
    assert "linear: pass@1" in " ".join(metier("ls", "benchmark").split())
    id = next(path.name for path in (tmp_path / ".metier" / "artefacts" / "benchmark").iterdir())
    assert "GPT-5" in metier("show", id)

    with (tmp_path / "q.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([("ID", "question"), *((f"q{place}", text) for place, (text, _) in enumerate(test))])
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("ID", "Target"), *((f"q{place}", truth) for place, (_, truth) in enumerate(test))])
    id = next(path.name for path in (tmp_path / ".metier" / "artefacts" / "specialist").iterdir())
    pair = ("benchmark", "telelogs", "q.csv", "--targets", "t.csv", "--specialist", id[:6], "--limit", "8")
    shown = " ".join(metier(*pair).split())
    assert "8 questions" in shown
    assert "32 more were not asked" in shown
