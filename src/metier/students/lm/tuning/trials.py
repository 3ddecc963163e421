"""Steps that may be too large for memory, written down while they are tried: a system that is out of memory kills without
a word, and only the next process can tell."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

# One kill may be anybody's, and goes on to the same figures bit for bit; a second one in the same step is heeded.
_DEATHS = 2
_ASKED_TO_END = ("SIGTERM", "SIGHUP")


@dataclass(frozen=True)
class Trial:
    """A step, with up to `tokens` of it in the network at once, of which `longest` are one example's. What `more` it has to
    hold counts up."""

    step: int
    tokens: int
    longest: int
    more: int = 0

    def is_within(self, shown: Trial) -> bool:
        """Whether memory that was enough for `shown` is enough for this one."""
        return self.tokens <= shown.tokens and self.longest <= shown.longest and self.more <= shown.more


class Trials:
    """The trials of one training, in the file `path`: written before a step that is larger than all that this process has
    been through, and struck out after it, whatever was raised. So a trial that a new process finds is one in which the last
    one was killed; Ctrl-C and SIGTERM are no such end.

    `most_tokens` is what earlier deaths leave to go through at once (0: no bound), `notes` what is to be said of them.
    """

    def __init__(self, path: Path, recipe: str) -> None:
        self._path, self._recipe = path, hashlib.sha256(recipe.encode()).hexdigest()
        self._shown = Trial(0, 0, 0)
        self._trying: Trial | None = None
        found = self._read()
        self.most_tokens: int = found.get("most_tokens", 0)
        self.notes: tuple[str, ...] = tuple(found.get("notes", ()))
        self._died, self._deaths = _trial(found.get("died")), int(found.get("deaths", 0))
        last = _trial(found.get("trying"))
        if last is not None:
            self._deaths = self._deaths + 1 if last == self._died else 1
            self._died = last

    @property
    def too_much(self) -> Trial | None:
        """The trial that was the end of too many processes."""
        return self._died if self._deaths >= _DEATHS else None

    def bound(self, most_tokens: int, note: str) -> None:
        """From now on no more than this at once, in this process and those that follow."""
        self.most_tokens, self.notes = most_tokens, (*self.notes, note)
        self.forget()

    def forget(self) -> None:
        """Count deaths anew."""
        self._died, self._deaths = None, 0
        self._write()

    @contextmanager
    def of(self, trial: Trial) -> Iterator[None]:
        """Around a step."""
        if trial.is_within(self._shown):
            yield
            return
        self._try(trial)
        with _ending_in_order(self._strike_out):
            try:
                yield
                self._pass(trial)
            finally:
                self._strike_out()

    def shrink(self, tokens: int) -> None:
        """The step under way goes on with this many tokens at once."""
        if self._trying is not None:
            self._try(replace(self._trying, tokens=tokens))

    def clear(self) -> None:
        """The training is done."""
        self._path.unlink(missing_ok=True)

    def _try(self, trial: Trial) -> None:
        self._trying = trial
        self._write()

    def _pass(self, trial: Trial) -> None:
        shown = self._shown
        self._shown = Trial(
            trial.step,
            max(trial.tokens, shown.tokens),
            max(trial.longest, shown.longest),
            max(trial.more, shown.more),
        )
        if self._died is not None and self._died.step == trial.step:
            self._died, self._deaths = None, 0

    def _strike_out(self) -> None:
        self._trying = None
        self._write()

    def _write(self) -> None:
        if not (self.most_tokens or self._trying or self._died):
            self.clear()
            return
        content = {
            "recipe": self._recipe,
            "most_tokens": self.most_tokens,
            "notes": list(self.notes),
            "trying": self._trying and asdict(self._trying),
            "died": self._died and asdict(self._died),
            "deaths": self._deaths,
        }
        # No fsync: what a killed process has written is there. And a disk that is full stops the training where something
        # is lost; this is not worth that.
        part = self._path.with_name(self._path.name + ".part")
        with suppress(OSError):
            try:
                part.write_text(json.dumps(content), encoding="utf-8")
                part.replace(self._path)
            finally:
                part.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if found.get("recipe") == self._recipe else {}


def _trial(found: dict[str, int] | None) -> Trial | None:
    return None if found is None else Trial(**found)


@contextmanager
def _ending_in_order(before: Callable[[], None]) -> Iterator[None]:
    """A process that is asked to end, and has no other answer to it, does `before` and ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: object) -> None:
        before()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    asked = [getattr(signal, name) for name in _ASKED_TO_END if hasattr(signal, name)]
    ours = [number for number in asked if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
