"""What whoever starts several processes makes of what they say, and how they end: with processes that only speak."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from metier.errors import BadInput, TrainingFailed
from metier.progress import silent
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning import launching, worker
from metier.students.lm.tuning import tune as tuning
from metier.students.lm.tuning.jobs import TuningJob
from metier.students.lm.tuning.launching import NotMet, failure_of, processes_for, tune_together
from metier.students.lm.tuning.loop import Material
from metier.students.lm.tuning.plan import PassFailed, TuningPlan

SPLIT = [Encoded((1, 2, 3, 4), 2)] * 8
PLAN = TuningPlan(rate=1e-2, rank=4, alpha=4, epochs=1, step_tokens=4, precision="float32", threads=2, processes=2)
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)

Speak = Callable[..., None]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that was started."""
    found: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        found.append(real(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(launching.subprocess, "Popen", start)
    return found


@pytest.fixture
def speak(started: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Speak:
    """Two processes that run these lines, each knowing its `place`, in place of learning anything."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(launching, "_WORKER", "speaker")
    monkeypatch.setattr(launching, "_LAST_WORDS_S", 1.0)

    def run(lines: str, progress: Any = silent) -> None:
        top = "import json, os, sys, time\nplace = int(sys.argv[2])\n"
        top += "say = lambda **told: print(json.dumps(told), flush=True)\n"
        (tmp_path / "speaker.py").write_text(top + lines, encoding="utf-8")
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        try:
            tune_together(TuningJob(tmp_path, Material(SPLIT, [], None), PLAN, work, "r"), 2, progress)
        finally:
            assert [one.poll() is None for one in started] == [False, False]
            assert not list(work.iterdir())

    return run


def test_progress_is_passed_on(speak: Speak) -> None:
    heard: list[tuple[Any, ...]] = []
    speak("say(met=place)\nif place == 0: say(progress=['Tuning', 1, None])", lambda *told: heard.append(told))
    assert heard == [("Tuning", 1, None)]


def test_the_one_that_was_killed_is_named_and_not_the_one_that_misses_it(speak: Speak) -> None:
    lines = """
say(met=place)
if place: time.sleep(0.2); os.kill(os.getpid(), 9)
say(failed='', told='Connection closed'); sys.exit(1)
"""
    with pytest.raises(TrainingFailed, match=r"Process 2 of 2 of the tuning was ended by SIGKILL.*goes on from there"):
        speak(lines)


def test_the_one_with_a_reason_of_its_own_is_told(speak: Speak) -> None:
    lines = """
say(met=place)
if place == 0: say(failed='', told='Connection closed'); sys.exit(1)
time.sleep(0.3)
say(failed='PassFailed', told='Out of memory at step 3'); time.sleep(60)
"""
    with pytest.raises(PassFailed, match=r"^Out of memory at step 3$"):
        speak(lines)


def test_a_bug_is_told_with_where_it_is(speak: Speak) -> None:
    with pytest.raises(
        RuntimeError, match=r"(?s)Process 1 of 2 of the tuning failed: ended with status 1.*KeyError: 'x'"
    ):
        speak("say(met=place)\nif place == 0: {}['x']\ntime.sleep(60)")


def test_processes_that_do_not_meet_are_ended(speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotMet, match=r"did not find one another\. Process 2 of 2: no interface"):
        speak("if place: say(failed='', told='no interface'); sys.exit(1)\ntime.sleep(60)")


def test_nor_is_waited_for_ever_for_those_that_say_nothing(speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "_MEETING_S", 0.5)
    with pytest.raises(NotMet, match="did not find one another within"):
        speak("time.sleep(60)")


def test_an_interrupt_ends_them(speak: Speak) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speak("say(met=place)\nsay(progress=['Tuning', 1, 2])\ntime.sleep(60)", interrupt)


@pytest.mark.parametrize("kind", [PassFailed, TrainingFailed, BadInput, MemoryError, torch.OutOfMemoryError])
def test_errors_are_raised_as_they_were(kind: type[Exception], speak: Speak) -> None:
    told = failure_of(kind("the reason"))
    with pytest.raises(kind, match=r"^the reason$") as caught:
        speak(f"say(met=place)\nsay(**{told!r}); sys.exit(1)")
    assert caught.type is kind


def test_without_room_for_the_job_it_says_so(
    speak: Speak, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(launching, "write_job", full)
    with pytest.raises(TrainingFailed, match=r"is full .* make room"):
        tune_together(TuningJob(tmp_path, Material(SPLIT, [], None), PLAN, tmp_path, "r"), 2, silent)
    assert not started


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What a process of one says, in this process, and the status that it ends with."""
    said: list[Any] = []
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setattr(worker, "_end_with_parent", lambda: None)
    monkeypatch.setattr(worker, "_channel", lambda: said.append)
    monkeypatch.setattr(worker.os, "_exit", said.append)
    before = torch.get_num_threads()
    yield said
    torch.set_num_threads(before)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.skipif(sys.platform != "linux", reason="names the loopback interface as Linux does")
@pytest.mark.parametrize("rate", [1e-2, 1e30])
def test_a_process_says_how_far_it_is_and_what_it_fails_with(
    rate: float, alone: list[Any], models: dict[str, Path], examples: list[Encoded], tmp_path: Path
) -> None:
    plan = replace(PLAN, method="full", rate=rate, step_tokens=100)
    job = TuningJob(models["llama"], Material(examples[:50], [], None), plan, tmp_path, "r")
    launching.write_job(job, tmp_path / launching.JOB)
    worker.main(tmp_path, 0, 1, 1)
    assert alone[0] == {"met": 0}
    assert {"progress": ["Tuning", 0, 2]} in alone
    if rate < 1:
        assert (tmp_path / tuning.DONE).exists()
        assert alone[-1]["progress"][1:] == [2, 2]
        assert not torch.distributed.is_initialized()
    else:
        *_, told, status = alone
        assert status == 1
        assert told["failed"] == "PassFailed"
        assert "4th time" in told["told"]


def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    """Alone it waits for the other and says nothing: only its standard input tells it."""
    launching.write_job(TuningJob(tmp_path, Material(SPLIT, [], None), PLAN, tmp_path, "r"), tmp_path / launching.JOB)
    command = [sys.executable, "-P", "-m", launching._WORKER, str(tmp_path), "0", "2", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert process.stdin is not None
        process.stdin.close()
        try:
            assert process.wait(60) == 1
            assert process.stdout is not None
            assert process.stdout.read() == b""
        finally:
            process.kill()


def test_one_process_for_each_gpu_that_a_step_has_examples_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    open_ = TuningPlan(step_tokens=1024)
    assert processes_for(open_, GPU, SPLIT) == 4
    assert processes_for(TuningPlan(step_tokens=4), GPU, SPLIT) == 2  # two answer tokens an example
    assert processes_for(TuningPlan(device="cuda:1"), torch.device("cuda:1"), SPLIT) == 1
    assert processes_for(TuningPlan(processes=3), GPU, SPLIT) == 3
    assert processes_for(open_, CPU, SPLIT) == 1
    assert processes_for(PLAN, CPU, SPLIT) == 2
    with pytest.raises(BadInput, match=r"processes are 5.*there are 4"):
        processes_for(TuningPlan(processes=5), GPU, SPLIT)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert processes_for(open_, GPU, SPLIT) == 1


@pytest.mark.parametrize("asked", [0, 2])
def test_one_process_goes_on_alone_where_several_were_nobodys_wish(
    asked: int, models: dict[str, Path], examples: list[Encoded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apart(*_: object) -> None:
        raise NotMet("no interface")

    monkeypatch.setattr(tuning, "processes_for", lambda *_: 2)
    monkeypatch.setattr(tuning, "tune_together", apart)
    plan = TuningPlan(epochs=1, step_tokens=40, rank=4, threads=1, precision="float32", processes=asked)
    if asked:
        with pytest.raises(NotMet, match="no interface"):
            tuning.tune(models["llama"], examples, [], plan, tmp_path, recipe="r", progress=silent)
        return
    made = tuning.tune(models["llama"], examples, [], plan, tmp_path, recipe="r", progress=silent)
    assert made.notes == ("One GPU of 2 was used: no interface",)
