"""The language model's exported form: a GGUF build, a prompt form, and what makes one score of its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.artefacts.tasks import OutputKind
from metier.metrics.correctness import is_correct
from metier.metrics.generation import INVALID
from metier.metrics.grounding import leaves
from metier.metrics.records import parse_record
from metier.students.base import Answers, FloatArray, ProbabilityArray, TaskSpec
from metier.students.confidence import ScoreModel
from metier.students.lm.answers import AnswerReader, ReadAnswer, constraint_of, reader_of
from metier.students.lm.foreignness import CharacterModel
from metier.students.lm.held_out import read_held_out
from metier.students.lm.parts import Constraint, Generated, PromptForm, Span, Writer
from metier.students.lm.reasoned import spread
from metier.students.lm.scores import FEATURES, AnswerScore, answer_features

# The second sample that an answer is compared with: warm enough to differ where the model wavers.
SECOND_TEMPERATURE, _SECOND_SEED = 0.7, 1
# A probability that llama.cpp rounds to nothing must keep a logarithm.
_LEAST = 1e-9


@dataclass(frozen=True)
class SecondOpinion:
    """Second, warmer samples beside n answers: `agree` (n,) 1.0 where one says the same, else 0.0; `n_output` (n,) how many
    tokens it has, 0 where none was asked for. Its prompt is the first one's, which llama.cpp need not read anew."""

    agree: FloatArray
    n_output: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Asking:
    """How inputs are put to a model of one task, and its answers read."""

    kind: OutputKind
    form: PromptForm
    constraint: Constraint
    reader: AnswerReader
    max_output_tokens: int

    @property
    def is_reasoned(self) -> bool:
        """Whether the answer is a label that is reasoned for, and read from its box."""
        return bool(self.reader.boxed)

    def write(self, writer: Writer, inputs: Sequence[str], temperature: float = 0.0, seed: int = 0) -> list[Generated]:
        """The writer's answer to every input, in order."""
        if not inputs:
            return []
        prompts = [self.form.write(text) for text in inputs]
        limit = self.max_output_tokens
        return writer.write(prompts, self.constraint, max_tokens=limit, temperature=temperature, seed=seed)

    def copying(self, fields: tuple[Span, ...]) -> Asking:
        """The same with these fields held to the input, and no others."""
        return replace(self, constraint=replace(self.constraint, copied=fields))

    def read(self, written: Sequence[Generated], inputs: Sequence[str]) -> list[ReadAnswer]:
        """What the answers say."""
        return [self._held(self.reader.read(one, text), text) for one, text in zip(written, inputs, strict=True)]

    def _held(self, answer: ReadAnswer, source: str) -> ReadAnswer:
        """The answer, unless it has a value that its constraint forbids: the engine drops a grammar that it cannot follow,
        and goes on without one."""
        if answer.failure is not None or not self.constraint.copied:
            return answer
        record, text = parse_record(answer.text) or {}, " ".join(source.split())
        values = [leaf for span in self.constraint.copied for leaf in leaves(record.get(span.field))]
        return answer if all(str(value).strip() in text for value in values) else replace(answer, failure=INVALID)

    def second_opinion(self, writer: Writer, inputs: Sequence[str], first: Sequence[ReadAnswer]) -> SecondOpinion:
        """What second samples say of the answers `first` to `inputs`; failed answers are not asked for again."""
        agree, n_output = np.zeros(len(inputs)), np.zeros(len(inputs), dtype=np.int64)
        places = [place for place, one in enumerate(first) if one.failure is None]
        asked = [inputs[place] for place in places]
        second = self.write(writer, asked, SECOND_TEMPERATURE, _SECOND_SEED)
        n_output[places] = [one.n_output for one in second]
        for place, one in zip(places, self.read(second, asked), strict=True):
            agree[place] = one.failure is None and is_correct(self.kind, one.text, first[place].text)
        return SecondOpinion(agree, n_output)


def asking_of(
    task: TaskSpec,
    classes: tuple[str, ...],
    form: PromptForm,
    max_output_tokens: int,
    copied: tuple[Span, ...] = (),
    *,
    is_reasoned: bool = False,
    is_compact: bool = True,
) -> Asking:
    """How a task's inputs are put to a model in one prompt form; `is_reasoned`: a rationale comes before each label,
    `is_compact`: the model learnt to write records without spaces between."""
    constraint = Constraint() if is_reasoned else constraint_of(task, classes, copied, is_compact=is_compact)
    return Asking(task.kind, form, constraint, reader_of(task, classes if is_reasoned else ()), max_output_tokens)


@dataclass(frozen=True)
class LmPredictor:
    """Answers from a tuned language model, some tens of milliseconds each; `close` frees the model, `stop` breaks off what
    is being written. Threads may share it: the writer writes their answers side by side."""

    classes_: tuple[str, ...]
    asking: Asking
    writer: Writer
    foreignness: CharacterModel
    score: AnswerScore | ScoreModel
    n_cores: int = 1
    held_out: Path | None = None

    @property
    def condition(self) -> str:
        """Under what conditions it answers, for whoever times it."""
        cores = "one core" if self.n_cores == 1 else f"{self.n_cores} cores"
        return f"one answer at a time, {cores}, loaded and warm, in this process"

    def predict(self, inputs: Sequence[str]) -> Answers:
        """Answer every input, in order."""
        return self._answer(list(inputs))

    def predict_held_out(self, inputs: Sequence[str]) -> Answers:
        """As `predict`, but to the tune split, where it was learnt from in the end, the answers from before that: those of
        the file `held_out`."""
        if self.held_out is None:
            return self.predict(inputs)
        return read_held_out(self.held_out).answers(inputs, len(self.classes_), self.predict)

    def sample(self, inputs: Sequence[str], seed: int) -> Answers:
        """An answer to every input, drawn as likely as the model finds it: labels by their probabilities, what is written,
        rationales too, at a temperature of 0.7."""
        if self.asking.kind is OutputKind.LABEL and not self.asking.is_reasoned:
            return drawn_labels(self._answer(list(inputs)), self.classes_, seed)
        return self._answer(list(inputs), SECOND_TEMPERATURE, seed)

    def _answer(self, inputs: list[str], temperature: float = 0.0, seed: int = 0) -> Answers:
        return self.judged(inputs, self.asking.write(self.writer, inputs, temperature, seed))

    def judged(
        self, inputs: Sequence[str], written: Sequence[Generated], second: SecondOpinion | None = None
    ) -> Answers:
        """What was written, read and scored; `second` is what second samples said, where they were asked for already. Its
        tokens are counted where the score uses it."""
        read = self.asking.read(written, inputs)
        foreign = self.foreignness.cross_entropies(inputs)
        probabilities = self._probabilities(written)
        n_output = np.array([one.n_output for one in written], dtype=np.int64)
        if not self._uses_agreement:
            second = None
        elif second is None:
            second = self.asking.second_opinion(self.writer, inputs, read)
        scores = self._scores(written, read, foreign, probabilities, second)
        scores[[one.failure is not None for one in read]] = 0.0
        labels = np.empty(len(inputs), dtype=np.object_)
        labels[:] = [one.text for one in read]
        if self.asking.is_reasoned:
            probabilities = spread(labels, scores, self.classes_)
        return Answers(
            labels,
            scores,
            foreign,
            probabilities,
            tuple(one.failure for one in read),
            np.array([one.n_input for one in written], dtype=np.int64),
            n_output if second is None else n_output + second.n_output,
        )

    def stop(self) -> None:
        """Break off the answers that are being written: they fail, as do later ones. Returns at once."""
        self._tell("stop")

    def close(self) -> None:
        """Free the model."""
        self._tell("close")

    def _tell(self, name: str) -> None:
        method = getattr(self.writer, name, None)
        if method is not None:
            method()

    @property
    def _uses_agreement(self) -> bool:
        return isinstance(self.score, AnswerScore) and self.score.uses_agreement

    def _scores(
        self,
        written: Sequence[Generated],
        read: Sequence[ReadAnswer],
        foreign: FloatArray,
        probabilities: ProbabilityArray,
        second: SecondOpinion | None,
    ) -> FloatArray:
        if not written:
            return np.empty(0)
        if isinstance(self.score, ScoreModel):
            return self.score.scores(probabilities.max(axis=1).astype(np.float64), foreign)
        features = features_of(self.asking.kind, written, read, foreign)
        if second is not None:
            features = np.column_stack([features, second.agree])
        return self.score.scores(features)

    def _probabilities(self, written: Sequence[Generated]) -> ProbabilityArray:
        if not isinstance(self.score, ScoreModel):
            return np.empty((len(written), 0), dtype=np.float32)
        logits = label_logits(written, len(self.classes_))
        return self.score.probabilities(logits).astype(np.float32)


def drawn_labels(
    found: Answers, names: Sequence[str], seed: int, called: Callable[[int, str], str] = lambda _, name: name
) -> Answers:
    """The answers with labels drawn by their probabilities, whose columns are `names`; a failed answer stays as it is.

    `called` says what the input at a place calls a class.
    """
    rng = np.random.default_rng(seed)
    labels = found.labels.copy()
    failures = found.failures or (None,) * len(labels)
    for place, failure in enumerate(failures):
        shares = found.probabilities[place].astype(np.float64)
        if failure is None and (total := shares.sum()) > 0:
            labels[place] = called(place, names[int(rng.choice(len(names), p=shares / total))])
    return replace(found, labels=labels)


def features_of(
    kind: OutputKind, written: Sequence[Generated], read: Sequence[ReadAnswer], foreign: FloatArray
) -> FloatArray:
    """(n, k) the features of `scores.FEATURES`."""
    rows = zip(written, read, foreign.tolist(), strict=True)
    found = [answer_features(kind, one, said_foreign, said.grounded) for one, said, said_foreign in rows]
    return np.array(found).reshape(len(written), len(FEATURES))


def label_logits(written: Sequence[Generated], n_classes: int) -> npt.NDArray[np.float64]:
    """(n, k) logarithms of the label probabilities; even ones where nothing was read."""
    even = np.full(n_classes, 1 / max(n_classes, 1))
    shares = [even if one.label_probabilities is None else one.label_probabilities for one in written]
    return np.log(np.maximum(np.array(shares, dtype=np.float64).reshape(-1, n_classes), _LEAST))
