"""How good and how fast is a larger local generalist on SROIE's test receipts, without and with three worked examples?

    python benchmarks/lm_generalist.py --out lm-generalist.json [--shots 0 3] [--limit N] [--again] [--quick]

The generalist is Qwen2.5-Coder-1.5B-Instruct (see lm_mentor.py): a small local coder model, not a frontier API. It gets
the task's own prompt as it stands in the log (instructions, schema and an example, about 800 tokens) and writes under the
schema's grammar, greedily. The engine is llama.cpp as in `[generalist] backend = "gguf"`: all cores, what all prompts begin
with read once and kept, a warm-up before the first item, one item at a time. Latency is from the prompt to the last token.

Scores are those of `metier evaluate`: values compared after normalisation, intervals by bootstrap over companies. Answers
are kept in bench-results/lm-answers.db, so that what the specialist is compared with is these very answers, with the
latency that they had. --again asks anew: latencies of a machine that was busy with something else are worth nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
from pydantic import TypeAdapter

import lm_mentor
from metier.artefacts.datasets import Dataset
from metier.artefacts.estimates import Estimate
from metier.artefacts.evaluations import CandidateScore, Evaluation
from metier.audit import AuditSettings, audit
from metier.curate import CurateSettings, curate
from metier.evaluate import EvaluateSettings, evaluate
from metier.generalists import Generalist, GeneralistSettings, make_generalist
from metier.labs.files import write_jsonl
from metier.labs.registry import CORPORA
from metier.machine import usable_cores
from metier.progress import Progress
from metier.sources.importing import import_files
from metier.store.traffic import TrafficStore

ROOT = Path(__file__).parent.parent
CACHE = ROOT / "bench-results" / "lm-answers.db"
SEED = 0
# The longest record of the corpus has about 130 tokens.
MAX_OUTPUT_TOKENS = 256
CONTEXT_TOKENS = 8192
_LINE_EVERY_S = 30.0


def sroie_dataset(seed: int = SEED) -> Dataset:
    """SROIE as `metier import`, `audit` and `curate` make it, with the splits of `metier.labs.sroie`."""
    reader = CORPORA["sroie"]
    corpus = reader.read(Path(os.environ.get("METIER_DATA", "../shared/data")) / reader.folder, seed)
    with tempfile.TemporaryDirectory() as work:
        write_jsonl(Path(work) / "sroie.jsonl", corpus.chats)
        with TrafficStore(Path(work) / "traffic.db") as traffic:
            import_files([Path(work) / "sroie.jsonl"], traffic)
            found = audit(traffic, AuditSettings(), seed=seed)
            return curate(found, "sroie", traffic, CurateSettings(), seed=seed)


def settings(model: Path, shots: int) -> GeneralistSettings:
    """How the generalist is asked. Whoever pairs with its answers asks in the same way, and finds them in CACHE."""
    return GeneralistSettings(
        backend="gguf",
        path=str(model),
        model=lm_mentor.NAME,
        shots=shots,
        threads=usable_cores(),
        max_output_tokens=MAX_OUTPUT_TOKENS,
        context_tokens=CONTEXT_TOKENS,
    )


def mentor(dataset: Dataset, model: Path, shots: int, cache: Path = CACHE) -> Generalist:
    """The generalist, with the answers that it has given before."""
    made = make_generalist(settings(model, shots), dataset, cache_path=cache, seed=SEED)
    assert made is not None
    return made


def measure(dataset: Dataset, generalist: Generalist, progress: Progress) -> Evaluation:
    """The generalist alone on the test split."""
    return evaluate([], generalist, dataset, EvaluateSettings(), seed=SEED, progress=progress)


def limited(dataset: Dataset, n: int | None) -> Dataset:
    """The dataset with only the first `n` test items."""
    if n is None:
        return dataset
    kept = [*dataset.split("test")["id"][:n], *dataset.examples.filter(pl.col("split") != "test")["id"]]
    return replace(dataset, examples=dataset.examples.filter(pl.col("id").is_in(kept)))


def table(scores: Sequence[tuple[int, CandidateScore]]) -> str:
    """One row a prompt."""
    rows = [
        "| worked examples | n | micro F1 | macro F1 | whole record | valid | ungrounded | degenerate or cut off "
        "| too long | latency p50 s | p95 s | input tokens | output tokens |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for shots, one in scores:
        records, writing = one.records, one.writing
        assert records is not None
        assert writing is not None
        n_stuck = round((writing.degenerate.value + writing.cut_off.value) * writing.n)
        cells = [
            str(shots), str(one.n), _shown(records.micro_f1), _shown(records.macro_f1), _shown(records.whole_record),
            _shown(writing.valid), _shown(records.ungrounded), f"{n_stuck} of {writing.n}",
            f"{round(writing.too_long.value * writing.n)} of {writing.n}",
            f"{one.latency.p50_s:.1f}", f"{one.latency.p95_s:.1f}",
            f"{one.input_tokens_mean:,.0f}", f"{one.output_tokens_mean:,.0f}",
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def field_table(scores: Sequence[tuple[int, CandidateScore]]) -> str:
    """One row a field, F1 after normalisation."""
    shown = [(shots, one.records) for shots, one in scores if one.records is not None]
    head = " | ".join(f"F1, {shots} examples" for shots, _ in shown)
    rows = [f"| field | {head} |", f"|---|{'---|' * len(shown)}"]
    for place, field in enumerate(shown[0][1].fields):
        cells = " | ".join(_shown(records.fields[place].f1) for _, records in shown)
        rows.append(f"| {field.name} | {cells} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 3])
    parser.add_argument("--limit", type=int, help="only so many test receipts")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where answers are kept")
    parser.add_argument("--again", action="store_true", help="forget the answers that were kept")
    parser.add_argument("--quick", action="store_true", help="two receipts; nothing is downloaded for it")
    arguments = parser.parse_args()
    model = lm_mentor.at_hand() if arguments.quick else lm_mentor.fetch()
    if model is None:
        arguments.out.write_text("[]")
        print(
            f"Left out of the quick run: {lm_mentor.NAME} is not at hand (python benchmarks/lm_mentor.py fetches it)."
        )
        return
    if arguments.again:
        for end in ("", "-wal", "-shm"):
            arguments.cache.with_name(arguments.cache.name + end).unlink(missing_ok=True)
    dataset = limited(sroie_dataset(), 2 if arguments.quick else arguments.limit)
    scores, said = [], []
    for shots in arguments.shots:
        begun = time.monotonic()
        evaluation = measure(dataset, mentor(dataset, model, shots, arguments.cache), _Said())
        scores.append((shots, evaluation.candidates[0]))
        said.append(f"{shots} examples: {time.monotonic() - begun:,.0f} s")
    content = [
        {"shots": shots, "score": TypeAdapter(CandidateScore).dump_python(one, mode="json")} for shots, one in scores
    ]
    arguments.out.write_text(json.dumps(content, indent=1))
    print(
        f"{lm_mentor.NAME}, a small local coder model and no frontier API, on SROIE's test receipts. Intervals: 95%.\n"
    )
    print(table(scores))
    print()
    print(field_table(scores))
    print(f"\nLatency: {scores[0][1].latency.condition}. Wall time, less what was answered before: {'; '.join(said)}.")


class _Said:
    """A line of progress on stderr every half minute."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def __call__(self, description: str, done: int, total: int | None) -> None:
        if time.monotonic() - self._at >= _LINE_EVERY_S:
            self._at = time.monotonic()
            sys.stderr.write(f"  {description}: {done} of {total}\n")


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


if __name__ == "__main__":
    main()
