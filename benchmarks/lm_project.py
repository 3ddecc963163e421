"""A project that is run as a user would run it, stage by stage through the command line, timed, and read again afterwards.

Every stage is a process of its own. What a stage took stands in stages.json in the project's folder: a benchmark that is
stopped and started again goes on at the stage that it was in, and the times of the stages done before still count. A stage
that was stopped in between is noted, for its time is then only that of the last attempt.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console

from metier.artefacts.evaluations import CandidateScore, Comparison, Evaluation
from metier.artefacts.policies import Policy
from metier.artefacts.specialists import Card
from metier.cli.session import Session
from metier.cli.stages import gather
from metier.pages.inputs import ReportInputs
from metier.progress import silent
from metier.project import load_project
from metier.store.folders import ArtefactStore

_STAGES = "stages.json"
_ROOT = Path(__file__).parent.parent
# The instructions are dropped unasked, and nothing is learnt from mistakes: to ask either question takes a good part of the
# time of all else.
SHORT_TRAINING = ("--baking", "bake", "--preference", "off")
# A quick run is a look at whether everything runs: the small base, one epoch, nothing that takes time.
QUICK_TRAINING = (
    *("--base", "smollm2"),
    *("--lm-epochs", "1"),
    *("--preference", "off"),
    *("--baking", "bake"),
    *("--agreement", "off"),
    *("--quantisation", "q8_0"),
    *("--parity-margin", "0.9"),
    *("--max-output-tokens", "96"),
)
# What `ru_maxrss` counts in.
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Stage:
    """A stage that is done: seconds and highest resident memory of its process, and how often it was started."""

    name: str
    command: tuple[str, ...]
    wall_s: float
    peak_bytes: int
    n_started: int
    commit: str


@dataclass(frozen=True)
class Found:
    """What one task of a project has come to; `stages` is empty where it was not run by a benchmark."""

    task: str
    inputs: ReportInputs
    stages: tuple[Stage, ...]

    @property
    def cards(self) -> dict[str, Card]:
        """The specialists' cards by student."""
        return {one.card.student: one.card for one in self.inputs.specialists}

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation; SystemExit where there is none."""
        if self.inputs.evaluation is None:
            raise SystemExit(f"'{self.task}' has not been evaluated: metier evaluate {self.task}")
        return self.inputs.evaluation

    def candidate(self, name: str) -> CandidateScore:
        """One side of the evaluation, by its name."""
        return next(one for one in self.evaluation.candidates if one.name == name)

    def stage(self, name: str) -> Stage | None:
        """The stage of that name, where it was timed."""
        return next((one for one in self.stages if one.name == name), None)


def run_stages(folder: Path, stages: Sequence[tuple[str, Sequence[str]]]) -> list[Stage]:
    """Run the (name, command) pairs in `folder` in this order, but for those that are done already with this very command
    and after the very same stages. SystemExit where one fails."""
    folder.mkdir(parents=True, exist_ok=True)
    done = read_stages(folder)
    kept: list[Stage] = []
    for place, (name, command) in enumerate(stages):
        if len(kept) == place and place < len(done) and (done[place].name, done[place].command) == (name, (*command,)):
            kept.append(done[place])
            continue
        done = done[:place]
        kept.append(_run(folder, name, tuple(command)))
        _write(folder, kept)
    return kept


def read_stages(folder: Path) -> list[Stage]:
    """The stages done in a project's folder, in their order; none where no benchmark has run it."""
    path = folder / _STAGES
    stored = json.loads(path.read_bytes()) if path.exists() else []
    return [Stage(**{**one, "command": tuple(one["command"])}) for one in stored]


def metier(*arguments: str) -> tuple[str, ...]:
    """The command of a verb."""
    return (sys.executable, "-m", "metier", *arguments)


def corpus(name: str, out: str = "") -> tuple[str, ...]:
    """The command that writes a corpus into the project's folder."""
    data = Path(os.environ.get("METIER_DATA", "../shared/data")).resolve()
    more = ("--out", out) if out else ()
    return (sys.executable, "-m", "metier.labs", name, "--data", str(data), *more)


def thinned(source: str, target: str, most: dict[str, int]) -> tuple[str, ...]:
    """The command that takes at most so many chats of each split, evenly from first to last."""
    return (sys.executable, str(Path(__file__).resolve()), source, target, json.dumps(most))


def session_of(folder: Path) -> Session:
    """The project of a folder, without a word on the terminal."""
    project = load_project(folder)
    return Session(project, ArtefactStore(project.store_folder), Console(stderr=True), silent)


def read_project(folder: Path, task: str) -> Found:
    """The newest artefacts of a task. SystemExit where the newest evaluation or policy is not of the newest specialists:
    figures of two models must not stand in one table."""
    if not (folder / ".metier").is_dir():
        raise SystemExit(f"{folder} holds no project (no .metier in it)")
    inputs = gather(session_of(folder), task)
    newest = _newest(folder, task)
    for kind, verb in (("evaluation", "evaluate"), ("policy", "calibrate")):
        # Nearest first: what comes after the first was only made use of by something older.
        made = next((manifest for manifest in inputs.lineage if manifest.kind == kind), None)
        mine = {id_ for name, id_ in made.inputs.items() if name.partition(".")[0] == "specialist"} if made else set()
        if not mine <= newest:
            raise SystemExit(f"the newest {kind} is of an older specialist: metier {verb} {task}")
    return Found(task, inputs, tuple(read_stages(folder)))


def plain(found: Found) -> dict[str, Any]:
    """All figures of a task as plain JSON, NaN as null."""
    inputs = found.inputs
    dataset = inputs.dataset
    return {
        "splits": dict(dataset.examples["split"].value_counts().rows()) if dataset else {},
        "cards": [_plain(Card, card) for card in found.cards.values()],
        "candidates": [_plain(CandidateScore, one) for one in found.evaluation.candidates],
        "comparisons": [_plain(Comparison, one) for one in found.evaluation.comparisons],
        "policy": _plain(Policy, inputs.policy) if inputs.policy else None,
        "stages": [asdict(stage) for stage in found.stages],
    }


def _plain(kind: type, value: object) -> Any:
    return json.loads(TypeAdapter(kind).dump_json(value))


def _newest(folder: Path, task: str) -> set[str]:
    """Ids of the newest specialist of each student."""
    newest: dict[str, str] = {}
    for manifest in session_of(folder).store.manifests("specialist", task):
        newest.setdefault(str(manifest.settings["student"]), manifest.id)
    return set(newest.values())


def _run(folder: Path, name: str, command: tuple[str, ...]) -> Stage:
    started = folder / f"{name}.started"
    n_started = 1 + (int(started.read_text()) if started.exists() else 0)
    started.write_text(str(n_started))
    sys.stderr.write(f"  {name}: {' '.join(command[1:])}\n")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    begun = time.monotonic()
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=sys.stderr) as process:
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            # wait4 tells the memory of this very process, which getrusage would mix with that of all before it.
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            # Whoever stops the benchmark wants the stage stopped too, not left behind at work.
            process.terminate()
            raise
        finally:
            signal.signal(signal.SIGTERM, before)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - begun
    if process.returncode:
        raise SystemExit(
            f"{name} ended with code {process.returncode} in {folder}; started again, it goes on from here"
        )
    started.unlink()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=_ROOT, check=False
    )
    return Stage(name, command, wall_s, usage.ru_maxrss * _MEMORY_UNIT, n_started, commit.stdout.strip())


def _write(folder: Path, stages: Sequence[Stage]) -> None:
    path = folder / _STAGES
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps([asdict(one) for one in stages], indent=1))
    temporary.replace(path)


def _thin(source: Path, target: Path, most: dict[str, int]) -> None:
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    chosen: set[int] = set()
    by_split: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        by_split.setdefault(json.loads(line)["split"], []).append(place)
    for split, places in by_split.items():
        n = min(most.get(split, len(places)), len(places))
        chosen.update(places[number * len(places) // n] for number in range(n))
    target.write_text("".join(lines[place] for place in sorted(chosen)), encoding="utf-8")


if __name__ == "__main__":
    _thin(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
