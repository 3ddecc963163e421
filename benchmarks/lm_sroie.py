"""The whole product on receipts, as a user runs it: from the data to the report, beside a larger local generalist.

    python benchmarks/lm_sroie.py --out lm-sroie.json [--base gemma3-270m] [--again] [--zero-shot] [--quick]
    python benchmarks/lm_sroie.py --out lm-sroie.json --project FOLDER     only read what a project has come to

A project in bench-results/projects/lm-sroie: `python -m metier.labs sroie`, then metier import, audit, curate, train,
evaluate, calibrate, price and report, each a process of its own with the default settings, but for baking, which is done
unasked, and preference tuning, which is off. Stopped and started again, it goes on where it was; --again begins anew. The
generalist is that of lm_generalist.py with its settings, zero-shot; it is asked before `evaluate`, into
bench-results/lm-answers.db, so that its time stands apart. In the end the specialist's answers are paired with those that
it gives with three worked examples, too (half an hour more; not with --zero-shot). Where its model file is not at hand,
there is no generalist and no comparison. All figures come from the project's artefacts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import lm_generalist
import lm_mentor
import lm_project
from lm_sroie_figures import beside, figures, page
from metier.artefacts.datasets import Dataset
from metier.artefacts.evaluations import Evaluation
from metier.generalists.cache import open_cache

ROOT = Path(__file__).parent.parent
TASK = "sroie"
# Receipts were not called for at any time, and a local model has no list price: what is priced must be said. The volume is
# that of the articles' tables, the model the audit's own reference. Where no generalist has counted the tokens, the bill of
# the articles' tables for them stands in.
_PRICED = ("--calls-per-month", "100000", "--frontier-model", "gpt-4o")
_BILL = ("--lines", "input tokens=2500,output tokens=800")
_RESULTS = ROOT / "bench-results"
_ANSWERS = Path(".metier") / "cache" / "answers.db"
_ASKING = "asking.json"
_SHOTS = 3
_QUICK_RECEIPTS = {"train": 12, "tune": 4, "calibration": 4, "test": 4}


def prepare(base: str, quick: bool) -> list[tuple[str, Sequence[str]]]:
    """The stages up to the trained specialist."""
    training = lm_project.QUICK_TRAINING if quick else ("--base", base, *lm_project.SHORT_TRAINING)
    taken = [("take a few", lm_project.thinned("all.jsonl", f"{TASK}.jsonl", _QUICK_RECEIPTS))] if quick else []
    return [
        ("data", lm_project.corpus("sroie", "all.jsonl" if quick else f"{TASK}.jsonl")),
        *taken,
        ("import", lm_project.metier("import", f"{TASK}.jsonl")),
        ("audit", lm_project.metier("audit")),
        ("curate", lm_project.metier("curate", TASK, *(("--min-split-size", "2") if quick else ()))),
        ("train", lm_project.metier("train", TASK, *training, "--accept-licence", "gemma")),
    ]


def finish(model: Path | None, quick: bool) -> list[tuple[str, Sequence[str]]]:
    """The stages from the trained specialist to the report, with the generalist of that file."""
    asked = ("--backend", "simulated") if quick else _asked(model)
    return [
        ("evaluate", lm_project.metier("evaluate", TASK, *asked)),
        ("calibrate", lm_project.metier("calibrate", TASK)),
        ("price", lm_project.metier("price", TASK, *_PRICED, *(() if model else _BILL))),
        ("report", lm_project.metier("report", TASK)),
    ]


def run(folder: Path, base: str, model: Path | None, quick: bool) -> None:
    """Run what is not done yet."""
    ready = prepare(base, quick)
    done = lm_project.read_stages(folder)
    if tuple((one.name, one.command) for one in done[: len(ready)]) != tuple((name, tuple(c)) for name, c in ready):
        lm_project.run_stages(folder, ready)
    if model is not None:
        _ask(folder, model)
    lm_project.run_stages(folder, [*ready, *finish(model, quick)])


def _asked(model: Path | None) -> Iterator[str]:
    """The options of `metier evaluate` that ask the generalist as lm_generalist.py does."""
    if model is None:
        yield from ("--backend", "none")
        return
    settings = lm_generalist.settings(model.resolve(), 0)
    for name in ("backend", "path", "model", "shots", "threads", "max_output_tokens", "context_tokens"):
        yield from (f"--{name.replace('_', '-')}", str(getattr(settings, name)))


def _ask(folder: Path, model: Path) -> None:
    """Have every test receipt answered, what is in the common cache not again, and put the answers into the project's."""
    at = lm_project.session_of(folder)
    manifest = at.store.latest("dataset", TASK)
    assert manifest is not None, "curate is done"
    dataset = at.store.load(manifest)
    begun = time.monotonic()
    _answered(dataset, model, 0)  # type: ignore[arg-type]
    (folder / _ASKING).write_text(json.dumps({"wall_s": time.monotonic() - begun}))
    _copy_answers(lm_generalist.CACHE, folder / _ANSWERS)


def _answered(dataset: Dataset, model: Path, shots: int) -> Evaluation:
    """The generalist's answers to the test receipts, with so many worked examples; what is in the common cache is kept."""
    return lm_generalist.measure(dataset, lm_generalist.mentor(dataset, model.resolve(), shots), _said)


def _copy_answers(source: Path, target: Path) -> None:
    with open_cache(target):
        pass  # makes the tables
    with closing(sqlite3.connect(target)) as into:
        into.execute("ATTACH ? AS old", (str(source),))
        with into:
            into.execute("INSERT OR REPLACE INTO answers SELECT * FROM old.answers")


def _said(description: str, done: int, total: int | None) -> None:
    sys.stderr.write(f"  {description}: {done} of {total}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="gemma3-270m")
    parser.add_argument("--project", type=Path, help="read this project and run nothing")
    parser.add_argument("--again", action="store_true", help="forget the project that was run before")
    parser.add_argument(
        "--zero-shot", action="store_true", help="the generalist without worked examples alone: half an hour less"
    )
    parser.add_argument(
        "--quick", action="store_true", help="24 receipts, the smallest base, one epoch, made-up generalist"
    )
    arguments = parser.parse_args()
    folder = arguments.project
    if folder is None:
        folder = _RESULTS / "projects" / ("lm-sroie-quick" if arguments.quick else "lm-sroie")
        if arguments.again or arguments.quick:
            shutil.rmtree(folder, ignore_errors=True)
        run(folder, arguments.base, None if arguments.quick else lm_mentor.at_hand(), arguments.quick)
    found = lm_project.read_project(folder, TASK)
    is_shown_examples = not (arguments.quick or arguments.zero_shot)
    model, dataset = lm_mentor.at_hand() if is_shown_examples else None, found.inputs.dataset
    shots = None if model is None or dataset is None else beside(found, _answered(dataset, model, _SHOTS))
    arguments.out.write_text(json.dumps(figures(found, shots), indent=1))
    print(page(found, shots))


if __name__ == "__main__":
    main()
