"""Cuts a stream into records, in constant memory and with line numbers: lines, CSV rows, elements of a JSON document."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from metier.sources.outcomes import Rejected
from metier.sources.streams import CHUNK_BYTES, DAMAGED

# Enough of a line that is too long to recognise it by.
HEAD_BYTES = 4_096
_DELIMITERS = (",", ";", "\t", "|")


class Item(NamedTuple):
    """One record as it stands in the file: `line` (1-based) where it begins, its bytes (the beginning of them where it is
    too long) and full size. `row` is set for CSV, `problem` where the bytes are no record at all, `key` in a document."""

    line: int
    data: bytes
    size_bytes: int
    row: dict[str, str] | None = None
    problem: Rejected | None = None
    key: str | None = None


Reader = Callable[[io.BufferedReader, int], Iterator[Item]]


def _too_long(line: int, head: bytes, size_bytes: int, limit: int) -> Item:
    problem = Rejected("line too long", f"{size_bytes:,} bytes; the limit is max_line_bytes = {limit:,}")
    return Item(line, head[:HEAD_BYTES], size_bytes, problem=problem)


def _damaged(line: int, problem: Exception) -> Item:
    return Item(line, b"", 0, problem=Rejected("damaged gzip", f"nothing can be read from here on: {problem}"))


def read_lines(stream: io.BufferedReader, max_line_bytes: int) -> Iterator[Item]:
    """One record a line; blank lines are none. A line over the limit is passed over without holding it in memory."""
    line = 0
    readline = stream.readline
    while True:
        line += 1
        try:
            data = readline(max_line_bytes + 1)
            if not data:
                return
            if len(data) > max_line_bytes and data[-1:] != b"\n":
                size_bytes = len(data) + _drain(stream)
                yield _too_long(line, data, size_bytes, max_line_bytes)
                continue
        except DAMAGED as problem:
            yield _damaged(line, problem)
            return
        stripped = data.strip()
        if stripped:
            yield Item(line, stripped, len(data))


def _drain(stream: io.BufferedReader) -> int:
    """Reads to the end of the line; how many bytes that was."""
    n = 0
    while data := stream.readline(CHUNK_BYTES):
        n += len(data)
        if data.endswith(b"\n"):
            break
    return n


class _OverlongError(Exception):
    """A CSV row has grown over the limit (a quote that never closes, or a huge line)."""


class _Rows:
    """Physical lines for the csv module, which joins those that a quoted field spans; keeps the current row's bytes."""

    def __init__(self, stream: io.BufferedReader, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self.line = 0
        self.first_line = 1
        self.parts: list[bytes] = []
        self.size_bytes = 0

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> str:
        data = self._stream.readline(self._limit + 1)
        if not data:
            raise StopIteration
        self.line += 1
        self.size_bytes += len(data)
        if len(data) > self._limit and not data.endswith(b"\n"):
            self.size_bytes += _drain(self._stream)
        if self.size_bytes > self._limit:
            self.parts.append(data[:HEAD_BYTES])
            raise _OverlongError
        self.parts.append(data)
        return data.decode("utf-8", "surrogateescape")

    def start(self) -> None:
        self.first_line = self.line + 1
        self.parts = []
        self.size_bytes = 0

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)


@contextmanager
def _field_limit(limit: int) -> Iterator[None]:
    # The csv module's limit is global, and too low for a prompt.
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def delimiter_of(header: str) -> str:
    """The delimiter that splits the header into most columns; the comma where none does."""
    return max(_DELIMITERS, key=lambda mark: (header.count(mark), mark == ","))


def read_csv(stream: io.BufferedReader, max_line_bytes: int) -> Iterator[Item]:
    """One record a row, named by the header; `line` is where the row begins, also where quoted fields hold line ends."""
    try:
        head = stream.peek(CHUNK_BYTES).split(b"\n", 1)[0]
    except DAMAGED as problem:
        yield _damaged(1, problem)
        return
    lines = _Rows(stream, max_line_bytes)
    reader = csv.reader(lines, delimiter=delimiter_of(head.decode("utf-8", "replace")), strict=True)
    names: list[str] | None = None
    with _field_limit(max_line_bytes):
        while True:
            lines.start()
            try:
                values = next(reader)
            except StopIteration:
                return
            except _OverlongError:
                yield _too_long(lines.first_line, lines.data, lines.size_bytes, max_line_bytes)
                continue
            except csv.Error as problem:
                yield Item(lines.first_line, lines.data, lines.size_bytes, problem=_csv_problem(problem, lines))
                continue
            except DAMAGED as problem:
                yield _damaged(lines.line + 1, problem)
                return
            if not values:
                continue
            if names is None:
                names = [_readable(name) for name in values]
                continue
            yield _row(names, values, lines)


def _readable(name: str) -> str:
    """A column's name without what no text may hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\x00", "\ufffd")


def _csv_problem(problem: csv.Error, lines: _Rows) -> Rejected:
    return Rejected("bad CSV row", f"{problem} (lines {lines.first_line} to {lines.line})")


def _row(names: list[str], values: list[str], lines: _Rows) -> Item:
    data = lines.data
    if len(values) != len(names):
        problem = Rejected("bad CSV row", f"{len(values)} fields where the header has {len(names)}")
    elif b"\x00" in data:
        problem = Rejected("NUL bytes", f"first at byte {data.index(0) + 1} of the row")
    else:
        wrong = _first_invalid(data)
        if wrong is None:
            return Item(lines.first_line, data, lines.size_bytes, dict(zip(names, values, strict=True)))
        detail = f"byte 0x{data[wrong]:02x} at byte {wrong + 1} of the row; see the encoding option"
        problem = Rejected("invalid UTF-8", detail)
    return Item(lines.first_line, data, lines.size_bytes, problem=problem)


def _first_invalid(data: bytes) -> int | None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as problem:
        return problem.start
    return None
