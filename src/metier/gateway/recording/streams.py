"""The journal as the ingester reads it: the streams below its root, and the lines of each from a position on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from metier.gateway.recording.counters import Counters
from metier.gateway.recording.journal import SUFFIX


class Portion(NamedTuple):
    """Lines read: those from number `first` on (each with its line end), `n_missing` lines that should stand before them
    and are not on disk, the bytes that all of it takes, and whether more can be read at once."""

    first: int
    lines: list[bytes]
    n_missing: int
    n_bytes: int
    has_more: bool = False

    @property
    def after(self) -> int:
        """The position once this is in the database."""
        return self.first + len(self.lines)


class Stream:
    """One worker's stream, read from line `position` on; lines before it are in the database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.position = 0
        self.n_missing = 0
        self.bytes_read = 0
        try:
            self.counters: Counters | None = Counters(folder)
        except OSError:
            self.counters = None  # damaged: the lines are all there is
        # Where the line with number `_at` begins.
        self._start: int | None = None
        self._offset = 0
        self._at = 0

    def is_alive(self) -> bool:
        """Whether its worker may append."""
        return self.counters is not None and self.counters.is_in_use()

    def seek(self, position: int) -> None:
        """Read on from this line."""
        self.position = position
        self._start = None

    def read(self, max_lines: int, max_bytes: int) -> Portion:
        """The next whole lines, at most so many (at least one where there is one). Empty where there is none (yet)."""
        starts = self._starts()
        if self._start is None or self._start not in starts:
            self._choose(starts)
        n_missing = 0
        while self._start is not None:
            lines, n_bytes = self._whole_lines(max_lines, max_bytes)
            if lines:
                first = self._at
                self._offset += n_bytes
                self._at += len(lines)
                if self._at <= self.position:
                    continue  # in the database already
                old = max(0, self.position - first)
                has_more = n_bytes > max_bytes // 2 or len(lines) == max_lines or self._start != starts[-1]
                return Portion(first + old, lines[old:], n_missing, sum(map(len, lines[old:])), has_more)
            following = next((start for start in starts if start > (self._start or 0)), None)
            if following is None:
                break
            # A later segment exists, so nothing more comes to this one. Where its last lines were lost, or stand in the
            # next as well, the number in the name says so.
            n_missing += max(0, following - max(self._at, self.position))
            self._start, self._offset, self._at = following, 0, following
        return Portion(self.position + n_missing, [], n_missing, 0)

    def advance(self, portion: Portion) -> None:
        """`portion` is in the database: go on after it, and remove segments that are done with."""
        self.position = portion.after
        self.n_missing += portion.n_missing
        self.bytes_read += portion.n_bytes
        for start in self._starts():
            if self._start is not None and start < self._start:
                _segment(self.folder, start).unlink(missing_ok=True)

    def torn_bytes(self) -> int:
        """Bytes after the last whole line: the beginning of one whose writing was cut off."""
        if self._start is None:
            return 0
        try:
            return max(0, _segment(self.folder, self._start).stat().st_size - self._offset)
        except FileNotFoundError:
            return 0

    def remove(self) -> None:
        """Everything is in the database, and nobody will write more."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        if self.counters is not None:
            self.counters.close()
            self.counters = None

    def _starts(self) -> list[int]:
        try:
            names = [path.stem for path in self.folder.glob(f"*{SUFFIX}")]
        except OSError:
            return []
        return sorted(int(name) for name in names if name.isdigit())

    def _choose(self, starts: list[int]) -> None:
        """The segment that holds line `position`, or the first one after it."""
        before = [start for start in starts if start <= self.position]
        self._start = before[-1] if before else next(iter(starts), None)
        self._offset, self._at = 0, self._start or 0

    def _whole_lines(self, max_lines: int, max_bytes: int) -> tuple[list[bytes], int]:
        assert self._start is not None
        try:
            with _segment(self.folder, self._start).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(self._offset)
                data = file.read(max_bytes)
                while b"\n" not in data and self._offset + len(data) < size:
                    # One line longer than a whole portion.
                    data += file.read(max_bytes)
        except FileNotFoundError:
            return [], 0
        end = data.rfind(b"\n") + 1
        lines = data[:end].split(b"\n")[:-1][:max_lines]
        return [line + b"\n" for line in lines], sum(map(len, lines)) + len(lines)


def find_streams(root: Path) -> Iterator[Path]:
    """Folders of streams, oldest first; those that a worker died in while making them are removed."""
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
    except FileNotFoundError:
        return
    for folder in folders:
        if folder.name.startswith("."):
            _remove_unfinished(folder)
        else:
            yield folder


def _remove_unfinished(folder: Path) -> None:
    try:
        counters = Counters(folder)
    except OSError:
        return  # being made, or not ours
    is_in_use = counters.is_in_use()
    counters.close()
    if not is_in_use:
        shutil.rmtree(folder, ignore_errors=True)


def _segment(folder: Path, start: int) -> Path:
    return folder / f"{start:015d}{SUFFIX}"
