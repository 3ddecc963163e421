"""How good, how fast and how large are the students on clinc150, and do they know what is foreign?

    python benchmarks/students.py --out students.json [--seeds 3] [--students linear encoder] [--quick]

Trained on the 15,000 train queries, tuned on the 3,000 of val, measured in the exported form on the 4,500 in-scope test
queries and the 1,000 out-of-scope ones; no out-of-scope query is seen before. Accuracy and macro-F1 are over in-scope
queries, with the interval of the first seed; wall time is all of `fit`: reading the base model, training, export and
calibration. A single answer is timed one text at a time on one core, after a warm-up. Beside FILE.json, one .npz pool a
student and seed is written (scores, correct, in_scope, ood_scores; tune_scores from val), which certificate.py reads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from metier.metrics.classification import macro_f1
from metier.metrics.ood import auroc, fpr_at_tpr
from metier.progress import silent
from metier.statistics.intervals import Interval, proportion
from metier.students import STUDENTS, Answers, FitSummary, LabelledTexts, Predictor

WARM_UP = 20
TIMED = 1000
BATCHED = 4500


@dataclass(frozen=True)
class Clinc:
    """The splits that are used; `foreign` holds the out-of-scope test queries."""

    train: LabelledTexts
    tune: LabelledTexts
    test: LabelledTexts
    foreign: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """One student, one seed. Times in seconds or milliseconds as named; `cpu_s` sums over cores."""

    student: str
    seed: int
    accuracy: Interval
    macro_f1: Interval
    ood_auroc: Interval
    ood_fpr95: Interval
    score_auroc: Interval
    fit_wall_s: float
    fit_cpu_s: float
    latency_ms: dict[str, float]
    batch_answers_per_s: float
    size_bytes: int
    summary: FitSummary


def read_clinc(quick: bool) -> Clinc:
    """clinc150 from METIER_DATA; `quick` takes a tenth of train and tune."""
    path = Path(os.environ.get("METIER_DATA", "../shared/data")) / "clinc150" / "data_full.json"
    if not path.exists():
        raise SystemExit(f"{path} is not there; set METIER_DATA to the folder that holds clinc150")
    splits = json.loads(path.read_text())

    def texts(name: str, step: int = 1) -> LabelledTexts:
        pairs = splits[name][::step]
        return LabelledTexts(tuple(text for text, _ in pairs), tuple(label for _, label in pairs))

    step = 10 if quick else 1
    return Clinc(texts("train", step), texts("val", step), texts("test"), texts("oos_test").inputs)


def measure(name: str, seed: int, data: Clinc, options: dict[str, int], pool: Path) -> Result:
    """Train, load the exported form, ask it everything."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        summary = STUDENTS[name].fit(data.train, data.tune, Path(folder), seed=seed, progress=silent, options=options)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        predictor = STUDENTS[name].load(Path(folder))
        known, foreign, tune = (
            predictor.predict(texts) for texts in (data.test.inputs, data.foreign, data.tune.inputs)
        )
        latency_ms, per_s = time_answers(predictor, data.test.inputs)
    truth = np.array(data.test.labels, dtype=object)
    right = known.labels == truth
    write_pool(pool, known, right, foreign, tune)
    wrong = np.concatenate([known.scores[~right], foreign.scores])
    return Result(
        student=name,
        seed=seed,
        accuracy=proportion(right),
        macro_f1=macro_f1(truth.tolist(), known.labels.tolist(), n_resamples=1000, seed=seed),
        ood_auroc=auroc(known.ood_scores, foreign.ood_scores),
        ood_fpr95=fpr_at_tpr(known.ood_scores, foreign.ood_scores, seed=seed)[0],
        score_auroc=auroc(-known.scores[right], -wrong),
        fit_wall_s=wall,
        fit_cpu_s=cpu,
        latency_ms=latency_ms,
        batch_answers_per_s=per_s,
        size_bytes=summary.size_bytes,
        summary=summary,
    )


def time_answers(predictor: Predictor, texts: Sequence[str]) -> tuple[dict[str, float], float]:
    """Percentiles of a single answer in ms, and answers a second in one batch; both on one core."""
    with one_core():
        for text in texts[:WARM_UP]:
            predictor.predict([text])
        taken = []
        for text in texts[:TIMED]:
            before = time.perf_counter()
            predictor.predict([text])
            taken.append((time.perf_counter() - before) * 1e3)
        before = time.perf_counter()
        predictor.predict(texts[:BATCHED])
        per_s = len(texts[:BATCHED]) / (time.perf_counter() - before)
    return {f"p{q}": float(np.percentile(taken, q)) for q in (50, 95, 99)}, per_s


@contextmanager
def one_core() -> Iterator[None]:
    """Bind this process to one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def write_pool(path: Path, known: Answers, right: np.ndarray, foreign: Answers, tune: Answers) -> None:
    """What certificate.py draws from: no answer to a foreign query is right."""
    np.savez(
        path,
        scores=np.concatenate([known.scores, foreign.scores]),
        correct=np.concatenate([right, np.zeros(len(foreign.scores), dtype=np.bool_)]),
        in_scope=np.concatenate([np.ones(len(right), dtype=np.bool_), np.zeros(len(foreign.scores), dtype=np.bool_)]),
        ood_scores=np.concatenate([known.ood_scores, foreign.ood_scores]),
        tune_scores=tune.scores,
    )


def table(results: Sequence[Result]) -> str:
    """Markdown: a row a student, the mean over seeds, the spread between them, the interval of the first."""
    head = (
        "| student | seeds | accuracy, n = {n:,} | macro-F1 | fit, wall s (CPU s) | OOD AUROC | OOD FPR at 95% TPR | "
        "score AUROC | answer on one core, ms p50 / p95 / p99 | batch, answers/s | size, MB | form |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|"
    )
    rows = [head.format(n=results[0].accuracy.n)]
    for name in dict.fromkeys(result.student for result in results):
        mine = [result for result in results if result.student == name]

        def share(field: str, mine: list[Result] = mine) -> str:
            values = [getattr(result, field).estimate for result in mine]
            first = getattr(mine[0], field)
            spread = f" ± {statistics.stdev(values):.2%}" if len(values) > 1 else ""
            return f"{statistics.mean(values):.2%}{spread} [{first.lower:.2%}, {first.upper:.2%}]"

        def mean(values: Iterator[float]) -> float:
            return statistics.mean(values)

        latency = " / ".join(f"{mean(r.latency_ms[q] for r in mine):.2f}" for q in ("p50", "p95", "p99"))
        rows.append(
            f"| {name} | {len(mine)} | {share('accuracy')} | {share('macro_f1')} | "
            f"{mean(r.fit_wall_s for r in mine):.0f} ({mean(r.fit_cpu_s for r in mine):.0f}) | {share('ood_auroc')} | "
            f"{share('ood_fpr95')} | {share('score_auroc')} | {latency} | "
            f"{mean(r.batch_answers_per_s for r in mine):,.0f} | {mine[0].size_bytes / 1e6:.1f} | "
            f"{', '.join(sorted({r.summary.precision for r in mine}))} |"
        )
    rows.append(
        "\nMean over seeds ± their standard deviation [95% interval of the first seed over the test queries]. "
        "Score AUROC: right in-scope answers against wrong answers and all answers to out-of-scope queries."
    )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="figures as JSON; pools are written beside it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--students", nargs="+", choices=sorted(STUDENTS), default=list(STUDENTS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the data, one seed, one epoch of the encoder")
    arguments = parser.parse_args()
    data = read_clinc(arguments.quick)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    results = []
    for name in arguments.students:
        options = {"epochs": 1} if arguments.quick and name == "encoder" else {}
        for seed in range(1 if arguments.quick else arguments.seeds):
            suffix = "" if seed == 0 else f"-{seed}"
            results.append(measure(name, seed, data, options, arguments.out.with_name(f"pool-{name}{suffix}.npz")))
    arguments.out.write_text(json.dumps([asdict(result) for result in results], indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
