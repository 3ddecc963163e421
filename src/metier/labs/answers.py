"""What the frontier model is made to answer: mostly right, wrong the way a model is, in a form that is not always clean."""

from __future__ import annotations

from random import Random

from metier.labs.messages import Message, labels
from metier.labs.support_phrases import CONFUSABLE

# Error rates that together leave about 92% right, which is where frontier models stand on intent tasks of this size.
_WRONG = 0.055
_WRONG_WHERE_HARD = 0.25
_NEAR_MISS = 0.85
# Shares of answers that say more than the label, and that name one which does not exist.
_WORDY = 0.006
_INVENTED = 0.002
_INVENTIONS = ("general_inquiry", "shipping_issue", "billing_question")


def label_answer(message: Message, rng: Random) -> str:
    """The label the frontier answers."""
    label = message.truth
    if rng.random() < (_WRONG_WHERE_HARD if message.hard else _WRONG):
        near = CONFUSABLE[label]
        label = _pick(near, rng) if rng.random() < _NEAR_MISS else _pick(labels(), rng)
    form = rng.random()
    if form < _INVENTED:
        return _pick(_INVENTIONS, rng)
    if form < _INVENTED + _WORDY:
        return _pick((f"Label: {label}", f'"{label}"', label.upper(), f"{label}."), rng)
    return label


def _pick(options: tuple[str, ...], rng: Random) -> str:
    return options[int(rng.random() * len(options))]
