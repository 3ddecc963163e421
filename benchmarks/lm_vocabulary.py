"""How small does a vocabulary get on a task's texts, and how much does unseen text grow by it?

    python benchmarks/lm_vocabulary.py --out lm-vocabulary.json [--quick]

Both bases that come in a package, trimmed on the train splits of receipts (sroie), legal paragraphs (LeNER-Br) and
dialogues (MTS-Dialog), inputs with their answers. Growth is what `trim` itself measures and states: tokens that a tenth of
the texts, left out of the choice, take in the trimmed vocabulary, against the whole one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metier.labs import lener, mts_dialog, sroie
from metier.labs.corpora import Corpus
from metier.students.lm.bases import find_base
from metier.students.lm.vocabulary import trim

BASES = ("gemma3-270m", "smollm2")
CORPORA: dict[str, tuple[str, Callable[[Path], Corpus]]] = {
    "receipts": ("sroie", sroie.labelled),
    "legal paragraphs": ("lener-br", lener.labelled),
    "dialogues": ("mts-dialog", mts_dialog.notes),
}
_FEW = 60


def texts_of(corpus: Corpus) -> list[str]:
    """Input and answer of every chat to learn from."""
    learnt = [chat["messages"] for chat in corpus.chats if chat["split"] == "train"]
    return [f"{messages[-2]['content']}\n\n### Answer\n{messages[-1]['content']}" for messages in learnt]


def rows(data: Path, most: int | None) -> list[dict[str, Any]]:
    """One trimming each of every base on every corpus."""
    found = []
    for name, (folder, read) in CORPORA.items():
        texts = texts_of(read(data / folder))[:most]
        for source in BASES:
            sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {source} on {name}\n")
            base = find_base(source, accepted=("gemma",))
            with tempfile.TemporaryDirectory(prefix="metier-bench-") as work:
                cut = trim(base.folder, texts, Path(work) / "cut")
            found.append(
                {
                    "corpus": name,
                    "n_texts": len(texts),
                    "base": base.name,
                    "n_vocabulary": cut.n_vocabulary,
                    "n_vocabulary_base": cut.n_vocabulary_base,
                    "n_parameters": cut.n_parameters,
                    "n_parameters_base": cut.n_parameters_base,
                    "reason": cut.reason,
                }
            )
    return found


def table(found: list[dict[str, Any]]) -> str:
    lines = ["| texts | base | tokens kept | million parameters | why so many |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['n_texts']:,} {row['corpus']} | {row['base']} | {row['n_vocabulary']:,} of {row['n_vocabulary_base']:,} "
        f"| {row['n_parameters'] / 1e6:.1f} of {row['n_parameters_base'] / 1e6:.1f} "
        f"| {row['reason'].partition(': ')[2]} |"
        for row in found
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help=f"{_FEW} texts of each")
    given = parser.parse_args()
    data = Path(os.environ.get("METIER_DATA", "../shared/data"))
    found = rows(data, _FEW if given.quick else None)
    given.out.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
