"""What trimming the vocabulary does to the served build: decode speed, prompt speed and size, in the same engine.

    python benchmarks/lm_serving.py --out serving.json [--repeats 5] [--threads 2] [--quick]

Gemma 3 270M as it comes and trimmed on the text of sroie's receipts, in both builds that the student exports. Prompts are
receipts; the trimmed model reads them as the very same tokens. Prompt speed: an answer of one token to a receipt that was
not seen before. Decode speed: up to 64 tokens after the same receipt, read already. Both through `LlamaEngine.write`, the
tokens' log-probabilities included, one answer at a time. The builds take turns within each repetition, so that what
disturbs the machine disturbs all alike. Fifteen receipts, three a repetition: the rates hardly depend on the text, and more
of them take one core long. Weights are the base's: what the answers say is of no matter here.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from metier.labs.receipts import parse_boxes, reading_order
from metier.students.lm.bases import find_base
from metier.students.lm.engine import LlamaEngine
from metier.students.lm.exporting import write_gguf
from metier.students.lm.parts import Constraint, Prompt
from metier.students.lm.vocabulary import trim

BUILDS = ("q8_0", "q4")
VOCABULARIES = ("keep", "trim")
N_CONTEXT = 4096
N_DECODED = 64
_FREE = Constraint()


@dataclass(frozen=True)
class Rates:
    """One build: tokens a second of every repetition, and the file's size."""

    vocabulary: str
    quantisation: str
    n_vocabulary: int
    size_bytes: int
    prompt_tokens_per_s: list[float]
    decode_tokens_per_s: list[float]


def receipts(n: int) -> list[str]:
    """The text of the first `n` receipts, in reading order."""
    folder = Path(os.environ.get("METIER_DATA", "../shared/data")) / "sroie" / "box"
    paths = sorted(folder.glob("*.csv"))[:n]
    if not paths:
        raise SystemExit(f"no receipts in {folder}; set METIER_DATA to the folder that holds sroie")
    return [
        reading_order(parse_boxes(path.read_text(encoding="utf-8", errors="replace").splitlines())) for path in paths
    ]


def measure(texts: list[str], domain: list[str], work: Path, repeats: int, threads: int) -> list[Rates]:
    """Every build's rates; `domain` is what the vocabulary is trimmed to."""
    say("the base model")
    base = find_base("gemma3-270m", accepted=("gemma",))
    found: dict[tuple[str, str], Rates] = {}
    with ExitStack() as stack:
        engines: dict[tuple[str, str], LlamaEngine] = {}
        for vocabulary in VOCABULARIES:
            say(f"builds, vocabulary: {vocabulary}")
            cut = trim(base.folder, domain, work / vocabulary, mode="trim" if vocabulary == "trim" else "keep")
            for build in BUILDS:
                path = work / f"{vocabulary}-{build}.gguf"
                size = write_gguf(cut.folder, path, build)
                key = (vocabulary, build)
                engines[key] = stack.enter_context(LlamaEngine(path, n_context=N_CONTEXT, threads=threads))
                found[key] = Rates(vocabulary, build, cut.n_vocabulary, size, [], [])
                engines[key].write(["warm up"], _FREE, max_tokens=8)
        for repeat in range(repeats):
            say(f"repetition {repeat + 1} of {repeats}")
            part = texts[repeat::repeats]
            for key, engine in engines.items():
                prompt_rate, decode_rate = rates(engine, part)
                found[key].prompt_tokens_per_s.append(prompt_rate)
                found[key].decode_tokens_per_s.append(decode_rate)
    return list(found.values())


def rates(engine: LlamaEngine, texts: list[str]) -> tuple[float, float]:
    """Tokens a second read and written, over prompts that the engine has not seen."""
    n_read = n_written = 0
    read_s = written_s = 0.0
    for text in texts:
        prompt = Prompt("", text, "\n\n### Answer\n")
        first = engine.write([prompt], _FREE, max_tokens=1)[0]
        answer = engine.write([prompt], _FREE, max_tokens=N_DECODED)[0]
        n_read, read_s = n_read + first.n_input, read_s + first.latency_s
        n_written, written_s = n_written + answer.n_output, written_s + answer.latency_s
    return n_read / read_s, n_written / written_s


def say(text: str) -> None:
    sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def report(found: list[Rates], n_prompts: int, threads: int) -> str:
    lines = [
        f"Gemma 3 270M, {n_prompts} receipts, {threads} threads, one answer at a time; median of "
        f"{len(found[0].decode_tokens_per_s)} repetitions (lowest to highest).",
        "",
        "| build | vocabulary | size | decode tokens/s | prompt tokens/s |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.quantisation} | {'trimmed' if r.vocabulary == 'trim' else 'whole'}, {r.n_vocabulary:,} tokens "
        f"| {r.size_bytes / 1e6:.1f} MB | {_spread(r.decode_tokens_per_s)} | {_spread(r.prompt_tokens_per_s)} |"
        for r in found
    ]
    lines.append("")
    for build in BUILDS:
        whole, cut = (next(r for r in found if (r.vocabulary, r.quantisation) == (v, build)) for v in VOCABULARIES)
        pairs = zip(cut.decode_tokens_per_s, whole.decode_tokens_per_s, strict=True)
        gains = [trimmed / kept for trimmed, kept in pairs]
        lines.append(
            f"- {build}: trimmed decodes {statistics.median(gains):.2f} times as fast ({min(gains):.2f} to "
            f"{max(gains):.2f}) at {cut.size_bytes / whole.size_bytes:.1%} of the size."
        )
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true", help="two repetitions of two receipts each")
    arguments = parser.parse_args()
    n_prompts, repeats = (4, 2) if arguments.quick else (arguments.prompts, arguments.repeats)
    domain = receipts(10_000)
    with tempfile.TemporaryDirectory() as work:
        found = measure(domain[:n_prompts], domain, Path(work), repeats, arguments.threads)
    arguments.out.write_text(json.dumps([asdict(r) for r in found], indent=1))
    print(report(found, n_prompts, arguments.threads))


if __name__ == "__main__":
    main()
