"""Reads one large JSON document piece by piece: the elements of its list, or of the lists in its outermost object."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

from metier.sources.outcomes import Rejected
from metier.sources.readers import HEAD_BYTES, Item
from metier.sources.streams import CHUNK_BYTES, DAMAGED

_MARKS = re.compile(rb'["\[\]{},]')
# Commas part elements on one level only; deeper ones, the most of them, need not be looked at.
_INNER_MARKS = re.compile(rb'["\[\]{}]')
_STRING_MARKS = re.compile(rb'["\\]')
_SKIPPED_MARK = re.compile(rb".", re.DOTALL)


class _Splitter:
    """Follows strings and brackets over chunks; hands out each element as soon as it is complete."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._level: int | None = None
        self._key = bytearray()
        self._reads_key = False
        self._element = bytearray()
        self._size = 0
        self._line = 1
        self._start_line = 1
        self.n_elements = 0

    def feed(self, chunk: bytes) -> Iterator[Item]:
        at = 0
        while at < len(chunk):
            mark = self._pattern().search(chunk, at)
            end = len(chunk) if mark is None else mark.start()
            self._keep(chunk[at:end])
            if mark is None:
                return
            at = end + 1
            yield from self._mark(chunk[end:at])

    def _pattern(self) -> re.Pattern[bytes]:
        if self._escaped:
            return _SKIPPED_MARK
        if self._in_string:
            return _STRING_MARKS
        return _MARKS if self._level == self._depth else _INNER_MARKS

    def _keep(self, data: bytes) -> None:
        self._line += data.count(b"\n")
        if self._reads_key:
            self._key += data[:HEAD_BYTES]
        if self._level is None or not data:
            return
        if not self._element:
            lead = len(data) - len(data.lstrip())
            self._start_line = self._line - data.count(b"\n") + data[:lead].count(b"\n")
            data = data[lead:]
        self._size += len(data)
        room = self._limit + 1 - len(self._element)
        if room > 0:
            self._element += data[:room]

    def _mark(self, mark: bytes) -> Iterator[Item]:
        if self._escaped:
            self._escaped = False
            self._keep(mark)
        elif self._in_string:
            self._string_mark(mark)
        elif mark == b'"':
            self._in_string = True
            if self._depth == 1 and self._level is None:
                self._key = bytearray()
                self._reads_key = True
            self._keep(mark)
        elif mark in b"[{":
            self._open(mark)
        elif mark in b"]}":
            yield from self._close(mark)
        else:
            yield from self._emit()

    def _string_mark(self, mark: bytes) -> None:
        self._keep(mark)
        if mark == b"\\":
            self._escaped = True
        else:
            self._in_string = False
            self._reads_key = False

    def _open(self, mark: bytes) -> None:
        starts = self._level is None and mark == b"[" and self._depth <= 1
        if not starts:
            self._keep(mark)
        self._depth += 1
        if starts:
            self._level = self._depth

    def _close(self, mark: bytes) -> Iterator[Item]:
        if self._level == self._depth:
            yield from self._emit()
            self._level = None
        else:
            self._keep(mark)
        self._depth = max(0, self._depth - 1)

    def _emit(self) -> Iterator[Item]:
        data, size = bytes(self._element).rstrip(), self._size
        self._element = bytearray()
        self._size = 0
        if not data:
            return
        self.n_elements += 1
        if size > self._limit:
            detail = f"an element of {size:,} bytes; the limit is max_line_bytes = {self._limit:,}"
            problem = Rejected("line too long", detail)
            yield Item(self._start_line, data[:HEAD_BYTES], size, problem=problem, key=self._name())
        else:
            yield Item(self._start_line, data, size, key=self._name())

    def _name(self) -> str | None:
        if not self._key:
            return None
        try:
            return str(json.loads(bytes(self._key) if self._key.endswith(b'"') else bytes(self._key) + b'"'))
        except ValueError:
            return None

    def rest(self) -> Iterator[Item]:
        if self._depth > 0:
            data = bytes(self._element)
            problem = Rejected("truncated JSON", "the document ends before its last bracket")
            line = self._start_line if data else self._line
            yield Item(line, data[:HEAD_BYTES], self._size, problem=problem, key=self._name())


def read_document(stream: io.BufferedReader, max_line_bytes: int) -> Iterator[Item]:
    """The elements of the document's lists; `key` names the list where the document is an object. `line` is where the
    element begins."""
    splitter = _Splitter(max_line_bytes)
    while True:
        try:
            chunk = stream.read1(CHUNK_BYTES)
        except DAMAGED as problem:
            yield Item(1, b"", 0, problem=Rejected("damaged gzip", f"nothing can be read from here on: {problem}"))
            return
        if not chunk:
            yield from splitter.rest()
            return
        yield from splitter.feed(chunk)
