"""Reading inputs through a view: which view a task has, what it makes of examples, and whether it is still the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from metier.artefacts.specialists import ViewFeature, ViewUse
from metier.errors import BadArtefact, BadInput, NotEnoughData, Unreadable
from metier.progress import Progress
from metier.students.base import LabelledTexts, TaskSpec
from metier.views import VIEWS, Reading, View, view_hash

FloatArray = npt.NDArray[np.float64]

# A view is taken for a task's inputs where so many of them look like its own, and can be read.
LEAST_FITTING = 0.95
# Inputs that are read to see whether they can be; spread evenly over those at hand.
_PROBED = 200
# The ood score of an input that cannot be read: beyond any that can, and a number, as scores must be.
UNREADABLE_OOD = 1e6
_EVERY = 256


@dataclass(frozen=True)
class Viewed:
    """Examples as a view reads them: `readings` (n,), `classes` (n,) what each is, `kept` (n,) its place among the examples
    given, and `notes` on those that were left out."""

    readings: tuple[Reading, ...]
    classes: tuple[str, ...]
    kept: tuple[int, ...]
    notes: tuple[str, ...]

    def values(self) -> npt.NDArray[np.float32]:
        """(n, n_features), NaN where a feature does not exist."""
        return np.array([values_of(reading) for reading in self.readings], dtype=np.float32)


def find_view(name: str) -> View:
    """The view of this name. Raises BadInput where there is none."""
    if name not in VIEWS:
        raise BadInput(f"no view is called {name!r}; there are: {', '.join(VIEWS) or 'none'}")
    return VIEWS[name]


def view_use(view: View) -> ViewUse:
    """What a specialist says of the view through which it reads."""
    features = tuple(ViewFeature(one.name, one.unit, one.description) for one in view.features)
    return ViewUse(view.name, view.version, view_hash(view), features, view.classes)


def use_of_task(task: TaskSpec) -> ViewUse | None:
    """The view that a task is read through, where there is one. Raises BadInput where it is not known."""
    return None if task.view is None else view_use(find_view(task.view))


def choose_view(inputs: Sequence[str], labels: Sequence[str] | None = None) -> View | None:
    """The view that suits these inputs; None where none does.

    It must find at least 95% of the inputs to be like its own, and read as many of a sample of them; where `labels` are
    given, as many of these must be among the choices that their inputs offer.
    """
    if not inputs:
        return None
    return next((view for view in VIEWS.values() if _suits(view, inputs, labels)), None)


def _suits(view: View, inputs: Sequence[str], labels: Sequence[str] | None) -> bool:
    if sum(view.fits(text) for text in inputs) < LEAST_FITTING * len(inputs):
        return False
    places = np.unique(np.linspace(0, len(inputs) - 1, min(_PROBED, len(inputs))).astype(int)).tolist()
    read = [(place, reading) for place in places if (reading := try_read(view, inputs[place])) is not None]
    usable = [labels is None or class_of(reading, labels[place]) is not None for place, reading in read]
    return sum(usable) >= LEAST_FITTING * len(places)


def try_read(view: View, text: str) -> Reading | None:
    """What the view makes of an input; None where it cannot read it."""
    try:
        return view.read(text)
    except Unreadable:
        return None


def values_of(reading: Reading) -> npt.NDArray[np.float32]:
    """(n_features,) the numbers of a reading in the precision in which they are learnt from and answered; what is no finite
    number counts as absent."""
    with np.errstate(over="ignore"):  # beyond float32 is no number of this world
        values = np.asarray(reading.values, dtype=np.float64).astype(np.float32)
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def class_of(reading: Reading, label: str) -> str | None:
    """The class behind a label as its input names it; None where the input does not offer it."""
    if reading.choices is None:
        return label
    return next((name for name, called in reading.choices.items() if called == label), None)


def label_of(reading: Reading, name: str) -> str:
    """What an input calls a class that it offers."""
    return name if reading.choices is None else reading.choices[name]


def offered(reading: Reading, classes: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(k,) which of the classes this input offers."""
    if reading.choices is None:
        return np.ones(len(classes), dtype=np.bool_)
    return np.array([name in reading.choices for name in classes], dtype=np.bool_)


def view_examples(
    view: View, texts: LabelledTexts, split: str, progress: Progress, *, names_classes: bool = True
) -> Viewed:
    """Examples through the view; those that it cannot read, or whose label is not among their own choices, are left out,
    counted and noted. Without `names_classes` the outputs are no labels, and stay as they are."""
    readings, classes, kept = [], [], []
    faults: list[str] = []
    n_strange = 0
    for place, (text, label) in enumerate(zip(texts.inputs, texts.labels, strict=True)):
        if place % _EVERY == 0:
            progress(f"Reading the {split} split", place, len(texts))
        try:
            reading = view.read(text)
        except Unreadable as fault:
            faults.append(str(fault))
            continue
        name = class_of(reading, label) if names_classes else label
        if name is None:
            n_strange += 1
            continue
        readings.append(reading)
        classes.append(name)
        kept.append(place)
    progress(f"Reading the {split} split", len(texts), len(texts))
    notes = []
    if faults:
        notes.append(
            f"{len(faults):,} of {len(texts):,} {split} examples were left out: the view {view.name!r} cannot read them "
            f"(the first: {faults[0]})"
        )
    if n_strange:
        notes.append(
            f"{n_strange:,} of {len(texts):,} {split} examples were left out: their label is not among the choices that "
            "their input offers"
        )
    return Viewed(tuple(readings), tuple(classes), tuple(kept), tuple(notes))


def need_readable(viewed: Viewed, view: View, n: int, split: str = "train") -> None:
    """Raise NotEnoughData where nothing is left of the `n` examples of a split."""
    if not viewed.readings:
        why = "; ".join(viewed.notes) or "there are none"
        raise NotEnoughData(f"the view {view.name!r} gives none of {n:,} {split} examples to learn from: {why}")


def stored_view(use: ViewUse | None) -> dict[str, Any] | None:
    """What meta.json keeps of a view, for `opened_view`."""
    return None if use is None else asdict(use)


def opened_view(stored: Any, where: object) -> View:
    """The view that a specialist was trained with, from what `stored_view` gave.

    Raises BadArtefact where this installation does not have it, or has another version or other code of it: what the
    specialist reads would not be what it learnt from.
    """
    try:
        use = TypeAdapter(ViewUse).validate_python(stored)
    except ValueError as problem:
        raise BadArtefact(f"{where}: meta.json does not say which view it reads through ({problem}).") from None
    view = VIEWS.get(use.name)
    if view is None:
        raise BadArtefact(
            f"{where} reads through the view {use.name!r}, which this version of metier does not have; it has: "
            f"{', '.join(VIEWS) or 'none'}. Install the version that it was trained with, or train again."
        )
    found = view_hash(view)
    if (view.version, found) != (use.version, use.sha256):
        raise BadArtefact(
            f"{where} was trained on what version {use.version} of the view {use.name!r} reads (sha256 "
            f"{use.sha256[:12]}…), but here is version {view.version} (sha256 {found[:12]}…): it would be asked about "
            "other numbers than it learnt from. Train again, or install the version of metier that it was trained with."
        )
    return view
