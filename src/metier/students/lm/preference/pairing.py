"""Pairs of a good and a bad answer to one input, from what the tuned model writes by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metier.artefacts.tasks import OutputKind
from metier.errors import BadInput
from metier.metrics.texts import rouge_l
from metier.progress import Progress, silent
from metier.students.lm.parts import Constraint, Generated, PromptForm, Writer
from metier.students.lm.preference.judging import FAULTS, Judge, can_be_learnt_from, never_stops

# Inputs asked about at a time. Their prompts come again with every sample while the writer may still hold them.
_CHUNK = 8
# Bad answers of one input that are learnt from: more of the same say little new.
_PER_INPUT = 2


@dataclass(frozen=True)
class Pair:
    """Two answers to `input`: `chosen` is right, `rejected` is not, for the reason `fault`. `has_end` says whether the
    rejected answer ended by itself: where it did not, no end token belongs to it."""

    input: str
    chosen: str
    rejected: str
    fault: str
    has_end: bool


@dataclass(frozen=True)
class Collected:
    """The pairs, how many samples of how many inputs they come from, and how many of the samples had which fault
    (None: right)."""

    pairs: tuple[Pair, ...]
    n_inputs: int
    n_samples: int
    faults: tuple[tuple[str | None, int], ...]

    def told(self) -> str:
        """What was found, in a sentence."""
        found = dict(self.faults)
        parts = [f"{found[fault]} {fault}" for fault in FAULTS if found.get(fault)]
        return (
            f"{self.n_samples} sampled answers to {self.n_inputs} inputs, {found.get(None, 0)} right"
            f"{', ' + ', '.join(parts) if parts else ''}: {len(self.pairs)} pairs"
        )


def collect_pairs(
    writer: Writer,
    form: PromptForm,
    inputs: Sequence[str],
    truths: Sequence[str],
    judge: Judge,
    *,
    max_pairs: int,
    max_tokens: int,
    n_samples: int = 2,
    max_samples: int = 400,
    temperature: float = 1.0,
    seed: int = 0,
    progress: Progress = silent,
) -> Collected:
    """Ask for `n_samples` answers to each input, without a constraint, and pair those that are wrong with a right one.

    Inputs come in an order drawn from `seed`, until there are `max_pairs` pairs or `max_samples` answers: few
    samples of many inputs find more different mistakes than many of few. Chosen is the
    truth; of a `text` task the right sample nearest to it, where there is one, since the model's own words are learnt with
    less harm than a stranger's. No pair is made where the model writes nothing wrong. Raises BadInput where inputs and
    truths differ in number.
    """
    if len(inputs) != len(truths):
        raise BadInput(f"{len(inputs)} inputs but {len(truths)} truths: give one for each input.")
    order = np.random.default_rng(seed).permutation(len(inputs))
    most_inputs = min(len(inputs), max(1, max_samples // n_samples))
    pairs: list[Pair] = []
    faults: Counter[str | None] = Counter()
    asked = 0
    while asked < most_inputs and len(pairs) < max_pairs:
        places = [int(place) for place in order[asked : min(asked + _CHUNK, most_inputs)]]
        prompts = [form.write(inputs[place]) for place in places]
        rounds = [
            writer.write(
                prompts, Constraint(), max_tokens=max_tokens, temperature=temperature, seed=_seed(seed, asked, n)
            )
            for n in range(n_samples)
        ]
        for i, place in enumerate(places):
            answers = [answers[i] for answers in rounds]
            found = [judge.fault(answer, inputs[place], truths[place]) for answer in answers]
            faults.update(found)
            pairs += _pairs(judge.kind, inputs[place], truths[place], answers, found)
        asked += len(places)
        progress("Sampling answers", asked, most_inputs)
    return Collected(tuple(pairs[:max_pairs]), asked, asked * n_samples, tuple(faults.items()))


def _pairs(
    kind: OutputKind, text: str, truth: str, answers: Sequence[Generated], faults: Sequence[str | None]
) -> list[Pair]:
    chosen = truth
    right = [answer.text for answer, fault in zip(answers, faults, strict=True) if fault is None]
    if kind is OutputKind.TEXT and right:
        chosen = max(right, key=lambda given: rouge_l(given, truth))
    bad: dict[str, str] = {}
    for answer, fault in zip(answers, faults, strict=True):
        if fault is not None and can_be_learnt_from(fault) and answer.text != chosen:
            bad.setdefault(answer.text, fault)
    gravest = sorted(bad.items(), key=lambda item: FAULTS.index(item[1]))[:_PER_INPUT]
    return [Pair(text, chosen, rejected, fault, not never_stops(fault)) for rejected, fault in gravest]


def _seed(seed: int, asked: int, n: int) -> int:
    return int(np.random.SeedSequence([seed, asked, n]).generate_state(1)[0] >> 1)
