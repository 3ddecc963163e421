"""Do the statistics keep their promises? Coverage of every interval, error rate of every test, by simulation with
known truth.

    python benchmarks/statistics_validity.py --out validity.json [--draws 4000]

Prints a markdown table: what, setting, draws, nominal, found, Monte Carlo standard error, whether it holds. An
interval holds when
its coverage is within 1.5 points of nominal, or above it where it is conservative by design; a test holds when its
error rate is at
most nominal, give or take two Monte Carlo standard errors. Known truth means the population is written down in each
function below.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import stats

from metier.artefacts.evaluations import Verdict
from metier.metrics.affinity import proxy_a_distance
from metier.metrics.classification import macro_f1, macro_f1_difference
from metier.metrics.ood import auroc, fpr_at_tpr
from metier.statistics.bootstrap import mean_interval
from metier.statistics.intervals import Interval, clopper_pearson, jeffreys, proportion, wilson
from metier.statistics.learning_curve import fit_learning_curve, forecast_error, labels_needed
from metier.statistics.paired import (
    PairedComparison,
    compare,
    exact_p_greater,
    mcnemar_exact,
    paired_bootstrap,
    paired_difference,
    tango_bounds,
)
from metier.statistics.power import paired_items_for_non_inferiority, paired_items_for_superiority
from metier.statistics.risk_control import certify, threshold_walk
from metier.statistics.sequential import confidence_sequence, e_process
from metier.statistics.verdict import judge

Kind = Literal["coverage", "coverage, conservative", "error rate", "power"]
TOLERANCE = 0.015


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    setting: str
    kind: Kind
    draws: int
    nominal: float
    found: float
    standard_error: float
    holds: bool


def row(what: str, setting: str, kind: Kind, nominal: float, outcomes: np.ndarray) -> Row:
    """Summarise boolean ``outcomes`` (covered, rejected) of independent draws."""
    found = float(np.mean(outcomes))
    error = float(np.sqrt(max(found * (1 - found), 1e-9) / len(outcomes)))
    if kind == "coverage":
        holds = abs(found - nominal) <= TOLERANCE
    elif kind == "coverage, conservative":
        holds = found >= nominal - 2 * error
    elif kind == "error rate":
        holds = found <= nominal + 2 * np.sqrt(nominal * (1 - nominal) / len(outcomes))
    else:
        holds = found >= nominal - TOLERANCE - 2 * error
    return Row(what, setting, kind, len(outcomes), nominal, found, error, bool(holds))


def covers(interval: Interval, truth: float) -> bool:
    return interval.lower <= truth <= interval.upper


def grouped_binary(
    rng: np.random.Generator, n_groups: int, size: int, p: float, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Groups of 1 to 2 ``size`` - 1 items whose rates are beta with the given intra-group correlation; mean ``p``
    whatever the size.
    """
    spread = (1 - correlation) / correlation
    sizes = rng.integers(1, 2 * size, n_groups)
    groups = np.repeat(np.arange(n_groups), sizes)
    return rng.random(len(groups)) < rng.beta(p * spread, (1 - p) * spread, n_groups)[groups], groups


def paired_answers(rng: np.random.Generator, n: int, b: float, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Candidate and reference with P(only candidate) = b, P(only reference) = c, both right in 90% of the rest."""
    u = rng.random(n)
    both = rng.random(n) < 0.9
    return (u < b) | ((u >= b + c) & both), ((u >= b) & (u < b + c)) | ((u >= b + c) & both)


def proportions(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    methods: dict[str, tuple[Callable[[float, float, float], tuple[float, float]], Kind]] = {
        "Wilson": (wilson, "coverage"),
        "Jeffreys": (jeffreys, "coverage"),
        "Clopper-Pearson": (clopper_pearson, "coverage, conservative"),
    }
    for name, (method, kind) in methods.items():
        for n, p in ((500, 0.76), (500, 0.95), (4500, 0.97)):
            bounds = np.array([method(k, n, 0.95) for k in range(n + 1)])
            hits = bounds[rng.binomial(n, p, 10 * draws)]
            yield row(name, f"n={n}, p={p}", kind, 0.95, (hits[:, 0] <= p) & (p <= hits[:, 1]))
    for n_groups, size, p, correlation in ((150, 3, 0.9, 0.3), (60, 8, 0.9, 0.2), (400, 4, 0.96, 0.5)):
        found = [covers(proportion(*grouped_binary(rng, n_groups, size, p, correlation)), p) for _ in range(draws)]
        yield row(
            "Wilson on effective size",
            f"{n_groups} groups of ~{size}, p={p}, correlation {correlation}",
            "coverage",
            0.95,
            np.array(found),
        )


def paired_intervals(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    for n, b, c in ((300, 0.06, 0.09), (500, 0.05, 0.05), (4500, 0.02, 0.01)):
        table = rng.multinomial(n, [b, c, 1 - b - c], size=10 * draws)
        lower, upper = tango_bounds(table[:, 0], table[:, 1], n, stats.norm.ppf(0.975))
        yield row("Tango", f"n={n}, b={b}, c={c}", "coverage", 0.95, (lower <= b - c) & (b - c <= upper))
    for n_groups, size, correlation in ((150, 3, 0.3), (80, 6, 0.2)):
        found = []
        for _ in range(draws):
            candidate, groups = grouped_binary(rng, n_groups, size, 0.85, correlation)
            reference = candidate ^ grouped_flips(rng, groups, 0.08, correlation)
            # flips hit right and wrong answers alike: P(ref) = .85 * .92 + .15 * .08, so the true difference is 0.85 -
            # 0.794
            found.append(covers(paired_difference(candidate, reference, groups=groups), 0.85 - 0.794))
        yield row(
            "Tango on effective size",
            f"{n_groups} groups of ~{size}, correlation {correlation}",
            "coverage",
            0.95,
            np.array(found),
        )


def grouped_flips(rng: np.random.Generator, groups: np.ndarray, p: float, correlation: float) -> np.ndarray:
    spread = (1 - correlation) / correlation
    rates = rng.beta(p * spread, (1 - p) * spread, groups.max() + 1)
    return np.asarray(rng.random(len(groups)) < rates[groups])


def bootstraps(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    found = []
    for draw in range(draws):
        groups = np.repeat(np.arange(80), rng.integers(1, 8, 80))
        values = rng.beta(4, 1, 80)[groups] * 0.5 + 0.5 * rng.beta(4, 1, len(groups))
        found.append(covers(mean_interval(values, groups, n_resamples=1000, seed=draw), 0.8))
    yield row("BCa mean, by group", "80 groups of 1 to 7, skewed scores", "coverage", 0.95, np.array(found))
    found = []
    for draw in range(draws):
        ours = rng.beta(4, 1, 300)
        found.append(
            covers(
                paired_bootstrap(
                    ours, np.clip(ours + rng.normal(0, 0.05, 300), None, None) - 0.01, n_resamples=1000, seed=draw
                ),
                0.01,
            )
        )
    yield row("BCa paired difference", "n=300", "coverage", 0.95, np.array(found))
    for n, k in ((600, 10), (1500, 50)):
        truth, confuse = macro_f1_population(k)
        found = []
        for draw in range(draws):
            y = rng.integers(0, k, n)
            found.append(covers(macro_f1(y, answers(rng, y, confuse), n_resamples=600, seed=draw), truth))
        yield row("BCa macro-F1", f"n={n}, {k} classes", "coverage", 0.95, np.array(found))
    truth, confuse = macro_f1_population(10)
    found = []
    for draw in range(draws):
        y = rng.integers(0, 10, 600)
        found.append(
            covers(
                macro_f1_difference(y, answers(rng, y, confuse), answers(rng, y, confuse), n_resamples=600, seed=draw),
                0.0,
            )
        )
    yield row("BCa macro-F1 difference", "n=600, 10 classes", "coverage", 0.95, np.array(found))


def macro_f1_population(k: int) -> tuple[float, np.ndarray]:
    """Macro-F1 of an infinite sample: class i is answered right with probability 0.8 to 0.98, else mistaken for the
    next class.
    """
    right = np.linspace(0.8, 0.98, k)
    predicted = right + np.roll(1 - right, 1)
    return float(np.mean(2 * right / (1 + predicted))), right


def answers(rng: np.random.Generator, y: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(rng.random(len(y)) < right[y], y, (y + 1) % len(right)))


def detection(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    for n_in, n_out, shift in ((500, 200, 1.5), (4500, 1000, 2.6), (300, 100, 2.6)):
        truth = float(stats.norm.cdf(shift / np.sqrt(2)))
        rate = float(stats.norm.cdf(stats.norm.ppf(0.95) - shift))
        areas, rates = [], []
        for draw in range(draws):
            inside, outside = rng.normal(size=n_in), rng.normal(shift, 1, n_out)
            areas.append(covers(auroc(inside, outside), truth))
            rates.append(covers(fpr_at_tpr(inside, outside, seed=draw)[0], rate))
        yield row("DeLong AUROC", f"{n_in} in, {n_out} out, AUROC {truth:.3f}", "coverage", 0.95, np.array(areas))
        yield row(
            "FPR at 95% TPR", f"{n_in} in, {n_out} out, FPR {rate:.3f}", "coverage, conservative", 0.95, np.array(rates)
        )
    found = []
    for _ in range(draws):
        groups = np.repeat(np.arange(120), 4)
        inside = np.sqrt(0.5) * rng.normal(size=120)[groups] + np.sqrt(0.5) * rng.normal(size=480)
        outside = np.sqrt(0.5) * rng.normal(size=40)[groups[:160]] + np.sqrt(0.5) * rng.normal(size=160) + 1.5
        found.append(
            covers(
                auroc(inside, outside, groups_in=groups, groups_out=groups[:160] + 1000),
                float(stats.norm.cdf(1.5 / np.sqrt(2))),
            )
        )
    yield row("DeLong AUROC, by group", "120 and 40 groups of 4", "coverage", 0.95, np.array(found))
    n_null = max(200, draws // 10)
    rejected = [
        proxy_a_distance(rng.normal(size=(150, 20)), rng.normal(size=(150, 20)), n_null=19, seed=s).p_value <= 0.05
        for s in range(n_null)
    ]
    yield row(
        "Proxy A-distance permutation test",
        "150 a side, 20 features, no difference",
        "error rate",
        0.05,
        np.array(rejected),
    )


def tests(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    for n, b, c, margin in (
        (500, 0.05, 0.07, 0.02),
        (500, 0.0, 0.02, 0.02),
        (200, 0.02, 0.07, 0.05),
        (4500, 0.01, 0.02, 0.01),
    ):
        table = rng.multinomial(n, [b, c, 1 - b - c], size=10 * draws)
        unique, where = np.unique(table[:, :2], axis=0, return_inverse=True)
        p = np.array([exact_p_greater(int(x), int(y), n, -margin) for x, y in unique])[where.ravel()]
        yield row(
            "Non-inferiority, exact", f"n={n}, b={b}, c={c}, at the margin {margin}", "error rate", 0.05, p <= 0.05
        )
    table = rng.multinomial(500, [0.05, 0.05, 0.9], size=10 * draws)
    p = np.array([mcnemar_exact(int(x), int(y)) for x, y in table[:, :2]])
    yield row("Exact McNemar", "n=500, 10% discordant", "error rate", 0.05, p <= 0.05)
    for n_groups, size, margin in ((150, 3, 0.02), (400, 3, 0.02), (300, 2, 0.05), (100, 5, 0.05)):
        flips = []
        for _ in range(draws):
            reference, groups = grouped_binary(rng, n_groups, size, 0.94, 0.3)
            candidate = reference & ~grouped_flips(rng, groups, margin / 0.94, 0.2)
            flips.append(compare(candidate, reference, margin=margin, groups=groups).p_non_inferior <= 0.05)
        setting = f"{n_groups} groups of ~{size}, at the margin {margin}"
        yield row("Non-inferiority, by group", setting, "error rate", 0.05, np.array(flips))
    signs = []
    for _ in range(draws):
        reference, groups = grouped_binary(rng, 100, 4, 0.9, 0.3)
        difficulty = rng.random(100)[groups] < 0.3
        ours, theirs = (np.where(difficulty, rng.random(100)[groups] < 0.5, reference) for _ in range(2))
        signs.append(compare(ours, theirs, margin=0.02, groups=groups).p_different <= 0.05)
    yield row(
        "Sign-flip over groups", "100 groups of ~4, answers alike within a group", "error rate", 0.05, np.array(signs)
    )


def families(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    n, margin = 600, 0.03
    promoted, called_superior, called_inferior = [], [], []
    for _ in range(draws):
        reference = rng.random(n) < 0.9
        at_margin = {
            name: compare_counts(*discordant(rng, reference, 0.02, 0.02 + margin), n, margin) for name in "abcd"
        }
        equal = {name: compare_counts(*discordant(rng, reference, 0.03, 0.03), n, margin) for name in "abcd"}
        verdicts = {judgement.verdict for judgement in judge(at_margin).values()}
        promoted.append(bool(verdicts & {Verdict.SUPERIOR, Verdict.NON_INFERIOR}))
        called_inferior.append(Verdict.INFERIOR in verdicts)
        called_superior.append(Verdict.SUPERIOR in {judgement.verdict for judgement in judge(equal).values()})
    setting = "4 candidates, n=600"
    yield row("Holm: any false promotion", f"{setting}, all at the margin", "error rate", 0.05, np.array(promoted))
    yield row(
        "Holm: any false inferior", f"{setting}, all at the margin", "error rate", 0.05, np.array(called_inferior)
    )
    yield row("Holm: any false superior", f"{setting}, all equal", "error rate", 0.05, np.array(called_superior))


def discordant(rng: np.random.Generator, reference: np.ndarray, b: float, c: float) -> tuple[int, int]:
    """Items won and lost against a reference right on 90%: shares ``b`` and ``c`` of all items on average."""
    n_right = int(reference.sum())
    return int(rng.binomial(len(reference) - n_right, b / 0.1)), int(rng.binomial(n_right, c / 0.9))


@functools.cache
def compare_counts(b: int, c: int, n: int, margin: float) -> PairedComparison:
    """``compare`` on answers with these discordant counts; draws repeat counts, so each pair is computed once."""
    candidate, reference = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    candidate[:c], reference[c : b + c] = False, False
    return compare(candidate, reference, margin=margin)


def planning(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    b, c, margin = 0.05, 0.05, 0.02
    n = paired_items_for_non_inferiority(b, c, margin) or 0
    table = rng.multinomial(n, [b, c, 1 - b - c], size=draws)
    p = np.array([exact_p_greater(int(x), int(y), n, -margin) for x, y in table[:, :2]])
    yield row("Planned items, non-inferiority", f"n={n}, b=c=0.05, margin 0.02", "power", 0.8, p <= 0.05)
    b, c = 0.07, 0.04
    n = paired_items_for_superiority(b, c) or 0
    table = rng.multinomial(n, [b, c, 1 - b - c], size=draws)
    p = np.array([mcnemar_exact(int(x), int(y)) for x, y in table[:, :2]])
    yield row("Planned items, superiority", f"n={n}, b=0.07, c=0.04", "power", 0.8, p <= 0.05)


class Mixture:
    """Answers of a student on traffic part of which is out of scope: score and correctness, with the true risk at any
    threshold.
    """

    def __init__(self, seed: int = 0) -> None:
        self._reference = np.sort(self.draw(np.random.default_rng(seed), 1_000_000)[0])
        scores, correct = self.draw(np.random.default_rng(seed), 1_000_000)
        order = np.argsort(scores)
        self._scores = scores[order]
        self._errors = np.cumsum(~correct[order][::-1])[::-1]

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        outside = rng.random(n) < 0.18
        scores = np.where(outside, rng.beta(2, 4, n), rng.beta(8, 1.5, n))
        return scores, ~outside & (rng.random(n) < 0.75 + 0.25 * scores)

    def risk(self, threshold: float) -> float:
        start = int(np.searchsorted(self._scores, threshold))
        kept = len(self._scores) - start
        return float(self._errors[start] / kept) if kept else 0.0


def certificates(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    mixture = Mixture()
    for n in (300, 1000, 2750):
        broken = []
        for _ in range(draws):
            walk = threshold_walk(mixture.draw(rng, 1000)[0], n, alpha=0.05, delta=0.05)
            given = certify(*mixture.draw(rng, n), walk)
            broken.append(given.threshold is not None and mixture.risk(given.threshold) > 0.05)
        yield row("Certificate broken", f"n={n}, alpha=delta=0.05", "error rate", 0.05, np.array(broken))
    walk = threshold_walk(mixture.draw(rng, 1000)[0], 1000, alpha=0.05, delta=0.05, n_thresholds=150)
    for rule in ("one-per-group", "effective-size"):
        broken = []
        for draw in range(draws):
            scores, correct = mixture.draw(rng, 900)
            sizes = rng.integers(1, 6, 900)
            groups = np.repeat(np.arange(900), sizes)
            # a group repeats its first item, score and answer: the strongest dependence there is
            given = certify(scores[groups], correct[groups], walk, groups=groups, group_rule=rule, seed=draw)
            broken.append(given.threshold is not None and mixture.risk(given.threshold) > 0.05)
        yield row(f"Certificate broken, {rule}", "900 groups of 1 to 5 copies", "error rate", 0.05, np.array(broken))
    broken = []
    for _ in range(draws):
        given = certify(*mixture.draw(rng, 1000), walk, horizon=1000)
        scores, correct = mixture.draw(rng, 1000)
        kept = scores >= (given.threshold if given.threshold is not None else np.inf)
        broken.append(bool(kept.any()) and float((~correct[kept]).mean()) > 0.05)
    yield row("Certificate broken on the next batch", "n=1000, horizon 1000", "error rate", 0.05, np.array(broken))


def curves(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    sizes = np.array([1000, 2000, 4000, 8000, 15000])
    law = lambda n: 0.03 + 2.0 * n**-0.5  # noqa: E731 - the truth, in one line
    target = 0.0425
    forecasts, labels = [], []
    for draw in range(draws):
        difficulty = rng.random(1500)  # shared by all sizes, so that their errors fall on the same items
        wrong = (0.7 * difficulty + 0.3 * rng.random((5, 1500))) < np.quantile(MIXED_DIFFICULTY, law(sizes))[:, None]
        curve = fit_learning_curve(sizes, ~wrong, n_draws=300, seed=draw)
        forecasts.append(covers(forecast_error(curve, 30000), law(30000)))
        needed = labels_needed(curve, target)
        labels.append(needed.lower <= (2.0 / (target - 0.03)) ** 2 <= needed.upper)
    yield row(
        "Learning curve, forecast at twice the data",
        "5 sizes, 1,500 test items",
        "coverage, conservative",
        0.95,
        np.array(forecasts),
    )
    yield row(
        "Learning curve, labels needed", "5 sizes, 1,500 test items", "coverage, conservative", 0.95, np.array(labels)
    )


def sequences(draws: int, rng: np.random.Generator) -> Iterator[Row]:
    looks = 2000
    for allowed in (0.02, 0.05, 0.2):
        outcomes = rng.random((draws, looks)) < allowed
        revoked = e_process(outcomes, allowed).max(axis=1) >= 20
        yield row("Certificate revoked in error", f"true rate {allowed}, {looks:,} looks", "error rate", 0.05, revoked)
    for rate in (0.1, 0.15):
        outcomes = np.concatenate([rng.random((draws, 1000)) < 0.02, rng.random((draws, 1000)) < rate], axis=1)
        e_values = e_process(outcomes, 0.05)
        found = (e_values[:, :1000].max(axis=1) < 20) & (e_values.max(axis=1) >= 20)
        setting = f"0.05 allowed; 0.02, after 1,000 looks {rate}"
        yield row("Certificate revoked within 1,000 looks of drift", setting, "power", 0.8, found)
    wrong = np.cumsum(rng.random((draws, 300)) < 0.05, axis=1)
    # The bounds of a running count are the same in every run.
    bounds = {(k, n): confidence_sequence(k, n) for n in range(1, 301) for k in np.unique(wrong[:, n - 1]).tolist()}
    always = [all(covers(bounds[k, n], 0.05) for n, k in enumerate(run, 1)) for run in wrong.tolist()]
    setting = "rate 0.05, all of 300 looks"
    yield row("Confidence sequence of the realised error", setting, "coverage, conservative", 0.95, np.array(always))


_RNG = np.random.default_rng(0)
MIXED_DIFFICULTY = np.sort(0.7 * _RNG.random(2_000_000) + 0.3 * _RNG.random(2_000_000))
"""Distribution of an item's difficulty plus the luck of one training run: its quantiles turn an error rate into a bar.
"""

PARTS = {
    "proportions": proportions,
    "paired intervals": paired_intervals,
    "bootstraps": bootstraps,
    "detection": detection,
    "tests": tests,
    "families": families,
    "planning": planning,
    "certificates": certificates,
    "curves": curves,
    "sequences": sequences,
}


def markdown(rows: list[Row]) -> str:
    lines = [
        "| what | setting | kind | draws | nominal | found | ± s.e. | holds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.what} | {r.setting} | {r.kind} | {r.draws:,} | {r.nominal:.3f} "
        f"| {r.found:.4f} | {r.standard_error:.4f} | {'yes' if r.holds else 'NO'} |"
        for r in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the rows as JSON here")
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    arguments = parser.parse_args()
    start, rows = time.perf_counter(), []
    for name in arguments.parts:
        rows += list(PARTS[name](arguments.draws, np.random.default_rng(arguments.seed)))
    print(markdown(rows))
    n_broken = sum(not r.holds for r in rows)
    print(f"\n{len(rows)} rows, {n_broken} do not hold, {time.perf_counter() - start:.0f} s")
    if arguments.out:
        arguments.out.write_text(
            json.dumps({"seed": arguments.seed, "rows": [asdict(r) for r in rows]}, indent=2), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
