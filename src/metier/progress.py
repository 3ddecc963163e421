"""How long work tells whoever waits how far it is: a call per step, which the command line turns into a bar."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def __call__(self, description: str, done: int, total: int | None) -> None:
        """`done` of `total` steps of `description` are finished; `total` is None where it is not known."""
        ...


def silent(description: str, done: int, total: int | None) -> None:
    """The Progress that shows nothing."""
