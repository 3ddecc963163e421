"""Memory that does not suffice: processes that the kernel kills, and allocations that fail in earnest."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from tests.students.lm.tuning.test_trouble import Parabola, started

from metier.errors import TrainingFailed
from metier.progress import Progress, silent
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.general import GeneralEngine
from metier.students.lm.tuning.lean import LeanEngine
from metier.students.lm.tuning.memory import LastSaid, enough_memory, is_out_of_memory
from metier.students.lm.tuning.optimiser import Optimiser
from metier.students.lm.tuning.plan import PassFailed, TuningPlan
from metier.students.lm.tuning.trials import Trial, Trials
from metier.students.lm.tuning.tune import tune

TESTS = Path(__file__).parents[4]
PLAN = TuningPlan(rate=1e-2, rank=4, alpha=4, step_tokens=50, epochs=1, precision="float32", threads=1)
HUGE = 2**50

# One process imports torch, and every life is a child of it.
LIVES = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.students.lm.tuning.test_trouble import Parabola, started
from metier.progress import silent

class Killed(Parabola):
    def __init__(self, most, number):
        super().__init__()
        self.most_at_once, self.number = most, number

    def gradients(self, train, examples, micro_tokens, soft):
        if micro_tokens > self.most_at_once:
            os.kill(os.getpid(), self.number)
        return super().gradients(train, examples, micro_tokens, soft)

def live(work, most, number):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        state = started(Killed(most, number), work, micro_tokens=7, epochs=1).train(silent)
        told = [state.micro_tokens, state.notes, [point.tune_loss for point in state.curve]]
    except BaseException as problem:
        told = [type(problem).__name__, str(problem)]
    (work / "told.json").write_text(json.dumps(told))
    os._exit(0)

# What torch imports at its first step is imported once.
warm = Path(sys.argv[2]) / "warm"
warm.mkdir()
started(Parabola(), warm, epochs=1).train(silent)
for name, lives in json.loads(sys.argv[3]).items():
    work = Path(sys.argv[2]) / name
    work.mkdir()
    ends = [live(work, *one) or json.loads((work / "told.json").read_text()) for one in lives]
    print(json.dumps([name, ends, [path.name for path in work.glob("trials*")]]), flush=True)
"""
KILL, TERM, ANY = int(signal.SIGKILL), int(signal.SIGTERM), 10**9


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """How each life ended: killed by a signal, or with what it told. Two examples of 4 tokens go through together at 7
    tokens at a time, and one by one at 3."""
    asked = {
        "undisturbed": [(ANY, KILL)],
        "killed once": [(3, KILL), (ANY, KILL)],
        "killed twice": [(3, KILL), (3, KILL), (3, KILL)],
        "asked to end": [(3, TERM), (3, TERM), (ANY, KILL)],
        "one is too much": [*[(0, KILL)] * 5, (ANY, KILL)],
    }
    work = tmp_path_factory.mktemp("lives")
    command = [sys.executable, "-c", LIVES, str(TESTS), str(work), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = {name: (ends, left) for name, ends, left in map(json.loads, done.stdout.splitlines())}
    assert not any(left for _, left in told.values())
    return {name: ends for name, (ends, _) in told.items()}


def test_one_kill_in_a_step_changes_nothing(lives: dict[str, list[Any]]) -> None:
    assert lives["undisturbed"][0][:2] == [7, []]
    assert lives["killed once"] == [-KILL, lives["undisturbed"][0]]


def test_a_second_kill_in_the_same_step_halves_what_goes_through_at_once(lives: dict[str, list[Any]]) -> None:
    note = "Killed in step 0 twice, perhaps for want of memory, with 7 tokens at a time: went on with 3."
    assert lives["killed twice"] == [-KILL, -KILL, [3, [note], lives["undisturbed"][0][2]]]


def test_a_process_that_was_asked_to_end_was_not_killed_for_memory(lives: dict[str, list[Any]]) -> None:
    assert lives["asked to end"] == [-TERM, -TERM, lives["undisturbed"][0]]


def test_killed_again_and_again_with_one_example_it_says_so_and_lets_try_again(lives: dict[str, list[Any]]) -> None:
    *ends, (kind, told), (micro_tokens, notes, curve) = lives["one is too much"]
    assert ends == [-KILL] * 4
    assert kind == "PassFailed"
    assert "Killed in step 0 twice, perhaps for want of memory, with one example of up to 4 tokens at a time" in told
    assert (micro_tokens, len(notes)) == (3, 1)
    assert curve == lives["undisturbed"][0][2]


def test_a_trial_is_written_for_larger_steps_only_and_struck_out_whatever_happens(tmp_path: Path) -> None:
    path = tmp_path / "trials.json"
    trials = Trials(path, "r")
    first, larger = Trial(0, 500, 100), Trial(3, 500, 120)
    seen = []
    for trial in (first, replace(first, step=1), replace(first, step=2, tokens=80, longest=80), larger):
        with trials.of(trial):
            seen.append(path.exists())
        assert not path.exists()
    assert seen == [True, False, False, True]
    with pytest.raises(KeyboardInterrupt), trials.of(Trial(4, 500, 130)):
        raise KeyboardInterrupt
    assert not path.exists()
    with trials.of(Trial(4, 500, 130)):
        killed = path.read_bytes()
    path.write_bytes(killed)
    assert Trials(path, "another").too_much is None
    path.write_bytes(killed[:20])
    assert Trials(path, "r").too_much is None


def test_only_deaths_in_the_same_step_are_counted_together(tmp_path: Path) -> None:
    path = tmp_path / "trials.json"

    def die(step: int) -> Trial | None:
        trials = Trials(path, "r")
        with trials.of(Trial(step, 500, 100)):
            killed = path.read_bytes()
        path.write_bytes(killed)
        return Trials(path, "r").too_much

    assert [die(1), die(2), die(1)] == [None, None, None]
    assert die(1) == Trial(1, 500, 100)


def test_a_training_writes_few_trials(tmp_path: Path) -> None:
    """First step, first of the mean of the weights, first measurement: those need more than the steps before."""
    seen: list[bool] = []

    class Watching(Parabola):
        def gradients(self, *given: Any) -> tuple[float, dict[str, torch.Tensor]]:
            seen.append(bool(list(tmp_path.glob("trials*"))))
            return super().gradients(*given)

    started(Watching(), tmp_path).train(silent)
    assert len(seen) == 80
    assert seen[0]
    assert 1 <= sum(seen) <= 4


# The training within little memory is another than the one before it, which loads and compiles all that is needed.
WITHIN = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
from metier.progress import silent
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning.plan import TuningPlan
from metier.students.lm.tuning.tune import tune

folder, work, n, length = Path(sys.argv[1]), Path(sys.argv[2]), 60, 400
examples = [Encoded((*([5 + i % 90] * length), 1), length) for i in range(n)]
plan = TuningPlan(epochs=1, rank=4, alpha=4, step_tokens=n, micro_tokens=length, precision="float32", threads=1)
whole = tune(folder, examples, (), plan, work / "before", recipe="r", progress=silent)
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 48 * 2**20,) * 2)
at_once = replace(plan, micro_tokens=n * length)
tuned = tune(folder, examples, (), at_once, work / "within", recipe="r", progress=silent)
print(json.dumps([tuned.notes, tuned.curve[0].train_loss, whole.curve[0].train_loss]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to such a limit")
def test_a_real_want_of_memory_halves_until_it_fits(models: dict[str, Path], tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHIN, str(models["llama"]), str(tmp_path)]
    one_heap = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # each thread's own would take address space in large pieces
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=one_heap)
    assert done.returncode == 0, done.stderr[-2000:]
    notes, loss, expected = json.loads(done.stdout.splitlines()[-1])
    assert notes[0] == "Out of memory at step 0: went on with 12000 tokens at a time."
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: torch.empty(HUGE, dtype=torch.uint8),
        lambda: np.empty(HUGE * 2**10, dtype=np.uint8),
        lambda: bytearray(HUGE * 2**10),
        lambda: mmap.mmap(-1, 2**47 - mmap.PAGESIZE),
    ],
    ids=["torch", "numpy", "python", "mmap"],
)
def test_every_kind_of_failed_allocation_is_recognised(allocate: Callable[[], object]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011  (its kind is what is asked)
        allocate()
    assert is_out_of_memory(caught.value)


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    for other in (RuntimeError("shapes differ"), OSError(2, "No such file"), SafetensorError("bad header")):
        assert not is_out_of_memory(other)
        with pytest.raises(type(other)), enough_memory(LastSaid(silent, "Tuning")):
            raise other


def test_what_was_done_when_memory_ran_out_is_said() -> None:
    said = LastSaid(silent, "Reading")
    wanted = r"Out of memory \(at: Writing builds\): .*can't allocate memory: .* go"
    said("Writing builds", 1, 2)
    with pytest.raises(TrainingFailed, match=wanted), enough_memory(said):
        torch.empty(HUGE, dtype=torch.uint8)


def out_of_memory(*_: Any, **__: Any) -> None:
    torch.empty(HUGE, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("where", "name", "wanted"),
    [
        (LeanEngine, "__init__", "Opening the model to tune"),
        (LeanEngine, "prepare", "Opening the model to tune"),
        (Optimiser, "step", "Tuning"),
        (LeanEngine, "write", "Tuning"),
    ],
    ids=["opening", "preparing", "optimiser", "writing"],
)
def test_wherever_memory_runs_out_it_says_so_and_goes_on_later(
    models: dict[str, Path],
    examples: list[Encoded],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: type,
    name: str,
    wanted: str,
) -> None:
    def run(work: str, progress: Progress = silent) -> list[float]:
        made = tune(models["llama"], examples[:50], examples[50:], PLAN, tmp_path / work, recipe="r", progress=progress)
        return [point.train_loss for point in made.curve]

    with monkeypatch.context() as patch:
        patch.setattr(where, name, out_of_memory)
        with pytest.raises(TrainingFailed, match=rf"Out of memory \(at: {wanted}.*\): .*goes on from there") as failed:
            run("s")
    assert not isinstance(failed.value, PassFailed), "another time there may be memory"
    assert run("s") == run("whole")


@pytest.mark.parametrize("method", ["gradients", "losses"])
def test_the_general_engine_takes_one_example_at_a_time_and_says_so(
    models: dict[str, Path], examples: list[Encoded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    tries: list[Sequence[object]] = []

    def fail(*given: Any) -> None:
        tries.append(given)
        out_of_memory()

    monkeypatch.setattr(GeneralEngine, method, fail)
    with pytest.raises(PassFailed, match=r"with one example of up to \d+ tokens at a time"):
        tune(models["qwen"], examples[:50], examples[50:], PLAN, tmp_path, recipe="r", progress=silent)
    assert len(tries) == 1
