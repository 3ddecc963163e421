"""How good and how fast is the student `trees` on simulated drive tests, view included?

    python benchmarks/telecom_trees.py --out trees.json [--quick]

Windows come from `metier.labs.telecom` at its default difficulty; train, tune and test are simulated with seeds of their
own, so no drive is in two of them. Accuracy is that of the exported form on the test windows, in the published form of the
question and in the randomised one, with intervals over drives. A single answer is timed one at a time on one core after a
warm-up, from the text of the question to the label; answers a second are those of as many processes as are asked for, each
with its own copy, as the gateway's workers have them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from metier.labs.telecom import questions, text
from metier.labs.telecom.parts import Windows
from metier.labs.telecom.simulator import simulate
from metier.progress import silent
from metier.statistics.intervals import Interval, proportion
from metier.students import STUDENTS, LabelledTexts, TaskSpec

WARM_UP = 20
TREES = STUDENTS["trees"]


@dataclass(frozen=True)
class Sizes:
    """Windows of each split, single answers that are timed, seconds of the rate's measurement."""

    train: int = 6000
    tune: int = 1500
    test: int = 2000
    timed: int = 1000
    rate_s: float = 10.0


QUICK = Sizes(400, 120, 120, 60, 1.0)


@dataclass(frozen=True)
class Result:
    """Times in seconds or milliseconds as named; `rate` counts answers a second over all processes."""

    sizes: Sizes
    seed: int
    accuracy: Interval
    randomised: Interval
    fit_wall_s: float
    fit_cpu_s: float
    size_bytes: int
    n_features: int
    n_rounds: int
    p50_ms: float
    p99_ms: float
    n_processes: int
    rate: float


def labelled(windows: Windows) -> LabelledTexts:
    groups = tuple(f"drive {number}" for number in windows.cluster)
    return LabelledTexts(tuple(text.standard(windows)), tuple(text.answers(windows)), groups)


def measure(sizes: Sizes, seed: int, n_processes: int) -> Result:
    say(f"simulating {sizes.train + sizes.tune + sizes.test:,} windows")
    train, tune, test = (simulate(n, 3 * seed + place) for place, n in enumerate((sizes.train, sizes.tune, sizes.test)))
    asked = labelled(test)
    anew = questions.randomised(test, seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "trees"
        say("training")
        wall, cpu = time.perf_counter(), time.process_time()
        summary = TREES.fit(
            labelled(train),
            labelled(tune),
            folder,
            seed=seed,
            progress=silent,
            options={},
            task=TaskSpec(view="telelogs"),
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        say("answering")
        predictor = TREES.load(folder)
        right = predictor.predict(asked.inputs).labels == np.array(asked.labels, dtype=object)
        told = predictor.predict([one.text for one in anew]).labels
        right_anew = told == np.array([one.answer for one in anew], dtype=object)
        taken = single_answers(folder, asked.inputs, sizes.timed)
        rate = answers_per_s(folder, asked.inputs, sizes.rate_s, n_processes)
    return Result(
        sizes,
        seed,
        proportion(right, asked.groups),
        proportion(right_anew, asked.groups),
        wall,
        cpu,
        summary.size_bytes,
        len(summary.view.features) if summary.view else 0,
        summary.epochs,
        1000 * float(np.percentile(taken, 50)),
        1000 * float(np.percentile(taken, 99)),
        n_processes,
        rate,
    )


def single_answers(folder: Path, inputs: Sequence[str], n: int) -> list[float]:
    """Seconds of single answers to `n` inputs, taken round and round."""
    predictor = TREES.load(folder)
    taken = []
    for number in range(WARM_UP + n):
        started = time.perf_counter()
        predictor.predict([inputs[number % len(inputs)]])
        taken.append(time.perf_counter() - started)
    return taken[WARM_UP:]


def answers_per_s(folder: Path, inputs: Sequence[str], seconds: float, n_processes: int) -> float:
    """Answers a second, one at a time in each of `n_processes`."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(n_processes) as pool:
        jobs = [(folder, tuple(inputs), seconds)] * n_processes
        pool.starmap(answer_for, [(folder, tuple(inputs), 0.2)] * n_processes, chunksize=1)
        return sum(pool.starmap(answer_for, jobs, chunksize=1))


def answer_for(folder: Path, inputs: Sequence[str], seconds: float) -> float:
    """Answers a second of this process."""
    predictor = TREES.load(folder)
    predictor.predict(inputs[:WARM_UP])
    n, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        predictor.predict([inputs[n % len(inputs)]])
        n += 1
    return n / (time.perf_counter() - begun)


def report(found: Result) -> str:
    sizes = found.sizes
    return "\n".join(
        [
            f"Trained on {sizes.train:,} simulated windows, tuned on {sizes.tune:,}, tested on {sizes.test:,} of other "
            f"drives; {found.n_features} numbers of the view `telelogs`, {found.n_rounds} rounds of trees.",
            "",
            "| what | figure |",
            "|---|---|",
            f"| right, published form | {shown(found.accuracy)} |",
            f"| right, randomised form | {shown(found.randomised)} |",
            f"| training with all it takes | {found.fit_wall_s:,.0f} s ({found.fit_cpu_s:,.0f} s of CPU) |",
            f"| files | {found.size_bytes / 1e6:.1f} MB |",
            f"| one answer, view included | p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms (n = {sizes.timed:,}) |",
            f"| answers a second, {found.n_processes} processes | {found.rate:,.0f} |",
        ]
    )


def shown(interval: Interval) -> str:
    return f"{interval.estimate:.1%} ({100 * interval.lower:.1f} to {100 * interval.upper:.1f})"


def say(what: str) -> None:
    sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    arguments = parser.parse_args()
    found = measure(QUICK if arguments.quick else Sizes(), arguments.seed, arguments.processes)
    arguments.out.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
    sys.stdout.write(report(found) + "\n")


if __name__ == "__main__":
    main()
