"""Losses that are no numbers, memory and disks that are full, processes that are killed."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from metier.errors import TrainingFailed
from metier.progress import Progress, silent
from metier.students import checkpoints
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.loop import Material, Run
from metier.students.lm.tuning.plan import SoftLabels, TuningPlan
from metier.students.lm.tuning.tune import tune

PLAN = TuningPlan(rate=1e-2, rank=4, alpha=4, step_tokens=10, precision="float32", checkpoint_every_s=0.0, threads=2)

SCRIPT = """
import json, sys, time
from pathlib import Path
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.plan import TuningPlan
from metier.students.lm.tuning.tune import tune

folder, work, pause, given, fields = sys.argv[1:]
examples = [Encoded(tuple(ids), n) for ids, n in json.loads(given)]

def progress(description, done, total):
    if description.startswith("Tuning"):
        print(done, flush=True)
        time.sleep(float(pause))

plan = TuningPlan(**json.loads(fields))
tuned = tune(Path(folder), examples[:50], examples[50:], plan, Path(work), recipe="r", progress=progress)
print([[point.train_loss, point.tune_loss] for point in tuned.curve], flush=True)
"""


class Parabola:
    """The simplest engine: one number, its loss the square of it. With too much at once its memory is full."""

    packs = True
    precision = "float32"

    def __init__(self, most_micro_tokens: int = 10**9, broken_until: float = 0.0) -> None:
        self.masters = {"x": torch.tensor([1.0])}
        self.notes: list[str] = []
        self._most = most_micro_tokens
        self._broken_until = broken_until
        self.rate_seen: list[float] = []

    def prepare(self, train: Sequence[Encoded], tune: Sequence[Encoded], progress: Progress) -> None: ...

    def gradients(
        self, train: Sequence[Encoded], examples: Sequence[int], micro_tokens: int, soft: SoftLabels | None
    ) -> tuple[float, dict[str, torch.Tensor]]:
        if micro_tokens > self._most:
            raise MemoryError
        x = self.masters["x"]
        moved = float((1 - x).abs())
        loss = float("nan") if moved > self._broken_until > 0 else float(x.square())
        return loss * len(examples), {"x": 2 * x * len(examples)}

    def losses(self, encoded: Sequence[Encoded], micro_tokens: int) -> float:
        if micro_tokens > self._most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return float(self.masters["x"].square()) * len(encoded)

    def refresh(self) -> None: ...

    def reset(self) -> None:
        self.masters["x"].fill_(1.0)

    def write(self, source: Path, model: Path, adapter: Path | None) -> None: ...


def started(engine: Parabola, work: Path, micro_tokens: int = 4096, **plan: float) -> Run:
    split = [Encoded((1, 2, 3, 4), 3)] * 40
    asked = TuningPlan(step_tokens=2, weight_decay=0.0, **{"rate": 1e-2, **plan})  # type: ignore[arg-type]
    return Run(engine, Material(split, split[:5], None), asked, work, "r", micro_tokens)


def test_out_of_memory_halves_what_goes_through_at_once(tmp_path: Path) -> None:
    state = started(Parabola(most_micro_tokens=4), tmp_path, micro_tokens=7).train(silent)
    assert state.micro_tokens == 3
    assert any("Out of memory" in note for note in state.notes)
    assert len(state.curve) == 4


def test_out_of_memory_with_one_example_at_a_time_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="Out of memory at step 0 with one example of up to 4 tokens"):
        started(Parabola(most_micro_tokens=1), tmp_path).train(silent)


def test_a_bug_is_not_taken_for_want_of_memory(tmp_path: Path) -> None:
    engine = Parabola()
    engine.gradients = lambda *_: (_ for _ in ()).throw(RuntimeError("shapes differ"))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="shapes differ"):
        started(engine, tmp_path).train(silent)


def test_a_loss_that_is_no_number_goes_back_with_half_the_rate(tmp_path: Path) -> None:
    """One way too far makes the loss no number; with half the rate the way is short enough."""
    engine = Parabola(broken_until=0.5)
    state = started(engine, tmp_path, rate=4e-2, epochs=2).train(silent)
    assert state.rollbacks == 1
    assert state.rate_scale == 0.5
    assert any("was not a number" in note for note in state.notes)


def test_after_three_times_it_ends(models: dict[str, Path], examples: list[Encoded], tmp_path: Path) -> None:
    weights = replace(PLAN, method="full", rate=1e30)
    with pytest.raises(TrainingFailed, match=r"not a number at step .* 4th time"):
        tune(models["llama"], examples[:50], examples[50:], weights, tmp_path, recipe="r", progress=silent)


@contextmanager
def files_up_to(n_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    path = tmp_path / checkpoints.STATE
    checkpoints.write(path, {"x": torch.ones(10)}, {"recipe": "r", "step": 1})
    with files_up_to(4096), pytest.raises(TrainingFailed, match=r"is full .* make room"):
        checkpoints.write(path, {"x": torch.ones(10_000)}, {"recipe": "r", "step": 2})
    found = checkpoints.read(path, "r")
    assert found is not None
    assert found[1]["step"] == 1
    assert [each.name for each in tmp_path.iterdir()] == [checkpoints.STATE]


def test_a_damaged_checkpoint_or_anothers_is_none(tmp_path: Path) -> None:
    path = tmp_path / checkpoints.STATE
    checkpoints.write(path, {"x": torch.ones(10)}, {"recipe": "r"})
    assert checkpoints.read(path, "another") is None
    path.write_bytes(path.read_bytes()[:50])
    assert checkpoints.read(path, "r") is None


def test_a_killed_training_goes_on_to_the_same_losses(
    models: dict[str, Path], examples: list[Encoded], tmp_path: Path
) -> None:
    given = json.dumps([[one.ids, one.n_prompt] for one in examples])
    fields = {"rate": 1e-2, "rank": 4, "alpha": 4, "step_tokens": 25, "epochs": 2, "precision": "float32",
              "checkpoint_every_s": 0.0, "threads": 2, "layers": 2}  # fmt: skip
    work = tmp_path / "killed"
    command = [sys.executable, "-c", SCRIPT, str(models["gemma"]), str(work), "0.05", given, json.dumps(fields)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begun = time.monotonic()
        for line in process.stdout:
            if int(line) == 8 or time.monotonic() - begun > 100:
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait(timeout=20) == -signal.SIGKILL
    assert (work / checkpoints.STATE).exists()
    plan = TuningPlan(**fields)  # type: ignore[arg-type]
    steps: list[int] = []
    resumed = tune(
        models["gemma"], examples[:50], examples[50:], plan, work, recipe="r",
        progress=lambda _, done, __: steps.append(done),
    )  # fmt: skip
    whole = tune(models["gemma"], examples[:50], examples[50:], plan, tmp_path / "whole", recipe="r", progress=silent)
    assert next(s for s in steps if s) >= 5
    assert [(p.train_loss, p.tune_loss) for p in resumed.curve] == [(p.train_loss, p.tune_loss) for p in whole.curve]
    first, second = ((t.folder / "model.safetensors").read_bytes() for t in (resumed, whole))
    assert first == second
