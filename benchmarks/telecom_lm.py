"""Is it worth letting a small language model reason about a drive test, and what is the view worth to it?

    python benchmarks/telecom_lm.py --out telecom-lm.json [--base smollm2] [--quick]

The student `lm` is trained on windows of `metier.labs.telecom` at its default difficulty in these ways, beside `trees` (on
the view's numbers) and `linear` (on the text):

- view, rationale: reads the view's text, writes two sentences that cite the measurements, then the label in a box
- view, label: reads the same, and chooses among the labels at once
- view, label, fewer: the same with as many windows as the next has, so that the two differ in what is read alone
- text, label: reads both tables as they are, without the question's constant wording; windows that do not fit into the
  context are left out of training, and fail in the test. A window is two thousand tokens, so it learns from fewer of them,
  and answers the first half of the test windows

Train, tune and test are simulated with seeds of their own: no drive is in two of them. As in `metier benchmark telelogs`
the first of four answers is the greedy one and the others are drawn: pass@1 is the share of greedy answers that are right,
"drawn" that of the three others, maj@4 that of what most of the four say. Intervals are over drives. A failed answer is
wrong. Of the rationales it is asked whether their numbers are those that the lab itself would cite for the cause they end
with. One training a row, one seed. Times are of CPU, as whatever else the machine does would lengthen others.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from metier.evaluation.telelogs.grading import majority
from metier.labs.telecom import text
from metier.labs.telecom.rationales import rationale
from metier.labs.telecom.simulator import simulate
from metier.progress import Progress
from metier.statistics.intervals import Interval, proportion
from metier.students import STUDENTS, Answers, LabelledTexts, LmStudent, Option, Predictor, TaskSpec
from metier.students.lm.parts import Constraint, Generated, Writer
from metier.students.lm.predictor import LmPredictor, drawn_labels
from metier.students.lm.viewed import ViewedPredictor
from telecom_cited import Cited, cited_in

VIEW = "telelogs"
TABLES = "User plane drive test data"
N_SAMPLES = 4
# Answers written side by side.
PARALLEL = 8
# Both tables take 1,500 to 2,900 tokens of SmolLM2: 95% of the windows fit.
MAX_TOKENS = 2560


@dataclass(frozen=True)
class Sizes:
    """Windows of each split, those that are learnt from without a view and those of them that are answered, single answers
    that are timed, and passes over the windows: one, as the simulator has another window for the time that a second look
    at one takes."""

    train: int = 416
    fewer: int = 40
    tune: int = 16
    test: int = 56
    test_text: int = 28
    timed: int = 3
    epochs: int = 1


QUICK = Sizes(16, 4, 4, 4, 2, 1)


@dataclass(frozen=True)
class Way:
    """One row: the student, through the view or not, reasoning or not, from how many windows."""

    name: str
    student: str
    view: bool
    rationale: bool
    n_train: int
    n_tune: int


@dataclass(frozen=True)
class Row:
    """Times in seconds of CPU of all threads; tokens are means over the test windows. None: not drawn, not written."""

    way: Way
    n_learnt: int
    pass_at_1: Interval
    drawn: Interval | None
    majority: Interval | None
    failures: dict[str, int]
    cited: Cited | None
    notes: tuple[str, ...]
    train_s: float
    answer_s: float
    tokens_in: float | None
    tokens_out: float | None


@dataclass
class Recorder:
    """A writer that keeps what it wrote: answers hold the label alone."""

    inner: Writer
    written: list[Generated] = field(default_factory=list)

    def write(
        self,
        prompts: Sequence[str],
        constraint: Constraint,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Generated]:
        found = self.inner.write(prompts, constraint, max_tokens=max_tokens, temperature=temperature, seed=seed)
        self.written += found
        return found


def ways(sizes: Sizes) -> list[Way]:
    # A few windows leave nothing to choose an epoch on: the last one's weights are taken.
    many, fewer = (sizes.train, sizes.tune), (sizes.fewer, 0)
    return [
        Way("trees on the view", "trees", True, False, *many),
        Way("linear on the text", "linear", False, False, *many),
        Way("view, rationale", "lm", True, True, *many),
        Way("view, label", "lm", True, False, *many),
        Way("view, label, fewer", "lm", True, False, *fewer),
        Way("text, label", "lm", False, False, *fewer),
    ]


def examples(n: int, seed: int) -> LabelledTexts:
    """Windows with their labels, rationales and drives."""
    windows = simulate(n, seed)
    asked, labels = text.standard(windows), text.answers(windows)
    reasons = tuple(map(rationale, asked, labels))
    groups = tuple(f"drive {seed}-{number}" for number in windows.cluster)
    return LabelledTexts(tuple(asked), tuple(labels), groups, reasons)


def tables(texts: LabelledTexts) -> LabelledTexts:
    """The two tables of every question: its other words are the same in all of them."""
    inputs = tuple(asked[asked.index(TABLES) :] for asked in texts.inputs)
    return LabelledTexts(inputs, texts.labels, texts.groups)


def options(way: Way, base: str, sizes: Sizes) -> dict[str, Option]:
    if way.student != "lm":
        return {}
    return {
        "base": base,
        "accepted_licences": "gemma",
        "epochs": sizes.epochs,
        "max_tokens": MAX_TOKENS,
        "max_output_tokens": 192,
        "rationale": "on" if way.rationale else "off",
        # One build and no second samples: it is the ways that are compared.
        "quantisation": "q8_0",
        "parity_margin": 0.9,
        "agreement": "off",
    }


def measure(way: Way, splits: Sequence[LabelledTexts], base: str, sizes: Sizes, seed: int) -> Row:
    train, tune, test = splits if way.view else map(tables, splits)
    train, tune = train.take(range(way.n_train)), tune.take(range(way.n_tune))
    test = test.take(range(sizes.test if way.view or way.student != "lm" else sizes.test_text))
    say(f"{way.name}: training on {len(train)} windows")
    with tempfile.TemporaryDirectory() as place:
        folder, begun = Path(place) / way.student, time.process_time()
        student, task = STUDENTS[way.student], TaskSpec(view=VIEW if way.view else None)
        chosen = options(way, base, sizes)
        summary = student.fit(train, tune, folder, seed=seed, progress=stages(), options=chosen, task=task)
        train_s = time.process_time() - begun
        say(f"{way.name}: answering after {train_s:,.0f} s of CPU")
        if way.student == "lm":
            samples, cited, answer_s = written(way, folder, test, sizes, seed)
        else:
            predictor = student.load(folder)
            samples, cited, answer_s = [predictor.predict(test.inputs)], None, timed(predictor, test, sizes.timed)
    found, draws = samples[0], samples[1:]
    voted = [majority(given) for given in zip(*map(given_labels, samples), strict=True)]
    row = Row(
        way,
        summary.n_train,
        proportion(right(found, test), test.groups),
        proportion([one for draw in draws for one in right(draw, test)], (test.groups or ()) * len(draws))
        if draws
        else None,
        proportion([one == label for one, label in zip(voted, test.labels, strict=True)], test.groups)
        if draws
        else None,
        dict(Counter(failure for failure in found.failures or () if failure is not None)),
        cited,
        summary.notes,
        train_s,
        answer_s,
        mean(found.input_tokens),
        mean(found.output_tokens),
    )
    say(f"{way.name}: {shown(row.pass_at_1)} right, maj@{N_SAMPLES} {shown(row.majority)}; {row.cited}")
    return row


def written(
    way: Way, folder: Path, test: LabelledTexts, sizes: Sizes, seed: int
) -> tuple[list[Answers], Cited | None, float]:
    """The language model's answers to every window, the first greedy and three drawn; what its rationales cite; and the
    seconds of an answer. Labels that are chosen at once are drawn from the probabilities at hand, as `sample` would after
    reading each window again."""
    predictor = LmStudent().load(folder, 0, PARALLEL)
    try:
        keeps, recorder = recorded(predictor)
        found = keeps.predict(test.inputs)
        seeds = range(seed + 1, seed + N_SAMPLES)
        if way.rationale:
            draws = [predictor.sample(test.inputs, one) for one in seeds]
        else:
            draws = [drawn_labels(found, predictor.classes_, one) for one in seeds]
        cited = cited_in(recorder.written, test) if way.rationale else None
        return [found, *draws], cited, timed(predictor, test, sizes.timed)
    finally:
        predictor.close()


def recorded(predictor: LmPredictor | ViewedPredictor) -> tuple[LmPredictor | ViewedPredictor, Recorder]:
    """The same predictor, with what it writes kept."""
    inner = predictor.inner if isinstance(predictor, ViewedPredictor) else predictor
    recorder = Recorder(inner.writer)
    keeps = replace(inner, writer=recorder)
    return (replace(predictor, inner=keeps) if isinstance(predictor, ViewedPredictor) else keeps), recorder


def right(answers: Answers, test: LabelledTexts) -> list[bool]:
    return [one == label for one, label in zip(given_labels(answers), test.labels, strict=True)]


def given_labels(answers: Answers) -> list[str | None]:
    """The labels; None for a failed answer."""
    failures = answers.failures or (None,) * len(answers.labels)
    return [None if failure else str(one) for one, failure in zip(answers.labels, failures, strict=True)]


def timed(predictor: Predictor, test: LabelledTexts, n: int) -> float:
    """Median seconds of CPU of single answers."""
    taken = []
    for given in test.inputs[:n]:
        begun = time.process_time()
        predictor.predict([given])
        taken.append(time.process_time() - begun)
    return float(np.median(taken))


def mean(counts: npt.NDArray[np.int64] | None) -> float | None:
    return None if counts is None or not len(counts) else float(np.mean(counts))


def report(rows: Sequence[Row], sizes: Sizes, base: str) -> str:
    lines = [
        f"`lm` on {base}, passes over the windows: {sizes.epochs}; tested on windows of other drives. "
        "One training a row.",
        "",
        f"| student reads, writes | learnt from | answered | pass@1 | drawn | maj@{N_SAMPLES} | failed | training, CPU s "
        "| one answer, CPU ms | tokens read | written |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        failed = ", ".join(f"{n} {name}" for name, n in sorted(row.failures.items())) or "0"
        cells = [
            row.way.name, f"{row.n_learnt:,}", f"{row.pass_at_1.n:,}", shown(row.pass_at_1), shown(row.drawn),
            shown(row.majority), failed, f"{row.train_s:,.0f}", f"{1000 * row.answer_s:,.1f}", number(row.tokens_in),
            number(row.tokens_out),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        if row.cited is not None:
            lines += [
                "",
                f"Of {row.cited.n} rationales ({row.way.name}) {row.cited.n_same} are word for word what the lab writes "
                f"for the cause they end with; of the {row.cited.n_measurements} measurements that the lab cites there, "
                f"{row.cited.n_cited} stand in the same place.",
            ]
    return "\n".join(lines)


def kept_rows(path: Path, sizes: Sizes, base: str, seed: int) -> list[Row]:
    """The rows of an earlier run that was broken off. Raises SystemExit where it was of other sizes, base or seed."""
    if not path.exists():
        return []
    stored = json.loads(path.read_text(encoding="utf-8"))
    wanted = {**asdict(sizes), "base": base, "seed": seed}
    found = {**stored["sizes"], "base": stored["base"], "seed": stored.get("seed", seed)}
    if other := [name for name, value in found.items() if wanted.get(name) != value]:
        raise SystemExit(f"{path} is of another run, by its {', '.join(other)}: give another --out")
    return TypeAdapter(list[Row]).validate_python(stored["rows"])


def shown(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    return f"{interval.estimate:.1%} ({100 * interval.lower:.1f} to {100 * interval.upper:.1f})"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def stages() -> Progress:
    """Says what is being done whenever that is something else."""
    said = ""

    def progress(description: str, done: int, total: int | None) -> None:
        nonlocal said
        if description != said:
            said = description
            say(f"  {description}, {done} of {total}" if total else f"  {description}")

    return progress


def say(what: str) -> None:
    sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=int, help="windows that are learnt from through the view")
    parser.add_argument("--fewer", type=int, help="windows that are learnt from as text")
    parser.add_argument("--test", type=int, help="windows that are answered")
    parser.add_argument("--epochs", type=int, help="passes over the windows")
    parser.add_argument("--only", nargs="+", metavar="WAY", help="these rows alone, by their names")
    parser.add_argument("--resume", action="store_true", help="take over the rows that FILE has from the same sizes")
    parser.add_argument("--quick", action="store_true", help="some windows and one pass, to see that it runs")
    arguments = parser.parse_args()
    asked = {name: value for name in ("train", "fewer", "test", "epochs") if (value := getattr(arguments, name))}
    sizes = replace(QUICK if arguments.quick else Sizes(), **asked)
    numbers = enumerate((sizes.train, sizes.tune, sizes.test))
    splits = [examples(n, 3 * arguments.seed + place) for place, n in numbers]
    chosen = [way for way in ways(sizes) if arguments.only is None or way.name in arguments.only]
    rows = kept_rows(arguments.out, sizes, arguments.base, arguments.seed) if arguments.resume else []
    for way in chosen:
        if any(row.way == way for row in rows):
            continue
        rows.append(measure(way, splits, arguments.base, sizes, arguments.seed))
        # After every row: one takes minutes, and what was found so far should not be lost with a later one.
        content = {
            "sizes": asdict(sizes), "base": arguments.base, "seed": arguments.seed, "rows": [asdict(row) for row in rows]
        }  # fmt: skip
        arguments.out.write_text(json.dumps(content, indent=1), encoding="utf-8")
    sys.stdout.write(report(rows, sizes, arguments.base) + "\n")


if __name__ == "__main__":
    main()
