"""The command line on a task whose answer is a record: train, show, predict, and what is refused. A tiny random model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.students.lm.hub import away, write_hub
from typer.testing import CliRunner

from metier.cli.app import build
from metier.errors import BadInput, LicenceNotAccepted
from metier.store.folders import ArtefactStore

pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("xllamacpp", reason="needs the [lm] extra")

OLD, NEW = "a" * 40, "b" * 40
MakeModel = Callable[[str], Path]
SYSTEM = "You read receipts. Answer with one JSON object with the keys shop and total, and nothing else."
SETTINGS = """
[train]
students = ["linear", "lm"]
[lm]
base = "BASE"
epochs = 1
max_tokens = 256
max_output_tokens = 48
parity_margin = 0.9
preference = "off"
baking = "bake"
[curate]
near_duplicate_threshold = 1.0
"""


def chats(n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        shop, total = f"shop {i}", f"{rng.integers(1, 99)}.{rng.integers(10, 99)}"
        text = f"The {shop}\nthe total is {total}"
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": text},
            {"role": "assistant", "content": json.dumps({"shop": shop, "total": total})},
        ]
        found.append({"id": f"r{i}", "messages": messages, "provenance": "human"})
    return found


@pytest.fixture(scope="module")
def project(tiny_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A project whose traffic has one task, `receipts`, curated."""
    root = tmp_path_factory.mktemp("project")
    licences = {OLD: "gemma", NEW: "llama3.2", "teacher": "mit"}
    for name, licence in licences.items():
        shutil.copytree(tiny_model("llama"), root / name)
        (root / name / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    write_hub(root / "hub", "org/tiny", {commit: root / commit for commit in (OLD, NEW)}, {"main": OLD})
    (root / "metier.toml").write_text(SETTINGS.replace("BASE", "hf:org/tiny"))
    (root / "receipts.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats(120)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("METIER_CACHE", str(root / "cache"))
        away(patch, root / "hub")
        for command in (["import", "receipts.jsonl"], ["audit"], ["curate", "receipts"]):
            metier(*command)
        yield root


def refused(*arguments: str) -> tuple[str, str]:
    """What a command that is refused over a licence prints, and why it was refused."""
    done = CliRunner().invoke(build(), list(arguments), env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert isinstance(done.exception, LicenceNotAccepted)
    return " ".join(done.output.split()), str(done.exception)


def metier(*arguments: str, stdin: str | None = None) -> str:
    """What a command prints; what it raises is raised."""
    done = CliRunner().invoke(build(), list(arguments), input=stdin, env={"COLUMNS": "120", "NO_COLOR": "1"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_a_record_is_learnt_shown_and_answered(project: Path) -> None:
    with pytest.raises(BadInput, match="'linear' cannot learn"):
        metier("train", "receipts", "--students", "linear,lm")
    said, why = refused("train", "receipts", "--teacher", "teacher")
    # The terms of all that is about to be used stand there before any of it is.
    assert "Base model hf:org/tiny: gemma. Gemma Terms of Use, https://ai.google.dev/gemma/terms" in said
    assert "Teacher teacher: mit. MIT License" in said
    assert "the base model 'hf:org/tiny' comes under" in why
    assert "--accept-licence gemma" in why
    assert not (project / "cache" / "bases").exists()
    said = metier("train", "receipts", "--accept-licence", "gemma")
    assert "Left out: the student 'linear' cannot learn" in said
    assert "Base model hf:org/tiny: gemma. " in said
    assert "made" in said
    assert "unchanged, skipped" in metier("train", "receipts")  # the consent was remembered, and shapes nothing
    specialist = ArtefactStore(project / ".metier").latest("specialist")
    assert specialist is not None
    shown = " ".join(metier("show", specialist.id).split())
    for part in (
        f"org/tiny (commit {OLD}, sha256 ",
        "licence",
        "ai.google.dev/gemma/terms",
        "vocabulary",
        "builds",
        "q8_0",
        "parity",
        "training-time",
    ):
        assert part in shown
    lines = metier("predict", "receipts", stdin="The shop 3\nThe shop 4 of another text\n").splitlines()
    answers = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(answers) == 2
    for answer in answers:
        assert answer["decision"] == "escalate"
        assert isinstance(answer["label"], dict) or answer["reason"].startswith("no answer: ")
    # The branch moves on: the next training would start from another model, and under other terms.
    (project / "hub" / "models--org--tiny" / "refs" / "main").write_text(NEW)
    said, why = refused("train", "receipts", "--vocabulary", "keep")
    assert f"Base model hf:org/tiny: at commit {NEW} now; this project's newest specialist of it started from" in said
    assert f"--base hf:org/tiny@{OLD}" in said.replace(" ", "").replace("--base", "--base ")
    assert "comes under a licence with conditions ('llama3.2')" in why
