"""Progress on the terminal: a bar for whatever takes longer than two seconds; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from metier.progress import Progress as ProgressProtocol

_SHOW_AFTER_S = 2.0
_LINE_EVERY_S = 15.0


@contextmanager
def bars(console: Console) -> Iterator[ProgressProtocol]:
    """A Progress to hand to a verb; the bars vanish when the work is done."""
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as display:
        yield _Bars(display)


@dataclass
class _Bars:
    display: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)

    def __call__(self, description: str, done: int, total: int | None) -> None:
        begun = self.started.setdefault(description, time.monotonic())
        if description not in self.tasks:
            self.tasks[description] = self.display.add_task(description, total=total, visible=False)
        late = time.monotonic() - begun >= _SHOW_AFTER_S
        finished = total is not None and done >= total
        self.display.update(self.tasks[description], completed=done, total=total, visible=late and not finished)
        if finished:
            self.display.remove_task(self.tasks.pop(description))
            del self.started[description]


@dataclass
class _Lines:
    console: Console
    said: dict[str, float] = field(default_factory=dict)

    def __call__(self, description: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if description not in self.said:
            self.said[description] = now - _LINE_EVERY_S + _SHOW_AFTER_S
        if now - self.said[description] >= _LINE_EVERY_S:
            self.said[description] = now
            self.console.print(f"  {description}: {done:,}" + (f" of {total:,}" if total else ""), style="dim")
