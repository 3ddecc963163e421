"""Two processes at one training, as torchrun or metier itself starts them, on one machine without a GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from metier.progress import silent
from metier.students.lm.parts import Encoded, Tuned
from metier.students.lm.tuning import ranks
from metier.students.lm.tuning.plan import TuningPlan
from metier.students.lm.tuning.tune import DONE, device_of, tune

PLAN = TuningPlan(
    rate=1e-2, rank=4, alpha=4, step_tokens=10, epochs=2, precision="float32", threads=2, processes=2, patience=0,
    checkpoint_every_s=0.0,
)  # fmt: skip

SCRIPT = """
import json, os, sys, time
from pathlib import Path
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.plan import TuningPlan
from metier.students.lm.tuning.tune import tune

folder, work, given, fields = sys.argv[1:]
examples = [Encoded(tuple(ids), n) for ids, n in json.loads(given)]
pause = 0.01 * int(os.environ["RANK"])  # their clocks differ, as those of two machines do

def progress(description, done, total):
    time.sleep(pause)

plan = TuningPlan(**json.loads(fields))
tune(Path(folder), examples[:50], examples[50:], plan, Path(work), recipe="r", progress=progress)
"""

KILLED = """
import json, os, signal, sys
from pathlib import Path
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.plan import TuningPlan
from metier.students.lm.tuning.tune import tune

folder, work, given, fields = sys.argv[1:]
examples = [Encoded(tuple(ids), n) for ids, n in json.loads(given)]

def progress(description, done, total):
    if done == 8:
        os.kill(os.getpid(), signal.SIGKILL)

plan = TuningPlan(**json.loads(fields))
tune(Path(folder), examples[:50], examples[50:], plan, Path(work), recipe="r", progress=progress)
"""


def test_two_processes_of_torchrun_learn_what_one_learns(
    models: dict[str, Path], examples: list[Encoded], tmp_path: Path
) -> None:
    fields = {"rate": 1e-2, "rank": 4, "alpha": 4, "step_tokens": 40, "epochs": 1, "precision": "float32", "threads": 1}
    fields["checkpoint_every_s"] = 0.05
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    given = json.dumps([[one.ids, one.n_prompt] for one in examples])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script),
               str(models["llama"]), str(tmp_path / "two"), given, json.dumps(fields)]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=150, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    plan = TuningPlan(**fields)  # type: ignore[arg-type]
    two, one = (
        tune(models["llama"], examples[:50], examples[50:], plan, tmp_path / name, recipe="r", progress=silent)
        for name in ("two", "one")
    )
    assert two.curve[-1].tune_loss == pytest.approx(one.curve[-1].tune_loss, rel=1e-4)
    assert two.curve[-1].train_loss == pytest.approx(one.curve[-1].train_loss, rel=1e-4)


@pytest.fixture(scope="module")
def together(
    models: dict[str, Path], examples: list[Encoded], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tuned, list[int]]:
    """What two processes that metier started learnt, and the steps that they told of."""
    steps: list[int] = []
    made = tune(
        models["llama"], examples[:50], examples[50:], PLAN, tmp_path_factory.mktemp("together"), recipe="r",
        progress=lambda _, done, __: steps.append(done),
    )  # fmt: skip
    return made, steps


def _losses(tuned: Tuned) -> list[float]:
    return [loss for point in tuned.curve for loss in (point.train_loss, point.tune_loss)]


def test_two_processes_started_here_learn_what_one_learns(
    together: tuple[Tuned, list[int]], models: dict[str, Path], examples: list[Encoded], tmp_path: Path
) -> None:
    made, steps = together
    one_plan = TuningPlan(**{**vars(PLAN), "processes": 0})
    one = tune(models["llama"], examples[:50], examples[50:], one_plan, tmp_path, recipe="r", progress=silent)
    assert len(made.curve) == 2
    assert _losses(made) == pytest.approx(_losses(one), rel=1e-4)
    assert set(steps) == set(range(51))
    assert made.notes == ("2 processes shared every step.",)
    assert made.adapter is not None
    assert sorted(each.name for each in made.folder.parent.iterdir()) == ["adapter", "model", DONE]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_parent_leaves_no_process_and_the_next_goes_on(
    together: tuple[Tuned, list[int]], models: dict[str, Path], examples: list[Encoded], tmp_path: Path
) -> None:
    work = tmp_path / "killed"
    given = json.dumps([[one.ids, one.n_prompt] for one in examples])
    command = [sys.executable, "-c", KILLED, str(models["llama"]), str(work), given, json.dumps(vars(PLAN))]
    assert subprocess.run(command, timeout=150, check=False).returncode == -signal.SIGKILL
    until = time.monotonic() + 10
    while _processes_of(work) and time.monotonic() < until:
        time.sleep(0.05)
    assert _processes_of(work) == []
    assert not (work / DONE).exists()
    steps: list[int] = []
    resumed = tune(
        models["llama"], examples[:50], examples[50:], PLAN, work, recipe="r",
        progress=lambda _, done, __: steps.append(done),
    )  # fmt: skip
    assert min(steps) >= 5
    assert _losses(resumed) == _losses(together[0])


def _processes_of(work: Path) -> list[str]:
    """Those that work in a folder, by the numbers that the system gives them."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdigit() and str(work).encode() in (each / "cmdline").read_bytes():
                found.append(each.name)
        except OSError:  # gone meanwhile
            continue
    return found


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is needed to see which one is asked for."""
    seen: list[Any] = []
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", seen.append)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: seen[0].index)
    monkeypatch.setattr(distributed, "init_process_group", lambda backend, **asked: seen.append((backend, asked)))
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    monkeypatch.setattr(distributed, "get_backend", lambda: "nccl")
    monkeypatch.setattr(distributed, "all_reduce", lambda _: None)
    monkeypatch.setattr(ranks, "place", lambda: (3, 4))
    make = torch.tensor

    def tensor(values: list[float], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        seen.append(device)
        return make(values, dtype=dtype)

    own = torch.device("cuda", 3)
    assert device_of("auto") == device_of("cuda") == own
    with ranks.joined(device_of("auto")):
        assert seen == [own, ("nccl", {"device_id": own})]
        monkeypatch.setattr(torch, "tensor", tensor)
        assert ranks.any_says(True)
        assert ranks.summed(1.0, {}, {})[0] == 1.0
    assert seen[2:] == [own, own]
