"""The language model behind a view: it reads the view's text and not the input, and answers among the input's choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from metier.artefacts.tasks import OutputKind
from metier.metrics.generation import INVALID, UNREADABLE
from metier.progress import Progress
from metier.students.base import Answers, LabelledTexts
from metier.students.confidence import ScoreModel
from metier.students.lm.predictor import LmPredictor, drawn_labels
from metier.students.viewing import UNREADABLE_OOD, label_of, need_readable, offered, try_read, view_examples
from metier.views import Reading, View


@dataclass(frozen=True)
class ReadTexts:
    """Examples as the model reads them, with notes on those that were left out."""

    texts: LabelledTexts
    notes: tuple[str, ...]


def read_texts(view: View, kind: OutputKind, texts: LabelledTexts, split: str, progress: Progress) -> ReadTexts:
    """Examples through a view: its text where it writes one, and of a label task the class behind each label. Raises
    NotEnoughData where none is left."""
    is_label = kind is OutputKind.LABEL
    viewed = view_examples(view, texts, split, progress, names_classes=is_label)
    need_readable(viewed, view, len(texts), split)
    kept = texts.take(viewed.kept)
    read = tuple(map(_text, viewed.readings, kept.inputs))
    return ReadTexts(LabelledTexts(read, viewed.classes, kept.groups, kept.rationales), viewed.notes)


def _text(reading: Reading, given: str) -> str:
    return given if reading.text is None else reading.text


@dataclass(frozen=True)
class ViewedPredictor:
    """A predictor of the view's texts. What the view cannot read fails as "unreadable" and is not put to the model."""

    view: View
    inner: LmPredictor

    @property
    def classes_(self) -> tuple[str, ...]:
        """The classes that were learnt; inputs may call them otherwise."""
        return self.inner.classes_

    @property
    def condition(self) -> str:
        """Under what conditions it answers."""
        return self.inner.condition

    @property
    def n_cores(self) -> int:
        """How many cores a single answer keeps busy."""
        return self.inner.n_cores

    def predict(self, inputs: Sequence[str]) -> Answers:
        """Answer every input, in order."""
        return self._answers(inputs, self.inner.predict)

    def predict_held_out(self, inputs: Sequence[str]) -> Answers:
        """As `LmPredictor.predict_held_out`."""
        return self._answers(inputs, self.inner.predict_held_out)

    def sample(self, inputs: Sequence[str], seed: int) -> Answers:
        """As `LmPredictor.sample`, among the choices of each input."""
        if self.classes_ and not self.inner.asking.is_reasoned:
            return self._answers(inputs, self.inner.predict, seed)
        return self._answers(inputs, partial(self.inner.sample, seed=seed))

    def _answers(
        self, inputs: Sequence[str], ask: Callable[[Sequence[str]], Answers], seed: int | None = None
    ) -> Answers:
        """Answers to every input, in order: what `ask` gives to the view's texts, labels drawn where there is a seed."""
        readings = [try_read(self.view, text) for text in inputs]
        asked = [place for place, reading in enumerate(readings) if self._can_answer(reading)]
        texts = [_text(reading, inputs[place]) for place in asked if (reading := readings[place]) is not None]
        asked_readings = [readings[place] for place in asked]
        found = ask(texts)
        if self.inner.asking.is_reasoned:
            found = self._as_offered(found, asked_readings)
        elif self.classes_:
            found = self._among_choices(found, asked_readings)
        if seed is not None:
            found = drawn_labels(found, self.classes_, seed, partial(_called, asked_readings))
        return _spread(found, asked, len(inputs))

    def stop(self) -> None:
        """Break off the answers that are being written."""
        self.inner.stop()

    def close(self) -> None:
        """Free the model."""
        self.inner.close()

    def _can_answer(self, reading: Reading | None) -> bool:
        if reading is None:
            return False
        return not self.classes_ or bool(offered(reading, self.classes_).any())

    def _among_choices(self, found: Answers, readings: Sequence[Reading | None]) -> Answers:
        """The model's answers, each the likeliest class among those that its input offers."""
        labels, scores, probabilities = found.labels.copy(), found.scores.copy(), found.probabilities.copy()
        failures = found.failures or (None,) * len(labels)
        for place, reading in enumerate(readings):
            if reading is None or reading.choices is None or failures[place] is not None:
                continue
            among = np.where(offered(reading, self.classes_), probabilities[place], 0)
            total = float(among.sum())
            probabilities[place] = among / total if total > 0 else among
            best = int(probabilities[place].argmax())
            if isinstance(self.inner.score, ScoreModel) and self.classes_[best] != labels[place]:
                # The model's own favourite is not offered: how sure it is of the next is another figure.
                scores[place] = self.inner.score.score(float(found.probabilities[place][best]), found.ood_scores[place])
            labels[place] = label_of(reading, self.classes_[best])
        return replace(found, labels=labels, scores=scores, probabilities=probabilities)

    def _as_offered(self, found: Answers, readings: Sequence[Reading | None]) -> Answers:
        """Reasoned answers by their inputs' own labels; one that concludes what its input does not offer is invalid."""
        labels, scores, probabilities = found.labels.copy(), found.scores.copy(), found.probabilities.copy()
        failures = list(found.failures or (None,) * len(labels))
        for place, reading in enumerate(readings):
            if reading is None or reading.choices is None or failures[place] is not None:
                continue
            if labels[place] not in reading.choices:
                failures[place], scores[place] = INVALID, 0.0
                probabilities[place] = 1 / len(self.classes_)
            else:
                labels[place] = label_of(reading, labels[place])
        return replace(found, labels=labels, scores=scores, probabilities=probabilities, failures=tuple(failures))


def _called(readings: Sequence[Reading | None], place: int, name: str) -> str:
    """A class as the input at `place` calls it."""
    reading = readings[place]
    return name if reading is None else label_of(reading, name)


def _spread(found: Answers, asked: Sequence[int], n: int) -> Answers:
    """Answers to the inputs at `asked` as answers to all n: the others failed as unreadable."""
    k = found.probabilities.shape[1]
    labels, scores, foreign = np.full(n, "", dtype=np.object_), np.zeros(n), np.full(n, UNREADABLE_OOD)
    probabilities = np.full((n, k), 1 / max(k, 1), dtype=np.float32)
    failures: list[str | None] = [UNREADABLE] * n
    tokens = np.zeros((2, n), dtype=np.int64)
    places = list(asked)
    labels[places], scores[places], foreign[places] = found.labels, found.scores, found.ood_scores
    probabilities[places] = found.probabilities
    for row, counts in enumerate((found.input_tokens, found.output_tokens)):
        if counts is not None:
            tokens[row, places] = counts
    for place, failure in zip(asked, found.failures or (None,) * len(places), strict=True):
        failures[place] = failure
    return Answers(labels, scores, foreign, probabilities, tuple(failures), tokens[0], tokens[1])
