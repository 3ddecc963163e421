"""What the gateway's benchmarks share: their options, and how they end."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from servers import allow_many_files
from summary import plain


def options(description: str | None, add: Callable[[argparse.ArgumentParser], None]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    add(parser)
    given = parser.parse_args()
    allow_many_files()
    return given


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="metier-bench-") as name:
        yield Path(name)


def finish(figures: Mapping[str, Any], shown: str, out: Path | None, failures: list[str]) -> None:
    """Print the table, write the figures; a run in which an answer was wrong ends with exit code 1."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        about = {"time": time.time(), "cores": len(os.sched_getaffinity(0)), "failures": failures}
        out.write_text(json.dumps(plain({**figures, **about}), indent=1), encoding="utf-8")
    sys.stdout.write(shown + "\n")
    for failure in failures:
        sys.stdout.write(f"\n**Wrong answers:** {failure}\n")
    if failures:
        sys.exit(1)


def say(text: str) -> None:
    sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
