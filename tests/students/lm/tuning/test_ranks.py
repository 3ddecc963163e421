"""Two processes at one training, as torchrun starts them, on one machine without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metier.progress import silent
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.plan import TuningPlan
from metier.students.lm.tuning.tune import tune

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


def test_two_processes_learn_what_one_learns(models: dict[str, Path], examples: list[Encoded], tmp_path: Path) -> None:
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
