"""Jobs that share one template, told apart by what their answers look like and how their inputs are written.

One system prompt over many jobs leaves the user message as the only slot. What separates the jobs then is the form of
the answers (which keys an object has, what labels look like) and, for labels, the inputs they are given to.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metier.mining.answers import Answer, Form, seen_share
from metier.mining.features import Floats, hashed_words, topic_features, writing_features

# The part of a template's calls whose answers tell nothing: free text, or no job that recurs.
OPEN_PART = "open"
# Labels of two jobs must lie further apart than labels of one job spread: mean silhouette (Rousseeuw, 1987).
MIN_SILHOUETTE = 0.45
# Topic counts for less than the manner of writing: the labels of one job are about many topics.
_TOPIC_WEIGHT = 0.75
_MIN_LABELS_A_JOB = 2
_MAX_LABEL_JOBS = 6
_MAX_LABELS = 1_500
_MIN_PART_SHARE = 0.02
# Keys occur together in objects of one job; in objects of two jobs at most a common key (such as "date") joins them.
_MIN_KEY_SHARE = 0.01
# Labels and free texts in one template, or two groups of labels, are two jobs where their inputs can be told apart this
# well: intents from open questions 0.98, notes of a word or two from longer notes 0.88 (by the length of the conversation).
MIN_SEPARABILITY = 0.93
_MAX_JUDGED = 500
# Of the answers, so many must name an option of their input before all are taken for choices.
_CHOICE_SHARE = 0.8
_N_FOLDS = 3
_LABEL_PART = "labels such as "
# Below this chance that the next short answer was seen before, short answers are free text, not labels.
MIN_SEEN = 0.3


@dataclass(frozen=True)
class Parts:
    """The jobs within one template. A call belongs to the part its answer names; where the answer does not tell (none
    given, or never seen), `model` judges by the input."""

    names: tuple[str, ...]
    by_key: dict[str, int] = field(default_factory=dict)
    by_wrapper: dict[str, int] = field(default_factory=dict)
    by_label: dict[str, int] = field(default_factory=dict)
    long_part: int | None = None
    model: Any = None

    def of(self, answer: Answer) -> int | None:
        """The part that an answer names, or None."""
        if len(self.names) == 1:
            return 0
        if answer.form is Form.OBJECT:
            named = Counter(self.by_key[key] for key in answer.keys if key in self.by_key)
            return named.most_common(1)[0][0] if named else None
        if answer.form is Form.SHORT:
            return self.by_wrapper.get(answer.wrapper) if answer.wrapper else self.by_label.get(answer.key)
        return self.long_part if answer.form is Form.LONG else None

    def judge(self, inputs: Sequence[str]) -> np.ndarray:
        """The most likely part of each input."""
        return np.asarray(self.model.predict(hashed_words(inputs)), dtype=np.int64)


WHOLE = Parts(("",))


def split_by_meaning(
    inputs: Sequence[str], answers: Sequence[Answer], is_open: bool, min_support: int, seed: int
) -> Parts:
    """The parts of a template, given a sample of its inputs and answers; one part where nothing tells jobs apart.

    A part needs `min_support` calls, and a tenth of them where the template has instructions: there one job is likely.
    """
    smallest = max(min_support, int(len(answers) * (_MIN_PART_SHARE if is_open else 0.1)))
    named = _join_short_texts(_name_answers(inputs, answers, smallest, seed), inputs, seed)
    sizes = Counter(name for name in named if name)
    names = tuple(name for name, n in sizes.most_common() if n >= smallest)
    if is_open and not names:
        return Parts((OPEN_PART,))
    if len(names) < 2:
        return Parts((names[0],)) if names and is_open else WHOLE
    place = {name: index for index, name in enumerate(names)}
    told = [place.get(name, -1) for name in named]
    return Parts(
        names,
        by_key=_majority((key, part) for a, part in zip(answers, told, strict=True) for key in a.keys if not a.wrapper),
        by_wrapper=_majority((a.wrapper, part) for a, part in zip(answers, told, strict=True) if a.wrapper),
        by_label=_majority(
            (a.key, part) for a, part in zip(answers, told, strict=True) if a.form is Form.SHORT and not a.wrapper
        ),
        long_part=place.get(OPEN_PART),
        model=fit_judge(inputs, told),
    )


def _join_short_texts(named: Sequence[str], inputs: Sequence[str], seed: int) -> list[str]:
    """Names in which short answers that recur are no job of their own where free texts are given to the same kind of
    inputs: "Noncontributory." is a note like the longer ones, not a label."""
    texts = [text for name, text in zip(named, inputs, strict=True) if name == OPEN_PART]
    joined = set()
    for label_part in {name for name in named if name.startswith(_LABEL_PART)} if texts else ():
        own = [text for name, text in zip(named, inputs, strict=True) if name == label_part]
        if _separability(own, texts, seed) < MIN_SEPARABILITY:
            joined.add(label_part)
    # Short answers seen once go with the others.
    single = {""} if joined else set()
    return [OPEN_PART if name in joined | single else name for name in named]


def _separability(first: Sequence[str], second: Sequence[str], seed: int) -> float:
    """Balanced accuracy, out of sample, of telling two sets of texts apart by their topic and manner of writing."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(seed)
    sides = [[texts[i] for i in rng.permutation(len(texts))[:_MAX_JUDGED]] for texts in (first, second)]
    if min(map(len, sides)) < _N_FOLDS:
        return 0.0
    texts = [*sides[0], *sides[1]]
    features = np.hstack([writing_features(texts), topic_features(texts, seed)])
    side = np.repeat([0, 1], [len(sides[0]), len(sides[1])])
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1_000))
    folds = StratifiedKFold(_N_FOLDS, shuffle=True, random_state=seed)
    return float(cross_val_score(model, features, side, scoring="balanced_accuracy", cv=folds).mean())


def _majority(votes: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The part that most calls with a key belong to, for keys of calls whose part is known."""
    counted: dict[str, Counter[int]] = defaultdict(Counter)
    for key, part in votes:
        if part >= 0:
            counted[key][part] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in counted.items()}


def fit_judge(inputs: Sequence[str], told: Sequence[int]) -> Any:
    """Naive Bayes over the inputs whose part is told (not negative)."""
    from sklearn.naive_bayes import ComplementNB

    known = [index for index, part in enumerate(told) if part >= 0]
    return ComplementNB().fit(hashed_words([inputs[index] for index in known]), [told[index] for index in known])


def _name_answers(inputs: Sequence[str], answers: Sequence[Answer], smallest: int, seed: int) -> list[str]:
    """A name for the job of each call, empty where the answer does not tell."""
    named = [""] * len(answers)
    shapes = _shape_of_keys([answer.keys for answer in answers if answer.form is Form.OBJECT])
    bare = [index for index, answer in enumerate(answers) if answer.form is Form.SHORT and not answer.wrapper]
    for index, answer in enumerate(answers):
        if answer.form is Form.OBJECT:
            shape = Counter(shapes[key] for key in answer.keys if key in shapes)
            named[index] = f"keys {shape.most_common(1)[0][0]}" if shape else ""
        elif answer.form is Form.LONG:
            named[index] = OPEN_PART
        elif answer.wrapper:
            named[index] = f"key {answer.wrapper}"
    if len(bare) >= smallest:
        named_labels = _name_labels([inputs[i] for i in bare], [answers[i] for i in bare], smallest, seed)
        for index, name in zip(bare, named_labels, strict=True):
            named[index] = name
    return named


def _shape_of_keys(keysets: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """Groups keys of objects into shapes: keys that occur together, however indirectly, but through no one common key."""
    counts = Counter(key for keys in keysets for key in keys)
    frequent = {key for key, n in counts.items() if n >= max(2, _MIN_KEY_SHARE * len(keysets))}
    together = Counter(
        (first, second)
        for keys in keysets
        for first in keys
        for second in keys
        if first < second and frequent >= {first, second}
    )
    edges = [pair for pair, n in together.items() if n >= max(2, 0.02 * min(counts[pair[0]], counts[pair[1]]))]
    bridges = {key for key in frequent if _n_components(frequent - {key}, edges) > _n_components(frequent, edges)}
    shapes = _components(frequent - bridges, edges)
    return {key: ",".join(sorted(shape, key=lambda k: (-counts[k], k))[:4]) for shape in shapes for key in shape}


def _n_components(nodes: set[str], edges: Sequence[tuple[str, str]]) -> int:
    return len(_components(nodes, edges))


def _components(nodes: set[str], edges: Sequence[tuple[str, str]]) -> list[set[str]]:
    """The connected components of a graph."""
    owner = {node: {node} for node in sorted(nodes)}
    for first, second in edges:
        if first in owner and second in owner and owner[first] is not owner[second]:
            merged = owner[first] | owner[second]
            owner.update(dict.fromkeys(merged, merged))
    return list({id(component): component for component in owner.values()}.values())


def _name_labels(inputs: Sequence[str], answers: Sequence[Answer], smallest: int, seed: int) -> list[str]:
    """The job of each bare short answer: labels are grouped by their style and by the inputs they are given to."""
    labels = [answer.key for answer in answers]
    spelling = {answer.key: answer.value for answer in reversed(answers)}
    counts = Counter(labels)
    if seen_share(counts.values()) < MIN_SEEN:
        return [OPEN_PART] * len(labels)
    recurring = [label for label, n in counts.most_common(_MAX_LABELS) if n >= 2]
    groups = _group_labels(inputs, labels, {label: spelling[label] for label in recurring}, smallest, seed)
    name: dict[int, str] = {}
    for label in recurring:
        name.setdefault(groups[label], f"{_LABEL_PART}{spelling[label]}")
    return [name[groups[label]] if label in groups else "" for label in labels]


def _group_labels(
    inputs: Sequence[str], labels: Sequence[str], recurring: dict[str, str], smallest: int, seed: int
) -> dict[str, int]:
    """A group for each recurring label (a key of `recurring`, whose value is how it is spelt)."""
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import silhouette_score

    if len(recurring) < 3 or _are_choices(inputs, labels):
        return dict.fromkeys(recurring, 0)
    points = _label_points(inputs, labels, recurring, seed)
    counts = Counter(labels)
    best, best_groups = MIN_SILHOUETTE, np.zeros(len(recurring), dtype=np.int64)
    for n_groups in range(2, min(_MAX_LABEL_JOBS, len(recurring) - 1) + 1):
        groups = AgglomerativeClustering(n_groups, linkage="average").fit_predict(points)
        sizes = np.bincount(groups, weights=[counts[label] for label in recurring])
        if min(np.bincount(groups)) < _MIN_LABELS_A_JOB:
            continue
        if sizes.min() < smallest or (score := silhouette_score(points, groups)) < best:
            continue
        # A few labels may lie in two heaps by chance, where one number (the length) is all in which inputs differ.
        if _are_told_apart(inputs, labels, dict(zip(recurring, groups.tolist(), strict=True)), seed):
            best, best_groups = score, groups
    return dict(zip(recurring, best_groups.tolist(), strict=True))


def _are_choices(inputs: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether answers name one of the options that their own input lists ("B: ...", "3) ..."): then a label means something
    else in every call, and how the options are called parts no jobs."""
    every = max(1, len(labels) // _MAX_JUDGED)
    pairs = list(zip(inputs[::every], labels[::every], strict=True))
    n_listed = sum(_lists(text, label) for text, label in pairs)
    return n_listed >= _CHOICE_SHARE * len(pairs)


def _lists(text: str, label: str) -> bool:
    return re.search(rf"^\W*{re.escape(label)}\s*[:.)\]]\s*\S", text, re.MULTILINE | re.IGNORECASE) is not None


def _are_told_apart(inputs: Sequence[str], labels: Sequence[str], groups: dict[str, int], seed: int) -> bool:
    """Whether the inputs of every group of labels can be told from those of all others."""
    owner = [groups.get(label, -1) for label in labels]
    for group in set(groups.values()):
        own = [text for text, one in zip(inputs, owner, strict=True) if one == group]
        others = [text for text, one in zip(inputs, owner, strict=True) if one not in (group, -1)]
        if _separability(own, others, seed) < MIN_SEPARABILITY:
            return False
    return True


def _label_points(inputs: Sequence[str], labels: Sequence[str], recurring: dict[str, str], seed: int) -> Floats:
    """A point a label: the mean features of the inputs it is given to, beside its own style; shape (labels, features)."""
    features = np.hstack([writing_features(inputs), _TOPIC_WEIGHT * topic_features(inputs, seed)])
    place = {label: index for index, label in enumerate(recurring)}
    owner = np.array([place.get(label, -1) for label in labels])
    sums = np.zeros((len(recurring), features.shape[1]))
    np.add.at(sums, owner[owner >= 0], features[owner >= 0])
    means = sums / np.bincount(owner[owner >= 0], minlength=len(recurring))[:, None]
    return np.hstack([means, np.array([_label_style(spelling) for spelling in recurring.values()])])


def _label_style(label: str) -> tuple[float, ...]:
    """How a label is written: case, digits and length; not its separators, which differ within one set of labels."""
    n = max(len(label), 1)
    return sum(map(str.isupper, label)) / n, sum(map(str.isdigit, label)) / n, n / 40
