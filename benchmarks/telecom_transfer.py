"""Does `trees`, trained on the simulator's drive tests, carry over to windows that another hand made?

    python benchmarks/telecom_transfer.py --out transfer.json [--written 0.2] [--quick]

Training: windows of `metier.labs.telecom.simulator` at three difficulties, in the published form, through the view
`telelogs`; with `--written`, that share of them is of `metier.labs.telecom.written`, as in `python -m metier.labs
telecom`. Tests: windows of drives that the simulator made and training did not see, and those of `telecom_windows.py`,
which knows nothing of the simulator's physics: sixteen styles, of which nine were looked at while the simulator was mended,
the others only afterwards. Intervals are over drives. Features whose distribution is another are named with how far
apart they are (Kolmogorov and Smirnov's distance), over windows of the same cause.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.labs.telecom import text
from metier.labs.telecom.parts import CAUSES, Windows
from metier.labs.telecom.simulator import simulate
from metier.labs.telecom.written import written
from metier.progress import silent
from metier.statistics.intervals import Interval, proportion
from metier.students import STUDENTS, LabelledTexts, TaskSpec
from metier.views import VIEWS
from telecom_styles import OPEN, SEALED
from telecom_windows import windows

TREES = STUDENTS["trees"]
VIEW = VIEWS["telelogs"]
DIFFICULTIES = (0.25, 0.5, 0.75)
N_APART = 10
# Fewer values of a feature say little of its distribution.
MIN_COMPARED = 30
_NOTHING = (np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Sizes:
    """Windows: for training and for tuning (a third at each difficulty), of the simulator's test, of each style."""

    train: int = 6000
    tune: int = 1200
    test: int = 1600
    style: int = 160


QUICK = Sizes(600, 150, 80, 16)


@dataclass(frozen=True)
class Outcome:
    """How windows of one origin were answered: the share right, and that of each cause; `wrong` counts true > told."""

    name: str
    group: str
    right: Interval
    by_cause: dict[str, float]
    wrong: dict[str, int]


@dataclass(frozen=True)
class Apart:
    """A feature whose values are distributed otherwise: 5%, 50% and 95% quantiles of both origins."""

    cause: str
    feature: str
    distance: float
    simulated: tuple[float, float, float]
    other: tuple[float, float, float]


@dataclass(frozen=True)
class Result:
    sizes: Sizes
    seed: int
    written: float
    outcomes: tuple[Outcome, ...]
    halves: dict[str, Interval]
    apart: tuple[Apart, ...]


def measure(sizes: Sizes, seed: int, share: float) -> Result:
    say(f"simulating {sizes.train + sizes.tune + sizes.test:,} windows")
    train, tune = (_mixed(n, 100 * seed + place, share) for place, n in ((1, sizes.train), (11, sizes.tune)))
    test = simulate(sizes.test, 100 * seed + 21)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "trees"
        say("training")
        task = TaskSpec(view=VIEW.name)
        TREES.fit(train, tune, folder, seed=seed, progress=silent, options={}, task=task)
        predictor = TREES.load(folder)

        def outcome(name: str, group: str, asked: Windows) -> tuple[Outcome, npt.NDArray[np.bool_]]:
            told = predictor.predict(text.standard(asked)).labels
            return _outcome(name, group, asked, told)

        say("answering")
        found, _ = outcome("the simulator, other drives", "simulator", test)
        outcomes, rights, others = [found], {}, []
        for group, styles in (("open", OPEN), ("sealed", SEALED)):
            marks = []
            for number, style in enumerate(styles):
                asked = windows(sizes.style, 1000 * seed + 7 + number, style)
                found, right = outcome(style.name, group, asked)
                outcomes.append(found)
                marks.append(right)
                others.append(asked)
            rights[group] = np.concatenate(marks)
    halves = {group: proportion(right) for group, right in rights.items()}
    return Result(sizes, seed, share, tuple(outcomes), halves, _apart(test, others))


def _mixed(n: int, seed: int, share: float) -> LabelledTexts:
    """Windows of all difficulties and a share of written ones, with their drives as groups."""
    n_written = round(share * n)
    parts = [
        simulate((n - n_written) // len(DIFFICULTIES), seed + place, difficulty=difficulty)
        for place, difficulty in enumerate(DIFFICULTIES)
    ]
    parts += [written(n_written, seed)] if n_written else []
    inputs = tuple(question for part in parts for question in text.standard(part))
    labels = tuple(label for part in parts for label in text.answers(part))
    groups = tuple(f"drive {place}-{drive}" for place, part in enumerate(parts) for drive in part.cluster)
    return LabelledTexts(inputs, labels, groups)


def _outcome(
    name: str, group: str, asked: Windows, told: npt.NDArray[np.object_]
) -> tuple[Outcome, npt.NDArray[np.bool_]]:
    true = np.array(text.answers(asked), dtype=object)
    right = np.asarray(true == told, dtype=bool)
    by_cause = {cause: float(right[true == cause].mean()) for cause in CAUSES}
    wrong = Counter(f"{was} > {said}" for was, said, well in zip(true, told, right, strict=True) if not well)
    return Outcome(name, group, proportion(right, asked.cluster.tolist()), by_cause, dict(wrong.most_common())), right


def _apart(simulated: Windows, others: Sequence[Windows]) -> tuple[Apart, ...]:
    """The features that differ most between the simulator and the other hand, each with the cause where it does most."""
    here = np.array([VIEW.read(question).values for question in text.standard(simulated)])
    there = np.array([VIEW.read(question).values for asked in others for question in text.standard(asked)])
    causes = np.concatenate([asked.cause for asked in others])
    found = []
    for place, feature in enumerate(VIEW.features):
        most = max(
            (
                _compared(cause, feature.name, here[simulated.cause == number, place], there[causes == number, place])
                for number, cause in enumerate(CAUSES)
            ),
            key=lambda one: one.distance,
        )
        found.append(most)
    return tuple(sorted(found, key=lambda one: -one.distance)[:N_APART])


def _compared(cause: str, feature: str, here: npt.NDArray[np.float64], there: npt.NDArray[np.float64]) -> Apart:
    here, there = np.sort(here[~np.isnan(here)]), np.sort(there[~np.isnan(there)])
    if min(len(here), len(there)) < MIN_COMPARED:
        return Apart(cause, feature, 0.0, _NOTHING, _NOTHING)
    both = np.concatenate([here, there])
    shares = [np.searchsorted(values, both, side="right") / len(values) for values in (here, there)]
    distance = float(np.abs(shares[0] - shares[1]).max())
    first, second = (_quantiles(values) for values in (here, there))
    return Apart(cause, feature, distance, first, second)


def _quantiles(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    low, middle, high = np.percentile(values, (5, 50, 95)).tolist()
    return low, middle, high


def report(found: Result) -> str:
    sizes = found.sizes
    lines = [
        f"Trained on {sizes.train:,} windows, tuned on {sizes.tune:,} ({found.written:.0%} written, the others simulated "
        f"at difficulties {', '.join(map(str, DIFFICULTIES))}); {sizes.test:,} windows of other simulated drives, "
        f"{sizes.style} a style.",
        "",
        "| Windows | | right, % | " + " | ".join(CAUSES) + " |",
        "|---|---|---|" + "---|" * len(CAUSES),
    ]
    for one in found.outcomes:
        causes = " | ".join(f"{100 * one.by_cause[cause]:.0f}" for cause in CAUSES)
        lines.append(f"| {one.name} | {one.group} | {shown(one.right)} | {causes} |")
    lines += [
        f"| **all {group} styles** | | {shown(right)} |" + " |" * len(CAUSES) for group, right in found.halves.items()
    ]
    wrong: Counter[str] = Counter()
    for one in found.outcomes[1:]:
        wrong.update(one.wrong)
    told = ", ".join(f"{pair} {n}" for pair, n in wrong.most_common(8)) or "none"
    lines += ["", f"Wrong on the styles (true > told, windows): {told}.", ""]
    lines += ["| Feature | at | distance | simulated: 5%, median, 95% | by the other hand |", "|---|---|---|---|---|"]
    for apart in found.apart:
        quantiles = [", ".join(f"{value:.3g}" for value in values) for values in (apart.simulated, apart.other)]
        lines.append(f"| `{apart.feature}` | {apart.cause} | {apart.distance:.2f} | {quantiles[0]} | {quantiles[1]} |")
    return "\n".join(lines)


def shown(interval: Interval) -> str:
    return f"{100 * interval.estimate:.1f} ({100 * interval.lower:.1f} to {100 * interval.upper:.1f})"


def say(what: str) -> None:
    sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--written", type=float, default=0.0, help="share of written windows to learn from")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    arguments = parser.parse_args()
    found = measure(QUICK if arguments.quick else Sizes(), arguments.seed, arguments.written)
    arguments.out.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
    sys.stdout.write(report(found) + "\n")


if __name__ == "__main__":
    main()
