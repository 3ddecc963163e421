"""python -m metier.labs: public data as a file of labelled chats, ready for `metier import`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from metier.errors import MetierError
from metier.labs.files import write_jsonl
from metier.labs.registry import CORPORA

_DATA = "METIER_DATA"


def main(arguments: list[str] | None = None) -> int:
    """Write one corpus and say what was written and what was left out; 1 where the data is not there or is not that."""
    given = _parser().parse_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m metier.labs", description="Write public data as labelled chats (OpenAI chat JSONL)."
    )
    parser.add_argument("corpus", choices=sorted(CORPORA))
    parser.add_argument("--data", type=Path, help=f"the folder that holds the data sets' folders; by default {_DATA}")
    parser.add_argument("--out", type=Path, help="the file to write; by default CORPUS.jsonl, which names the task")
    parser.add_argument("--seed", type=int, default=0, help="of splits that the data does not bring")
    return parser


if __name__ == "__main__":
    sys.exit(main())
