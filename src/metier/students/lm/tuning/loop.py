"""The training loop: steps, measurements, the best state kept, and what happens when something goes wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from metier.progress import Progress
from metier.students import checkpoints
from metier.students.base import EpochPoint
from metier.students.lm.parts import Encoded
from metier.students.lm.tuning import ranks
from metier.students.lm.tuning.averaging import Average, is_averaged
from metier.students.lm.tuning.engines import Engine
from metier.students.lm.tuning.memory import give_back, is_out_of_memory
from metier.students.lm.tuning.optimiser import Optimiser, schedule
from metier.students.lm.tuning.packs import answer_tokens, steps_of, steps_per_epoch
from metier.students.lm.tuning.plan import PassFailed, SoftLabels, TuningPlan
from metier.students.lm.tuning.trials import Trial, Trials

_TRIALS = "trials.{}.json"  # of each process its own
_LESS = (
    "close other programs, take a smaller base, method 'lora' or fewer threads, tune fewer layers, or leave out the "
    "longest examples (max_tokens)."
)
_MOST_ROLLBACKS = 3


@dataclass
class State:
    """Where a training stands; all of it is in every checkpoint. Losses are sums in nats since the last measurement;
    `averaged` steps are in the mean of the weights."""

    micro_tokens: int
    step: int = 0
    loss: float = 0.0
    tokens: int = 0
    examples_seen: int = 0
    tokens_seen: int = 0
    learning_s: float = 0.0
    wall_s: float = 0.0
    rate_scale: float = 1.0
    rollbacks: int = 0
    averaged: int = 0
    best: int = 0
    curve: list[EpochPoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Material:
    train: Sequence[Encoded]
    tune: Sequence[Encoded]
    soft: SoftLabels | None


class Run:
    """One training under way, in the folder `work`."""

    def __init__(
        self, engine: Engine, material: Material, plan: TuningPlan, work: Path, recipe: str, micro_tokens: int
    ) -> None:
        self._engine, self._material, self._plan = engine, material, plan
        self._work, self._recipe, self._micro_tokens = work, recipe, micro_tokens
        self._optimiser = Optimiser(engine.masters, plan.weight_decay, plan.clip)
        self._average = Average(engine)
        self._trials = Trials(work / _TRIALS.format(ranks.place()[0]), recipe)
        self.state = State(micro_tokens)
        self._begun = self._saved = time.perf_counter()
        self._steps = steps_per_epoch(material.train, plan.step_tokens)
        self._total = self._steps * plan.epochs

    def train(self, progress: Progress) -> State:
        """Go on from the last checkpoint to the end, and leave the best state in the engine."""
        self._load()
        self._heed_deaths()
        begun = time.perf_counter()
        self._engine.prepare(self._material.train, self._material.tune, progress)
        self.state.learning_s += time.perf_counter() - begun
        while self.state.step < self._total and not self._has_stalled():
            epoch, place = divmod(self.state.step, self._steps)
            examples = steps_of(self._material.train, self._plan.step_tokens, self._plan.seed, epoch)[place]
            progress(self._description(), self.state.step, self._total)
            with self._trials.of(self._trial(examples, self._is_measured(place + 1))):
                self._go_on(examples, self._is_measured(place + 1), progress)
        progress(self._description(), self._total, self._total)
        self._bring_back_best()
        self._trials.clear()
        return self.state

    def _go_on(self, examples: Sequence[int], is_measured: bool, progress: Progress) -> None:
        """A step, and what follows it."""
        if examples and not self._step(examples):
            self._roll_back()
            return
        self.state.step += 1
        self._add_to_average()
        if is_measured:
            if not self._measure(progress):
                self._roll_back()
        elif ranks.any_says(time.perf_counter() - self._saved > self._plan.checkpoint_every_s):
            self._save()

    def _heed_deaths(self) -> None:
        """Halve what goes through at once where one process after the other was killed in the same step."""
        trial = self._trials.too_much
        if trial is not None:
            told = f"Killed in step {trial.step} twice, perhaps for want of memory, with"
            if trial.tokens <= trial.longest:
                self._trials.forget()
                raise PassFailed(f"{told} one example of up to {trial.longest} tokens at a time: {_LESS}")
            halved = trial.tokens // 2
            self._trials.bound(halved, f"{told} {trial.tokens} tokens at a time: went on with {halved}.")
        if self._trials.most_tokens:
            self.state.micro_tokens = min(self.state.micro_tokens, self._trials.most_tokens)
            self.state.notes += [note for note in self._trials.notes if note not in self.state.notes]

    def _trial(self, examples: Sequence[int], is_measured: bool) -> Trial:
        """What memory has to hold in the next step."""
        longest, at_once = self._sizes(self._mine(examples))
        if is_measured:
            longest, at_once = map(max, (longest, at_once), self._sizes(self._mine_of_tune()))
        return Trial(self.state.step, at_once, longest, is_measured + self._is_averaged(self.state.step + 1))

    def _mine(self, examples: Sequence[int]) -> list[Encoded]:
        return [self._material.train[i] for i in ranks.share(examples)]

    def _mine_of_tune(self) -> list[Encoded]:
        return [self._material.tune[i] for i in ranks.share(range(len(self._material.tune)))]

    def _sizes(self, read: Sequence[Encoded]) -> tuple[int, int]:
        """Tokens of the longest of these examples, and how many of all of them go through the network at once."""
        longest = max((len(one.ids) for one in read), default=0)
        if not self._engine.packs:
            return longest, longest
        return longest, max(longest, min(self.state.micro_tokens, sum(len(one.ids) for one in read)))

    def _is_averaged(self, step: int) -> bool:
        return is_averaged(step, self._total, self._plan.averaged)

    def _add_to_average(self) -> None:
        if self._is_averaged(self.state.step):
            self.state.averaged += 1
            self._average.add(self.state.averaged)

    def _description(self) -> str:
        state = self.state
        if not state.tokens:
            return "Tuning"
        speed = state.examples_seen / max(state.learning_s, 1e-9)
        return f"Tuning: {speed:.1f} examples/s, loss {state.loss / state.tokens:.3f}"

    def _has_stalled(self) -> bool:
        return 0 < self._plan.patience <= len(self.state.curve) - self.state.best

    def _is_measured(self, done: int) -> bool:
        """After the last step of an epoch, and at even spaces before."""
        parts = min(self._plan.evaluations, self._steps)
        return (done * parts) // self._steps > ((done - 1) * parts) // self._steps

    def _step(self, examples: Sequence[int]) -> bool:
        """Whether the step was taken: not where loss or gradient is no number."""
        begun = time.perf_counter()
        train, state = self._material.train, self.state
        tokens = sum(answer_tokens(train[i]) for i in examples)
        loss, gradients = self._gradients(examples)
        rate = self._plan.rate * state.rate_scale * schedule(state.step, self._total, self._plan.warm_up)
        norm = self._optimiser.step(gradients, rate, 1 / tokens)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return False
        self._engine.refresh()
        state.loss += loss
        state.tokens += tokens
        state.examples_seen += len(examples)
        state.tokens_seen += tokens
        state.learning_s += time.perf_counter() - begun
        return True

    def _gradients(self, examples: Sequence[int]) -> tuple[float, Any]:
        mine = ranks.share(examples)
        while True:
            try:
                found = self._engine.gradients(self._material.train, mine, self.state.micro_tokens, self._material.soft)
            except (RuntimeError, MemoryError) as problem:
                self._shrink(problem, self._mine(examples))
            else:
                return ranks.summed(*found, self._engine.masters)
            give_back()  # what was raised held what had been computed

    def _shrink(self, problem: BaseException, read: Sequence[Encoded]) -> None:
        """Halve what goes through the network at once of the examples that are read. Raises what was raised unless it was
        for want of memory, and PassFailed where no two examples went through together."""
        if not is_out_of_memory(problem):
            raise problem
        longest, at_once = self._sizes(read)
        if at_once <= longest:
            raise PassFailed(
                f"Out of memory at step {self.state.step} with one example of up to {longest} tokens at a time: {_LESS}"
            ) from problem
        halved = at_once // 2
        self.state.micro_tokens = halved
        self._trials.shrink(max(halved, longest))
        self.state.notes.append(f"Out of memory at step {self.state.step}: went on with {halved} tokens at a time.")

    def _measure(self, progress: Progress) -> bool:
        """The tune split, by the mean of the weights once there is one; False where its loss is no number."""
        with self._average.in_place():
            is_measured = self._measure_what_is_in_place(progress)
        if is_measured:
            self._save()
        return is_measured

    def _measure_what_is_in_place(self, progress: Progress) -> bool:
        state, tune = self.state, self._material.tune
        loss = math.nan
        if tune:
            progress("Measuring the tune split", state.step, self._total)
            loss = self._tune_loss() / sum(map(answer_tokens, tune))
            if not math.isfinite(loss):
                return False
        train_loss = state.loss / state.tokens if state.tokens else math.nan
        wall_s = state.wall_s + time.perf_counter() - self._begun
        state.curve.append(EpochPoint(len(state.curve) + 1, train_loss, loss, math.nan, wall_s))
        state.loss, state.tokens = 0.0, 0
        if not state.best or not tune or loss < state.curve[state.best - 1].tune_loss:
            state.best = len(state.curve)
            if ranks.is_first():
                checkpoints.write(self._work / checkpoints.BEST, self._engine.masters, {"recipe": self._recipe})
        return True

    def _tune_loss(self) -> float:
        """Of all examples, the same figure in every process: what each of them makes of it must be the same."""
        mine = self._mine_of_tune()
        while True:
            try:
                found = self._engine.losses(mine, self.state.micro_tokens)
            except (RuntimeError, MemoryError) as problem:
                self._shrink(problem, mine)
            else:
                return ranks.added(found)
            give_back()

    def _roll_back(self) -> None:
        """Back to the last good state with half the rate. Raises PassFailed after three times."""
        step, rollbacks, scale = self.state.step, self.state.rollbacks + 1, self.state.rate_scale / 2
        micro_tokens, notes = self.state.micro_tokens, self.state.notes
        if rollbacks > _MOST_ROLLBACKS:
            raise PassFailed(
                f"The loss is not a number at step {step}, for the {rollbacks}th time, the rate halved each time to "
                f"{self._plan.rate * self.state.rate_scale:.2g}. Give a lower rate or precision 'float32', and look for "
                "odd examples in the train split."
            )
        is_loaded = self._load()
        ranks.wait()  # the first process writes when all have read
        if not is_loaded:
            self._engine.reset()
            self._optimiser.restore({})
            self._average.restore({})
            self.state = State(micro_tokens)
        self.state.micro_tokens, self.state.notes = micro_tokens, notes
        self.state.rollbacks, self.state.rate_scale = rollbacks, scale
        self.state.notes.append(
            f"The loss was not a number at step {step}: went back to step {self.state.step} with rate "
            f"{self._plan.rate * scale:.2g}."
        )
        self._save()

    def _save(self) -> None:
        now = time.perf_counter()
        self.state.wall_s += now - self._begun
        self._begun = self._saved = now
        if ranks.is_first():
            tensors = {f"master.{name}": tensor for name, tensor in self._engine.masters.items()}
            written = {**asdict(self.state), "recipe": self._recipe}
            checkpoints.write(
                self._work / checkpoints.STATE,
                {**tensors, **self._optimiser.tensors(), **self._average.tensors()},
                written,
            )
        ranks.wait()

    def _load(self) -> bool:
        found = checkpoints.read(self._work / checkpoints.STATE, self._recipe)
        if found is None:
            return False
        tensors, state = found
        state.pop("recipe")
        self.state = State(**{**state, "curve": [EpochPoint(**point) for point in state["curve"]]})
        for name, master in self._engine.masters.items():
            master.data.copy_(tensors[f"master.{name}"])
        self._optimiser.restore(tensors)
        self._average.restore(tensors)
        self._engine.refresh()
        self._begun = self._saved = time.perf_counter()
        return True

    def _bring_back_best(self) -> None:
        found = checkpoints.read(self._work / checkpoints.BEST, self._recipe)
        if found is not None:
            for name, master in self._engine.masters.items():
                master.data.copy_(found[0][name])
            self._engine.refresh()
        self.state.wall_s += time.perf_counter() - self._begun
        self._begun = time.perf_counter()
