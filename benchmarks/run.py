"""Run every benchmark and write docs/benchmarks.md: the figures with their n and spread, and the machine they come from.

    python benchmarks/run.py            all of it, about five hours on 2 quiet cores
    python benchmarks/run.py --quick    small sizes, to see that everything runs; writes no docs
    python benchmarks/run.py --only audit import
    python benchmarks/run.py --only gateway      every one whose name begins with gateway-

Each benchmark is a script with a `main()` of its own that prints a Markdown table and writes its figures as JSON.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = ROOT / "bench-results"
PEERS = ROOT / ".venv-peers" / "bin" / "python"
PAGE = ROOT / "docs" / "benchmarks.md"
_FAILED = "**Failed with exit code"
_LIBRARIES = (
    "numpy",
    "polars",
    "scikit-learn",
    "onnxruntime",
    "tokenizers",
    "torch",
    "transformers",
    "peft",
    "xllamacpp",
    "uvicorn",
    "uvloop",
    "httptools",
    "aiohttp",
)


@dataclass(frozen=True)
class Benchmark:
    """A script, its title in the page, its arguments, and those of a quick run; `peers`: run where the peers are."""

    title: str
    script: str
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    peers: bool = False


BENCHMARKS: dict[str, Benchmark] = {
    "students": Benchmark("Students on clinc150", "students.py", quick=("--quick",)),
    "certificate-encoder": Benchmark(
        "Certificate on the encoder's answers, beside TRACER and MAPIE",
        "certificate.py",
        ("--pool", "{results}/pool-encoder.npz"),
        ("--pool", "{results}/pool-encoder.npz", "--splits", "20"),
        peers=True,
    ),
    "certificate-linear": Benchmark(
        "Certificate on the linear student's answers, beside TRACER and MAPIE",
        "certificate.py",
        ("--pool", "{results}/pool-linear.npz"),
        ("--pool", "{results}/pool-linear.npz", "--splits", "20"),
        peers=True,
    ),
    "audit": Benchmark(
        "Audit of a mixed log", "auditing.py", quick=("--sizes", "2000", "--seeds", "1", "--repeats", "1")
    ),
    "import": Benchmark("Import", "importing.py", quick=("--calls", "5000", "--repeats", "1", "--growth", "2")),
    "statistics": Benchmark("Validity and power of the statistics", "statistics_validity.py", quick=("--draws", "200")),
    "pii": Benchmark("PII scrub", "pii.py", quick=("--per-entity", "20")),
    "lm-tuning": Benchmark("Tuning a language model, beside TRL's SFTTrainer", "lm_tuning.py", quick=("--quick",)),
    "lm-preference": Benchmark(
        "Preference tuning of a language model, beside TRL's DPOTrainer", "lm_preference.py", quick=("--quick",)
    ),
    "lm-vocabulary": Benchmark("Vocabularies trimmed to real texts", "lm_vocabulary.py", quick=("--quick",)),
    "lm-serving": Benchmark(
        "The served language model: vocabulary trimmed against whole", "lm_serving.py", quick=("--quick",)
    ),
    "lm-generalist": Benchmark("A larger local generalist on receipts", "lm_generalist.py", quick=("--quick",)),
    "lm-sroie": Benchmark(
        "The language-model student on receipts, from data to report", "lm_sroie.py", quick=("--quick",)
    ),
    **{
        f"lm-texts-{name}": Benchmark(
            f"The language-model student on {told}",
            "lm_texts.py",
            arguments=("--only", name),
            quick=("--only", name, "--quick"),
        )
        for name, told in (
            ("sections", "dialogues: which section of the note"),
            ("notes", "dialogues: the text of the section"),
            ("lener", "legal paragraphs: lists of entities"),
        )
    },
    "telecom-simulator": Benchmark(
        "The drive-test simulator: speed, distributions, and what one column tells",
        "telecom_simulator.py",
        quick=("--quick",),
    ),
    "telecom-trees": Benchmark(
        "Trees on simulated drive tests, the view included", "telecom_trees.py", quick=("--quick",)
    ),
    "telecom-transfer": Benchmark(
        "Trees trained on simulated drive tests, on windows by another hand", "telecom_transfer.py", quick=("--quick",)
    ),
    "telecom-transfer-written": Benchmark(
        "The same with a fifth of the training windows written from the options",
        "telecom_transfer.py",
        ("--written", "0.2"),
        ("--written", "0.2", "--quick"),
    ),
    "telecom-lm": Benchmark(
        "The language model on simulated drive tests: a rationale first, and what the view is worth",
        "telecom_lm.py",
        quick=("--quick",),
    ),
    "gateway-overhead": Benchmark(
        "Gateway: what it adds to a call, beside LiteLLM's proxy", "gateway/overhead.py", quick=("--quick",)
    ),
    "gateway-rates": Benchmark("Gateway: calls that pass through", "gateway/rates.py", quick=("--quick",)),
    "gateway-kept": Benchmark("Gateway: answers kept by a specialist", "gateway/kept.py", quick=("--quick",)),
    "gateway-streams": Benchmark("Gateway: 2,000 open streams", "gateway/streams.py", quick=("--quick",)),
    "gateway-soak": Benchmark("Gateway: soak", "gateway/soak.py", quick=("--quick",)),
}


def machine() -> str:
    """What the figures were measured on, as a Markdown list."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in _read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        platform.processor() or "unknown",
    )
    memory = next((line.split()[1] for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0")
    libraries = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    memory_gib = int(memory) / 2**20
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    return "\n".join(
        [
            f"- {os.cpu_count()} cores of {cpu}, {memory_gib:.0f} GiB of memory, {platform.system()} {platform.release()}",
            f"- Python {platform.python_version()}; {libraries}",
            f"- {datetime.date.today().isoformat()}, commit {commit.stdout.strip() or 'unknown'}",
        ]
    )


def run(name: str, benchmark: Benchmark, results: Path, arguments: Sequence[str]) -> str:
    """The Markdown that one benchmark printed. A failure is shown in the page, not hidden."""
    python = PEERS if benchmark.peers and PEERS.exists() else Path(sys.executable)
    extra = [argument.format(results=results.relative_to(ROOT)) for argument in arguments]
    command = [str(python), str(HERE / benchmark.script), "--out", str(results / f"{name}.json"), *extra]
    sys.stderr.write(f"{name}: {' '.join(command[1:])}\n")
    begun = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    shown = " ".join(["python", f"benchmarks/{benchmark.script}", *extra])
    took = f"Command: `{shown}`; {time.monotonic() - begun:,.0f} s."
    if done.returncode:
        return f"## {benchmark.title}\n\n{_FAILED} {done.returncode}.** {took}\n\n{done.stdout}"
    return f"## {benchmark.title}\n\n{done.stdout.strip()}\n\n{took}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes; writes no docs")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"these alone: {', '.join(BENCHMARKS)}; or gateway")
    arguments = parser.parse_args()
    chosen = [name for name in BENCHMARKS if arguments.only is None or _is_named(name, arguments.only)]
    if not chosen:
        parser.error(f"no benchmark is called {' or '.join(arguments.only)}")
    results = RESULTS / "quick" if arguments.quick else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in chosen:
        benchmark = BENCHMARKS[name]
        section = run(name, benchmark, results, benchmark.quick if arguments.quick else benchmark.arguments)
        (results / f"{name}.md").write_text(f"{section}\n{machine()}\n", encoding="utf-8")
        sys.stdout.write(section + "\n")
        if _FAILED in section:
            failed.append(name)
    if not arguments.quick:
        write_page()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _is_named(name: str, wanted: Sequence[str]) -> bool:
    """Whether it is asked for, by its own name or by its group's: gateway for gateway-rates."""
    return any(name == one or name.startswith(f"{one}-") for one in wanted)


def write_page() -> None:
    """Put the newest section of every benchmark into docs/benchmarks.md; where a benchmark was not run here, the section
    that stands there already."""
    there = _sections(_read(str(PAGE)))
    parts = [
        "# Benchmarks",
        "",
        "Made by `make bench`; nothing here is typed in by hand. Data: `METIER_DATA` (default `../shared/data`).",
        "",
    ]
    for name, benchmark in BENCHMARKS.items():
        path = RESULTS / f"{name}.md"
        if path.exists():
            parts.append(path.read_text(encoding="utf-8"))
        elif benchmark.title in there:
            parts.append(there[benchmark.title])
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _sections(page: str) -> dict[str, str]:
    """The sections of a page, each with its heading, by title."""
    sections = [f"## {part}".rstrip("\n") + "\n" for part in page.split("\n## ")[1:]]
    return {section.removeprefix("## ").partition("\n")[0]: section for section in sections}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return "absent"


if __name__ == "__main__":
    main()
