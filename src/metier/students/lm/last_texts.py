"""What the last learning reads, which has the tune split too (see `refitting`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metier.students.base import LabelledTexts
from metier.students.lm.varying import Varier


def refit_texts(
    train: LabelledTexts, tune: LabelledTexts, passes: int, seed: int, schema: Mapping[str, Any] | None = None
) -> LabelledTexts:
    """What is learnt from at last: each tune example as often as the train examples were to be, in `passes`, and every
    train example once more, that it be not forgotten. With the `schema` of records, variants of them in place of what was
    read before, where they can be varied."""
    n, n_all = len(train), len(train) + len(tune)
    both = LabelledTexts(
        train.inputs + tune.inputs,
        train.labels + tune.labels,
        None if train.groups is None or tune.groups is None else train.groups + tune.groups,
    )
    varier = None if schema is None else Varier(both, schema)
    vary = varier.vary if varier is not None and varier.fields else _as_it_is(both)
    rows = [vary(place, f"{seed} last {place}") for place in range(n)]
    rows += zip(tune.inputs, tune.labels, strict=True)
    rows += [vary(place, f"{seed} last {round_} {place}") for round_ in range(1, passes) for place in range(n, n_all)]
    return LabelledTexts(tuple(text for text, _ in rows), tuple(label for _, label in rows))


def _as_it_is(texts: LabelledTexts) -> Callable[[int, str], tuple[str, str]]:
    return lambda place, _: (texts.inputs[place], texts.labels[place])
