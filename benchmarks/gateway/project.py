"""A project with a certified specialist, made by metier's own commands from clinc150; later runs find it made.

The log is clinc150 (Larson et al., 2019) as calls with made-up answers and human judgements. Every command is a process of
its own, as a user would run it, and stages whose inputs have not changed are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson
from common import say

from metier.labs import clinc
from metier.labs.files import write_jsonl

FOLDER = Path("bench-results/gateway-project")
DEFAULT_DATA = "../shared/data"
LINEAR, ENCODER = "linear", "encoder"
_DAYS = 3.0
_LOG = "calls.jsonl"
# The encoder is trained for a single pass: what is measured here is how fast it answers, not how well.
_TOML = """\
[train]
epochs = 1
precision = "int8"

[calibrate]
alpha = 0.1

[generalist]
backend = "replay"
model = "made-up frontier"
"""


@dataclass(frozen=True)
class Project:
    """The folder, the task's name, and the id of its policy."""

    folder: Path
    task: str
    policy_id: str

    def requests(self) -> list[dict[str, object]]:
        """The requests of the log, as its clients sent them."""
        with (self.folder / _LOG).open("rb") as file:
            return [orjson.loads(line)["request"] for line in file]


def made(root: Path, student: str) -> Project:
    """The student's project, in a folder of its own under `root`, made where it is not. Raises NotFound where clinc150 is
    not there."""
    folder = root / student
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / _LOG
    if not log.exists():
        data = Path(os.environ.get("METIER_DATA", DEFAULT_DATA)).resolve()
        write_jsonl(log, clinc.calls(data / "clinc150", days=_DAYS))
    (folder / "metier.toml").write_text(_TOML, encoding="utf-8")
    command(folder, "import", _LOG)
    command(folder, "audit")
    task = _task(folder)
    command(folder, "curate", task)
    command(folder, "train", task, "--students", student)
    command(folder, "calibrate", task, "--student", student)
    return Project(folder, task, _newest(folder, "policy"))


def copied(project: Project, to: Path) -> Project:
    """A copy to run a gateway in, so that its traffic does not pile up in the original."""
    shutil.copytree(project.folder, to)
    return Project(to, project.task, project.policy_id)


def command(folder: Path, *arguments: str) -> str:
    """What `metier ARGUMENTS` printed. Raises RuntimeError where it fails."""
    say(f"metier {' '.join(arguments)}")
    done = subprocess.run(
        [sys.executable, "-m", "metier", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"metier {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _newest(folder: Path, kind: str) -> str:
    """Id of the artefact of this kind that was made last."""
    found = sorted((folder / ".metier" / "artefacts" / kind).iterdir(), key=lambda path: path.stat().st_mtime)
    return found[-1].name


def _task(folder: Path) -> str:
    """The task of the audit: the log has only one."""
    audit = folder / ".metier" / "artefacts" / "audit" / _newest(folder, "audit")
    tasks = json.loads((audit / "payload.json").read_text(encoding="utf-8"))["tasks"]
    name: str = max(tasks, key=lambda row: row["n_calls"])["task"]["name"]
    return name
