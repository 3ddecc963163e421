"""The Python front: docs/python.md runs as it stands, and importing metier is quiet."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import metier

PAGE = Path(__file__).parent.parent / "docs" / "python.md"
PHRASES = {
    "track_order": ("track my order", "see where the parcel is", "find my shipment"),
    "cancel_order": ("cancel my order", "stop the purchase", "undo what i bought"),
    "refund": ("get my money back", "have a refund", "be paid back"),
}
OPENINGS = ("please", "hi", "hello", "can you", "i want to", "how do i", "help me", "could you")
TAILS = ("today", "for the blue shoes", "from last week", "thanks", "as soon as possible", "if i may", "order 7", "now")


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    rows = [
        f"{opening} {phrase} {tail},{label}"
        for label, phrases in PHRASES.items()
        for opening, phrase, tail in itertools.product(OPENINGS, phrases, TAILS)
    ]
    (tmp_path / "intents.csv").write_text("\n".join(["input,output", *rows]))
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    # Inputs made of a few phrases are all near-duplicates of one another.
    code = code.replace("metier.CurateSettings()", "metier.CurateSettings(near_duplicate_threshold=1.0)")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=os.environ,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary, economics, decision = done.stdout.splitlines()
    assert "linear" in summary
    assert economics
    assert decision in {"kept", "escalate"}


def test_everything_promised_is_there() -> None:
    assert [name for name in metier.__all__ if not hasattr(metier, name)] == []
    assert all(
        callable(getattr(metier, verb)) for verb in ("audit", "curate", "train", "evaluate", "calibrate", "price")
    )


def test_importing_prints_nothing_and_loads_no_training_library() -> None:
    code = "import metier, sys; assert not {'torch', 'transformers', 'presidio_analyzer'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
