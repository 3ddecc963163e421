"""Gradient boosting on a view's numbers (scikit-learn's HistGradientBoostingClassifier; LightGBM, Ke et al. 2017).

Absent numbers need no filling in: every split learns to which side they go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Growing:
    """How trees are grown: at most `iterations` rounds of one tree a class at the learning rate `rate`, each with at most
    `leaves` leaves of `min_leaf` examples or more, every split looking at a random `feature_share` of the numbers; `l2`
    pulls leaves to zero. Growing ends where the tune split has not gained for `patience` rounds."""

    iterations: int
    rate: float
    leaves: int
    min_leaf: int
    l2: float
    feature_share: float
    patience: int


@dataclass(frozen=True)
class Node:
    """A node of a tree: a leaf adds `value` to the logit; elsewhere the values up to `threshold` of `feature` go to `left`,
    and absent ones where `absent_left` says."""

    value: float
    feature: int
    threshold: float
    absent_left: bool
    left: int
    right: int
    is_leaf: bool
    gain: float


@dataclass(frozen=True)
class Forest:
    """Grown trees: a logit is `base` (k,) of its class and the sum of the leaves that its trees give. `trees` pairs each
    tree's nodes, the root first, with the class that it speaks of."""

    base: tuple[float, ...]
    trees: tuple[tuple[int, tuple[Node, ...]], ...]
    n_features: int

    def importances(self) -> npt.NDArray[np.float64]:
        """(n_features,) each number's share of what all splits gained; zeros where there is no split."""
        gained = np.zeros(self.n_features)
        for _, nodes in self.trees:
            for node in nodes:
                if not node.is_leaf:
                    gained[node.feature] += node.gain
        total = gained.sum()
        return gained / total if total > 0 else gained


@dataclass(frozen=True)
class Grown:
    """The trees, their logits as scikit-learn computes them for the train split (n, k), how many rounds were kept, and the
    mean negative log-likelihood of train and tune split (NaN where there is none) after them."""

    forest: Forest
    logits: npt.NDArray[np.float64]
    n_rounds: int
    train_loss: float
    tune_loss: float


def grow(x: Values, y: IntArray, x_tune: Values, y_tune: IntArray, n_classes: int, how: Growing, seed: int) -> Grown:
    """Grow trees on rows x (n, d) of the classes y (n,), all of which occur; the tune split says when to stop, and the
    rounds after its best are dropped. Without a tune split all rounds are grown."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    is_tuned = len(y_tune) > 0
    # A column without any value breaks scikit-learn's binning; a constant one is never split on.
    x = np.where(np.isnan(x).all(axis=0), 0.0, x)
    model = HistGradientBoostingClassifier(
        learning_rate=how.rate,
        max_iter=how.iterations,
        max_leaf_nodes=how.leaves,
        min_samples_leaf=how.min_leaf,
        l2_regularization=how.l2,
        max_features=how.feature_share,
        early_stopping=is_tuned,
        scoring="loss",
        n_iter_no_change=how.patience,
        tol=0.0,
        random_state=seed,
    )
    if is_tuned:
        model.fit(x, y, X_val=x_tune, y_val=y_tune)
    else:
        model.fit(x, y)
    n_rounds = _best_round(model) if is_tuned else int(model.n_iter_)
    # scikit-learn keeps the rounds in which it waited in vain; its own predictions, which the export is held against, must
    # be of the same trees.
    model._predictors = model._predictors[:n_rounds]
    raw = np.asarray(model.decision_function(x), dtype=np.float64)
    logits = np.column_stack([np.zeros(len(raw)), raw]) if raw.ndim == 1 else raw
    train_loss, tune_loss = (
        (-float(scores[n_rounds]) if len(scores) > n_rounds else math.nan)
        for scores in (model.train_score_, model.validation_score_)
    )
    return Grown(_forest(model, x.shape[1], n_classes), logits, n_rounds, train_loss, tune_loss)


def _best_round(model: Any) -> int:
    """The number of rounds with the least loss on the tune split, one at least; entry 0 is of no round at all."""
    return 1 + int(np.argmax(model.validation_score_[1:]))


def _forest(model: Any, n_features: int, n_classes: int) -> Forest:
    """The trees of a fitted model. Of two classes scikit-learn grows trees for the second alone."""
    base = np.asarray(model._baseline_prediction, dtype=np.float64).ravel()
    alone = n_classes == 2
    trees = tuple(
        (1 if alone else place, _nodes(tree.nodes)) for round_ in model._predictors for place, tree in enumerate(round_)
    )
    return Forest((0.0, float(base[0])) if alone else tuple(base.tolist()), trees, n_features)


def _nodes(stored: Any) -> tuple[Node, ...]:
    return tuple(
        Node(
            value=float(one["value"]),
            feature=int(one["feature_idx"]),
            threshold=float(one["num_threshold"]),
            absent_left=bool(one["missing_go_to_left"]),
            left=int(one["left"]),
            right=int(one["right"]),
            is_leaf=bool(one["is_leaf"]),
            gain=max(float(one["gain"]), 0.0),
        )
        for one in stored
    )
