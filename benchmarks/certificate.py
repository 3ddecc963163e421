"""Does the certificate hold on real answers? Random calibration/test re-splits, beside TRACER's gate and MAPIE's risk
control.

    python benchmarks/certificate.py --pool pool.npz --out certificate.json [--splits 1000]

The pool is an .npz with `scores` (n,), `correct` (n,) and `in_scope` (n,): a student's answers to in-scope test
queries and to out-of-scope
ones, where no answer is right; `tune_scores` where it has them, to place the thresholds on. Without `--pool`, a TF-IDF
logistic regression
is trained on clinc150 (METIER_DATA) and answers for it.

Every method gets the same scores, the same right/wrong labels, the same alpha and the same confidence. TRACER's target
is agreement with
its teacher: the teacher here is the truth, and its own threshold calibration is called on our scores (its surrogate
and acceptor,
which would make other scores, are left out). Peers are optional: `pip install tracer-llm mapie==1.6.0`.

Three ways of counting a broken promise, because a re-split of a finite pool is not a draw of new traffic:

- *broken, long run*: calibration drawn with replacement from the pool, which then is the whole population; the risk is
exact.
  This is the promise "P(wrong | kept) <= alpha with confidence 1 - delta".
- *broken, test part*: the error among the kept of the other part exceeds alpha. It adds the luck of that part: a
method that keeps its
  long-run promise with no slack breaks this more often than delta, the more so the smaller the test part.
- the row "next batch" makes the second its promise (`horizon`).
"""

import argparse
import functools
import importlib.util
import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metier.metrics.selective import best_threshold_in_hindsight
from metier.statistics.intervals import wilson
from metier.statistics.risk_control import certify, threshold_walk

Threshold = float | None
Method = Callable[[np.ndarray, np.ndarray], Threshold]
"""Chooses a threshold from calibration scores and right/wrong; None keeps nothing."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Answers to draw calibration and test parts from."""

    scores: np.ndarray
    correct: np.ndarray
    in_scope: np.ndarray
    tune_scores: np.ndarray
    name: str


@dataclass(frozen=True, slots=True)
class Result:
    """One method over all re-splits; coverage and gap in shares of the test part."""

    method: str
    n_calibration: int
    n_test: int
    n_splits: int
    broken_test: float
    broken_test_lower: float
    broken_test_upper: float
    broken_long_run: float
    broken_long_run_lower: float
    broken_long_run_upper: float
    coverage: float
    coverage_sd: float
    hindsight: float
    gap: float
    nothing_kept: float
    milliseconds: float


def load_pool(path: Path) -> Pool:
    """Read a pool; raises SystemExit naming what is missing or inconsistent."""
    with np.load(path) as file:
        missing = {"scores", "correct", "in_scope"} - set(file.files)
        if missing:
            raise SystemExit(f"{path} lacks {sorted(missing)}; it must hold scores, correct and in_scope")
        scores, correct, in_scope = (
            file["scores"].astype(float),
            file["correct"].astype(bool),
            file["in_scope"].astype(bool),
        )
        tune = file["tune_scores"].astype(float) if "tune_scores" in file.files else np.linspace(0, 1, 1001)
    if not len(scores) == len(correct) == len(in_scope) or (correct & ~in_scope).any():
        raise SystemExit(f"{path}: arrays differ in length, or an out-of-scope answer is marked right")
    return Pool(scores, correct, in_scope, tune, path.name)


def tfidf_pool() -> Pool:
    """Train a TF-IDF logistic regression on clinc150's train split and answer its test and out-of-scope test queries."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_union

    path = Path(os.environ.get("METIER_DATA", "../shared/data")) / "clinc150" / "data_full.json"
    if not path.exists():
        raise SystemExit(f"{path} is not there; give --pool, or set METIER_DATA to the folder that holds clinc150")
    data = json.loads(path.read_text(encoding="utf-8"))
    words = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2),
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
    )
    features = words.fit_transform([text for text, _ in data["train"]])
    model = LogisticRegression(C=20, max_iter=100, tol=1e-3).fit(features, [label for _, label in data["train"]])

    def answer(rows: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        probabilities = model.predict_proba(words.transform([text for text, _ in rows]))
        return probabilities.max(axis=1), model.classes_[probabilities.argmax(axis=1)] == np.array(
            [label for _, label in rows]
        )

    inside, right = answer(data["test"])
    outside, _ = answer(data["oos_test"])
    return Pool(
        np.concatenate([inside, outside]),
        np.concatenate([right, np.zeros(len(outside), dtype=bool)]),
        np.repeat([True, False], [len(inside), len(outside)]),
        answer(data["val"])[0],
        "TF-IDF logistic regression on clinc150",
    )


def our_method(pool: Pool, n_calibration: int, alpha: float, delta: float, horizon: int | None) -> Method:
    walk = threshold_walk(pool.tune_scores, n_calibration, alpha=alpha, delta=delta)
    return lambda scores, correct: certify(scores, correct, walk, alpha=alpha, delta=delta, horizon=horizon).threshold


def plug_in(alpha: float) -> Method:
    """The naive choice: the most lenient threshold whose calibration error is at most alpha, no bound at all."""
    return lambda scores, correct: best_threshold_in_hindsight(scores, correct, alpha).threshold


def tracer_method(alpha: float, confidence_alpha: float) -> Method:
    """TRACER's own threshold calibration: 70/30 select and verify with a Clopper-Pearson lower bound on agreement."""
    from tracer.fit import pipeline

    # The same bounds are asked for thousands of times: remembering them changes no answer.
    if not hasattr(pipeline._cp_lower, "cache_info"):
        pipeline._cp_lower = functools.cache(pipeline._cp_lower)

    def choose(scores: np.ndarray, correct: np.ndarray) -> Threshold:
        agreed = np.ones(len(scores), dtype=int)
        found = pipeline._calibrate_threshold(scores, agreed, correct.astype(int), 1 - alpha, alpha=confidence_alpha)
        return None if found is None else float(found["threshold"])

    return choose


def mapie_method(alpha: float, delta: float, fwer_method: str, thresholds: np.ndarray | None) -> Method:
    """MAPIE's Learn-then-Test controller of precision: P(right | kept) >= 1 - alpha; its default thresholds unless
    given.
    """
    from mapie.risk_control import BinaryClassificationController

    def probabilities(scores: Any) -> np.ndarray:
        column = np.asarray(scores).ravel()
        return np.stack([1 - column, column], axis=1)

    def choose(scores: np.ndarray, correct: np.ndarray) -> Threshold:
        options: dict[str, Any] = {} if thresholds is None else {"list_predict_params": thresholds}
        controller = BinaryClassificationController(
            probabilities,
            "precision",
            target_level=1 - alpha,
            confidence_level=1 - delta,
            fwer_method=fwer_method,
            **options,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where no threshold passes; that outcome is counted below
            controller.calibrate(scores[:, None], correct.astype(int))
        best = controller.best_predict_param
        return None if best is None else float(np.ravel(best)[0])

    return choose


def methods(pool: Pool, n_calibration: int, n_test: int, alpha: float, delta: float) -> dict[str, Method]:
    chosen: dict[str, Method] = {
        "metier": our_method(pool, n_calibration, alpha, delta, None),
        "metier, next batch": our_method(pool, n_calibration, alpha, delta, n_test),
        "no bound (plug-in)": plug_in(alpha),
    }
    if importlib.util.find_spec("tracer"):
        chosen["TRACER gate, its alpha 0.10"] = tracer_method(alpha, 0.10)
        chosen[f"TRACER gate, alpha {delta:.2f}"] = tracer_method(alpha, delta)
    else:
        print("TRACER is not installed and is left out; pip install tracer-llm")
    if importlib.util.find_spec("mapie"):
        walk = threshold_walk(pool.tune_scores, n_calibration, alpha=alpha, delta=delta)
        chosen["MAPIE, defaults (Bonferroni-Holm)"] = mapie_method(alpha, delta, "bonferroni_holm", None)
        chosen["MAPIE, fixed sequence, our walk"] = mapie_method(alpha, delta, "fixed_sequence", walk)
    else:
        print("MAPIE is not installed and is left out; pip install mapie==1.6.0")
    return chosen


def kept(scores: np.ndarray, correct: np.ndarray, threshold: Threshold) -> tuple[float, float]:
    """Coverage and risk at a threshold; risk 0 where nothing is kept, since nothing kept is wrong."""
    keep = scores >= (np.inf if threshold is None else threshold)
    return float(keep.mean()), float((~correct[keep]).mean()) if keep.any() else 0.0


def measure(
    name: str, method: Method, pool: Pool, n_calibration: int, n_splits: int, alpha: float, seed: int
) -> Result:
    rng = np.random.default_rng(seed)
    n = len(pool.scores)
    broken_test, broken_long_run, coverages, hindsights, seconds = [], [], [], [], 0.0
    for _ in range(n_splits):
        order = rng.permutation(n)
        calibration, test = order[:n_calibration], order[n_calibration:]
        start = time.perf_counter()
        threshold = method(pool.scores[calibration], pool.correct[calibration])
        seconds += time.perf_counter() - start
        coverage, risk = kept(pool.scores[test], pool.correct[test], threshold)
        broken_test.append(risk > alpha)
        coverages.append(coverage)
        hindsights.append(best_threshold_in_hindsight(pool.scores[test], pool.correct[test], alpha).coverage)
        redrawn = rng.integers(0, n, n_calibration)
        threshold = method(pool.scores[redrawn], pool.correct[redrawn])
        broken_long_run.append(kept(pool.scores, pool.correct, threshold)[1] > alpha)
    bounds_test = wilson(float(np.sum(broken_test)), n_splits)
    bounds_long_run = wilson(float(np.sum(broken_long_run)), n_splits)
    return Result(
        method=name,
        n_calibration=n_calibration,
        n_test=n - n_calibration,
        n_splits=n_splits,
        broken_test=float(np.mean(broken_test)),
        broken_test_lower=bounds_test[0],
        broken_test_upper=bounds_test[1],
        broken_long_run=float(np.mean(broken_long_run)),
        broken_long_run_lower=bounds_long_run[0],
        broken_long_run_upper=bounds_long_run[1],
        coverage=float(np.mean(coverages)),
        coverage_sd=float(np.std(coverages)),
        hindsight=float(np.mean(hindsights)),
        gap=float(np.mean(np.subtract(hindsights, coverages))),
        nothing_kept=float(np.mean(np.equal(coverages, 0.0))),
        milliseconds=1000 * seconds / n_splits,
    )


def markdown(results: list[Result], alpha: float) -> str:
    lines = [
        f"| method | calibration / test | test part above {alpha:.0%} | long-run risk above {alpha:.0%} "
        "| mean coverage (sd) | best in hindsight | gap, points | nothing kept | ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.method} | {r.n_calibration:,} / {r.n_test:,} "
        f"| {r.broken_test:.1%} ({r.broken_test_lower:.1%}–{r.broken_test_upper:.1%}) "
        f"| {r.broken_long_run:.1%} ({r.broken_long_run_lower:.1%}–{r.broken_long_run_upper:.1%}) "
        f"| {r.coverage:.1%} ({r.coverage_sd:.1%}) | {r.hindsight:.1%} "
        f"| {100 * r.gap:.2f} | {r.nothing_kept:.1%} | {r.milliseconds:.1f} |"
        for r in results
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the results as JSON here")
    parser.add_argument(
        "--pool", type=Path, help=".npz with scores, correct, in_scope and, if it has them, tune_scores"
    )
    parser.add_argument("--splits", type=int, default=1000)
    parser.add_argument("--calibration-share", type=float, nargs="+", default=[0.5])
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--delta", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pool = load_pool(arguments.pool) if arguments.pool else tfidf_pool()
    accuracy = pool.correct[pool.in_scope].mean()
    print(
        f"Pool: {pool.name}, {pool.in_scope.sum():,} in scope (accuracy {accuracy:.1%}), "
        f"{(~pool.in_scope).sum():,} out of scope; "
        f"alpha {arguments.alpha}, confidence {1 - arguments.delta}, {arguments.splits:,} re-splits.\n"
    )
    results = []
    for share in arguments.calibration_share:
        n_calibration = round(share * len(pool.scores))
        chosen = methods(pool, n_calibration, len(pool.scores) - n_calibration, arguments.alpha, arguments.delta)
        for name, method in chosen.items():
            results.append(
                measure(name, method, pool, n_calibration, arguments.splits, arguments.alpha, arguments.seed)
            )
    print(markdown(results, arguments.alpha))
    if arguments.out:
        payload = {
            "pool": pool.name,
            "alpha": arguments.alpha,
            "delta": arguments.delta,
            "results": [asdict(r) for r in results],
        }
        arguments.out.write_text(json.dumps(payload, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
