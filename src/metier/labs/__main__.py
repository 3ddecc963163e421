"""python -m metier.labs: public data, or simulated drive tests, as a file of labelled chats, ready for `metier import`."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from metier.errors import MetierError
from metier.labs.files import write_jsonl
from metier.labs.registry import CORPORA
from metier.labs.telecom.draft import DEFAULT_DIFFICULTY
from metier.labs.telecom.labelled import WRITTEN, labelled

_DATA = "METIER_DATA"
# Made by the simulator rather than read: no data is needed.
_TELECOM = "telecom"
_TOLD_EVERY = 1_000


def main(arguments: list[str] | None = None) -> int:
    """Write one corpus and say what was written and what was left out; 1 where the data is not there or is not that."""
    given = _parser().parse_args(arguments)
    if given.corpus == _TELECOM:
        return _write_telecom(given)
    reader = CORPORA[given.corpus]
    root = given.data or os.environ.get(_DATA)
    try:
        if root is None:
            raise MetierError(f"Where is the data? Give --data FOLDER or set {_DATA} to the folder that holds it.")
        corpus = reader.read(Path(root) / reader.folder, given.seed)
    except MetierError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    target = given.out or Path(f"{given.corpus}.jsonl")
    write_jsonl(target, corpus.chats)
    sizes = ", ".join(f"{name} {n:,}" for name, n in corpus.split_sizes().items())
    lines = [f"{target}: {len(corpus.chats):,} labelled chats ({sizes})"]
    lines += [f"left out: {n:,}, {reason}" for reason, n in corpus.reasons().items()]
    sys.stdout.write("\n".join([*lines, *corpus.remarks, f"Next: metier import {target}"]) + "\n")
    return 0


def _write_telecom(given: argparse.Namespace) -> int:
    target = given.out or Path(f"{_TELECOM}.jsonl")
    splits: Counter[str] = Counter()
    try:
        chats = labelled(
            given.windows,
            given.seed,
            difficulty=given.difficulty,
            randomised=given.randomised,
            written=given.written,
            rationales=given.rationales,
        )
        write_jsonl(target, _counted(chats, splits, given.windows))
    except MetierError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sizes = ", ".join(f"{name} {n:,}" for name, n in splits.items())
    sys.stdout.write(f"{target}: {splits.total():,} labelled chats ({sizes})\nNext: metier import {target}\n")
    return 0


def _counted(chats: Iterable[dict[str, Any]], splits: Counter[str], n: int) -> Iterator[dict[str, Any]]:
    """The chats as they come, their splits counted, with a line on the terminal about how far they are."""
    shown = sys.stderr.isatty()
    for done, chat in enumerate(chats, 1):
        splits[chat["split"]] += 1
        if shown and (done % _TOLD_EVERY == 0 or done == n):
            sys.stderr.write(f"\rSimulating drive tests: {done:,} of {n:,}" + ("\n" if done == n else ""))
        yield chat


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m metier.labs",
        description="Write public data, or simulated drive tests (telecom), as labelled chats (OpenAI chat JSONL).",
    )
    parser.add_argument("corpus", choices=[*sorted(CORPORA), _TELECOM])
    parser.add_argument("--data", type=Path, help=f"the folder that holds the data sets' folders; by default {_DATA}")
    parser.add_argument("--out", type=Path, help="the file to write; by default CORPUS.jsonl, which names the task")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the simulation, and of splits that the data does not bring"
    )
    telecom = parser.add_argument_group(_TELECOM)
    telecom.add_argument("--windows", type=int, default=50_000, help="drive-test windows; 50,000 by default")
    telecom.add_argument(
        "--difficulty",
        type=float,
        default=DEFAULT_DIFFICULTY,
        help="0 to 1: how near other causes come; 0.5 by default",
    )
    telecom.add_argument(
        "--randomised", type=float, default=0.0, help="share asked in the randomised form: other labels, order, tables"
    )
    telecom.add_argument(
        "--written",
        type=float,
        default=WRITTEN,
        help=f"share that is written by the options' texts, without physics; {WRITTEN} by default",
    )
    telecom.add_argument(
        "--rationales", action="store_true", help="two sentences that cite the measurements before each label"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
