"""The probability of every label, from a few looks at the model: one for each place where labels part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from metier.errors import BadInput
from metier.students.lm.parts import FloatArray, Generated

# Labels below a fork that is reached more rarely than this share its probability evenly: no label is off by more.
_NEGLIGIBLE = 1e-6
_TINY = float(np.finfo(np.float64).tiny)

# The probabilities (k,) of the tokens (k,) after the path, renormalised over these tokens.
Fork = Callable[[tuple[int, ...], tuple[int, ...]], FloatArray]


@dataclass
class _Node:
    labels: list[int] = field(default_factory=list)
    children: dict[int, _Node] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelTree:
    """The prefix tree of the labels' tokens, each label closed by the end token: one may be another's beginning."""

    root: _Node
    n_labels: int


def plant(labels: Sequence[Sequence[int]], end: int) -> LabelTree:
    """The tree of labels given as token ids. Raises BadInput where there are none or two are the same."""
    if not labels:
        raise BadInput("there are no labels to choose from")
    root = _Node()
    for index, ids in enumerate(labels):
        node = root
        node.labels.append(index)
        for token in (*ids, end):
            node = node.children.setdefault(token, _Node())
            node.labels.append(index)
        if len(node.labels) > 1:
            raise BadInput(f"labels {node.labels[0] + 1} and {index + 1} are the same to the model's tokenizer")
    return LabelTree(root, len(labels))


def weigh(tree: LabelTree, fork: Fork) -> FloatArray:
    """The probabilities (k,) of the labels, sum 1: those of sampling token by token among what a label can go on with.

    That is the product, along the label's path, of each token's probability renormalised over the tokens that the tree
    allows there; a token without an alternative has probability 1 and costs no look.
    """
    probabilities = np.zeros(tree.n_labels)
    todo: list[tuple[_Node, tuple[int, ...], float]] = [(tree.root, (), 1.0)]
    while todo:
        node, path, reached = todo.pop()
        while len(node.children) == 1:
            (token, node) = next(iter(node.children.items()))
            path = (*path, token)
        if not node.children:
            probabilities[node.labels[0]] = reached
        elif reached < _NEGLIGIBLE:
            probabilities[node.labels] = reached / len(node.labels)
        else:
            tokens = tuple(node.children)
            shares = fork(path, tokens)
            for token, share in zip(tokens, shares, strict=True):
                todo.append((node.children[token], (*path, token), reached * float(share)))
    total: float = probabilities.sum()
    return probabilities / total


def chosen_label(
    labels: Sequence[str], probabilities: FloatArray, temperature: float, seed: int, n_input: int, latency_s: float
) -> Generated:
    """The answer: the likeliest label, or one drawn where `temperature` is above 0."""
    chosen = draw(probabilities, temperature, np.random.default_rng(seed))
    logprob = np.log(max(float(probabilities[chosen]), _TINY))
    label = labels[chosen]
    return Generated(label, (label,), np.array([logprob]), "stop", n_input, 1, latency_s, probabilities)


def draw(probabilities: FloatArray, temperature: float, draws: np.random.Generator) -> int:
    """The likeliest index at temperature 0; otherwise one drawn with probability proportional to p^(1 / temperature)."""
    if temperature == 0:
        return int(np.argmax(probabilities))
    logits = np.log(np.maximum(probabilities, _TINY)) / temperature
    weights = np.exp(logits - logits.max())
    return int(draws.choice(len(weights), p=weights / weights.sum()))
