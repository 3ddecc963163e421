"""Labels that are reasoned for: the answer is a short rationale and then the label in a box, as text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metier.errors import BadInput, NotEnoughData
from metier.metrics.boxed import last_box
from metier.students.base import FloatArray, LabelArray, LabelledTexts, ProbabilityArray, label_places


def concluded(answer: str) -> str | None:
    """The label in the last box of an answer; None where there is no box."""
    box = last_box(answer)
    return None if box is None else box.content


def boxed_answer(rationale: str | None, label: str) -> str:
    """What the model is to write. Raises BadInput where the label cannot stand in a box (one with a lone brace)."""
    box = f"\\boxed{{{label}}}"
    if concluded(box) != label:
        raise BadInput(f"the label {label!r} cannot stand in a box: rename it, or set rationale = 'off' under [lm]")
    return f"{rationale} {box}" if rationale else box


def with_rationales(train: LabelledTexts) -> tuple[LabelledTexts, tuple[str, ...]]:
    """The train examples that bring a rationale, for what is learnt is to reason first, and a note on the others.

    Raises NotEnoughData where there are none.
    """
    given = train.rationales or (None,) * len(train)
    kept = [place for place, rationale in enumerate(given) if rationale]
    if not kept:
        raise NotEnoughData(
            f"rationale = 'on', but none of {len(train):,} train examples brings what was reasoned before its label: "
            "answers such as 'Distance 1.4 km, beyond the limit. \\boxed{C2}' do. Import such, or set rationale = 'off'"
        )
    if len(kept) == len(train):
        return train, ()
    n_left = len(train) - len(kept)
    note = f"{n_left:,} of {len(train):,} train examples were left out: nothing was reasoned before their label"
    return train.take(kept), (note,)


def answered(texts: LabelledTexts) -> LabelledTexts:
    """The texts with whole answers in the place of their labels: the box alone where nothing was reasoned.

    Raises BadInput where a label cannot stand in a box.
    """
    given = texts.rationales or (None,) * len(texts)
    return replace(texts, labels=tuple(map(boxed_answer, given, texts.labels)))


def rationales_digest(*splits: LabelledTexts) -> str:
    """A digest of the splits' rationales: other ones make another specialist."""
    return hashlib.sha256(json.dumps([texts.rationales for texts in splits]).encode()).hexdigest()


def spread(labels: LabelArray, scores: FloatArray, classes: Sequence[str]) -> ProbabilityArray:
    """(n, k) the score for the label that was concluded, the rest evenly among the others; even rows for what is no class.

    A model that writes its way to a label says no more of the other classes than that.
    """
    k = len(classes)
    found = np.full((len(labels), k), 1 / max(k, 1))
    for row, (place, score) in enumerate(zip(label_places(labels.tolist(), classes), scores.tolist(), strict=True)):
        if place >= 0:
            found[row] = (1 - score) / (k - 1)
            found[row, place] = score
    return found.astype(np.float32)
