"""The whole way on a small labelled file: every command, resuming, skipping, bad input. The linear student only."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metier.store.folders import ArtefactStore

Metier = Callable[..., "subprocess.CompletedProcess[str]"]

OPENINGS = ("please", "hi,", "hello", "can you", "i want to", "how do i", "quick question:", "help me", "")
INTENTS = {
    "track_order": ("track my order", "see where the parcel is", "know when it arrives", "find my shipment"),
    "cancel_order": ("cancel my order", "stop the purchase", "undo what i bought", "call off the order"),
    "refund": ("get my money back", "have a refund", "be paid back", "return it for cash"),
    "change_address": (
        "change my address",
        "move the delivery elsewhere",
        "ship it to my office",
        "correct the street",
    ),
    "invoice": ("get an invoice", "see the bill", "have a receipt by mail", "print the invoice"),
}
TAILS = ("", "today", "for the blue shoes", "from last week", "thanks", "order {n}", "as soon as possible", "if i may")
OOD = (
    "what is the capital of peru",
    "write me a poem about rain",
    "who won the match last night",
    "solve 3 x + 4 = 10",
)
SETTINGS = """
[train]
students = ["linear"]
[curate]
near_duplicate_threshold = 1.0
[generalist]
backend = "simulated"
model = "gpt-4.1"
[price]
calls_per_month = 100000
lines = ["input tokens=900", "output tokens=100"]
"""


def write_records(path: Path, n: int = 900, seed: int = 0) -> None:
    """A labelled CSV of distinct requests, with a few out-of-scope ones."""
    rng = random.Random(seed)
    pool = [
        (f"{opening} {phrase} {tail}".strip().format(n=i % 97), intent)
        for i, (opening, (intent, phrase), tail) in enumerate(
            itertools.product(OPENINGS, [(k, p) for k, ps in INTENTS.items() for p in ps], TAILS)
        )
    ]
    chosen = rng.sample(sorted(set(pool)), n)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["input", "output", "split"])
        writer.writerows([text, intent, ""] for text, intent in chosen)
        writer.writerows([f"{text} {i}", "", "ood"] for i, text in enumerate(OOD * 10))


@pytest.fixture
def metier(tmp_path: Path) -> Metier:
    (tmp_path / "metier.toml").write_text(SETTINGS)
    env = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"}

    def run(*arguments: str, code: int = 0, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "metier", *arguments],
            cwd=tmp_path, env=env, input=stdin, text=True, capture_output=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_from_a_file_to_a_report_and_answers(tmp_path: Path, metier: Metier) -> None:
    write_records(tmp_path / "intents.csv")
    assert "940" in metier("import", "intents.csv").stdout
    again = metier("import", "intents.csv").stdout
    assert "imported before" in again
    assert "intents" in metier("audit").stdout
    first = metier("run", "intents").stdout
    assert "made" in first
    assert (tmp_path / "reports" / "intents.html").stat().st_size > 10_000
    report = json.loads((tmp_path / "reports" / "intents.json").read_text())
    assert report["headline"]["sentence"]
    second = metier("run", "intents").stdout
    assert ": made" not in second
    assert "unchanged, skipped" in second

    answers = [
        json.loads(line)
        for line in metier(
            "predict", "intents", stdin="i want to cancel my order\nwho wrote hamlet\n"
        ).stdout.splitlines()
    ]
    assert answers[0]["label"] == "cancel_order"
    assert set(answers[0]) == {"input", "label", "score", "ood_score", "decision", "reason"}
    assert answers[1]["decision"] == "escalate"

    listed = metier("ls").stdout
    for kind in ("audit", "dataset", "specialist", "evaluation", "policy", "economics", "report"):
        assert kind in listed
    policy = ArtefactStore(tmp_path / ".metier").latest("policy")
    assert policy is not None
    shown = metier("show", policy.id[:6]).stdout
    assert policy.id in shown
    assert policy.inputs["specialist"][:6] in shown

    assert "skipped" in metier("evaluate", "intents", "--inspect", "logs").stdout
    logs = {path.stem.split("_")[-1]: json.loads(path.read_text()) for path in (tmp_path / "logs").glob("*.json")}
    assert len(logs) == 2
    assert "linear" in logs
    assert all(log["version"] == 2 and log["samples"] for log in logs.values())


def test_changed_settings_run_again_only_what_depends_on_them(tmp_path: Path, command: Metier) -> None:
    (tmp_path / "metier.toml").write_text(SETTINGS)
    write_records(tmp_path / "intents.csv", 600)
    command("import", "intents.csv")
    command("run", "intents")
    (tmp_path / "metier.toml").write_text(SETTINGS + "[calibrate]\nalpha = 0.1\n")
    again = command("run", "intents").stdout.splitlines()
    states = {line.split()[0]: line.rsplit(": ", 1)[1] for line in again if line.endswith((": made", "skipped"))}
    assert states["dataset"] == states["specialist"] == states["evaluation"] == "unchanged, skipped"
    assert states["policy"] == states["economics"] == states["report"] == "made"


def test_labelled_records_alone_get_everything_but_a_price(tmp_path: Path, command: Metier) -> None:
    (tmp_path / "metier.toml").write_text('[train]\nstudents = ["linear"]\n')
    write_records(tmp_path / "intents.csv", 600)
    command("import", "intents.csv")
    printed = command("run", "intents").stdout
    assert "Not priced:" in printed
    assert "Report:" in printed
    report = json.loads((tmp_path / "reports" / "intents.json").read_text())
    assert [missing["stage"] for missing in report["missing"]] == ["economics"]


def test_messages_name_what_to_do(tmp_path: Path, command: Metier) -> None:
    (tmp_path / "metier.toml").write_text(SETTINGS)
    assert "metier import FILE" in command("audit", code=1).stderr
    (tmp_path / "empty.jsonl").write_text("")
    assert "empty" in command("import", "empty.jsonl").stdout
    assert "no such file" in command("import", "absent.jsonl", code=1).stderr
    write_records(tmp_path / "intents.csv", 300)
    command("import", "intents.csv")
    assert "metier audit" in command("curate", "intents", code=1).stderr
    command("audit")
    assert "Nearest: intents" in command("curate", "intentz", code=1).stderr
    assert "metier curate intents" in command("train", "intents", code=1).stderr
    command("curate", "intents")
    assert "metier train intents" in command("evaluate", "intents", code=1).stderr
    assert "no artefact" in command("show", "zzzz", code=1).stderr
    assert "received 7" in command("calibrate", "intents", "--alpha", "7", code=1).stderr
    # A report can be had at any stage: it says what is missing.
    assert "Report:" in command("report", "intents").stdout


def wait_until_begun(process: subprocess.Popen[bytes]) -> None:
    """Until the command has opened the traffic: while Python still imports metier, Ctrl-C is the interpreter's own."""
    fds = Path(f"/proc/{process.pid}/fd")
    while process.poll() is None:
        with contextlib.suppress(OSError):
            if any("traffic.db" in str(fd.readlink()) for fd in fds.iterdir()):
                return


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_at_any_moment_goes_on(tmp_path: Path, metier: Metier, sent: signal.Signals) -> None:
    write_records(tmp_path / "intents.csv", 600)
    metier("import", "intents.csv")
    for delay in (0.0, 0.4, 1.2, 2.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "metier", "run", "intents"],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        wait_until_begun(process)
        time.sleep(delay)
        os.killpg(process.pid, sent)
        _, errors = process.communicate(timeout=60)
        assert b"Traceback" not in errors
        # Whatever is under artefacts/ is complete and reads back.
        store = ArtefactStore(tmp_path / ".metier")
        for manifest in store.manifests():
            store.load(manifest)
    assert "Report:" in metier("run", "intents").stdout
