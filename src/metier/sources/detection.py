"""Finds out from a file's first records how it is cut into records and which source reads them."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from metier.errors import BadInput
from metier.sources.decoding import decode
from metier.sources.documents import read_document
from metier.sources.outcomes import Rejected
from metier.sources.readers import Item, Reader, delimiter_of, read_csv, read_lines
from metier.sources.registry import SOURCES
from metier.sources.streams import CHUNK_BYTES, DAMAGED, open_stream

SNIFFED_RECORDS = 50
READERS: dict[str, Reader] = {"lines": read_lines, "csv": read_csv, "document": read_document}
_CSV_SUFFIXES = (".csv", ".tsv")
_SHOWN = 120


@dataclass(frozen=True)
class Layout:
    """`format` is a key of SOURCES, `reader` one of READERS; `empty` where the file holds no record at all."""

    format: str
    reader: str
    empty: bool = False


def detect(
    path: Path,
    limit: int,
    max_line_bytes: int,
    format: str | None = None,
    encoding: str | None = None,
    columns: bool = False,
) -> Layout:
    """How to read the file. `format` overrides what its records look like; `columns` says that the user named the input
    and output columns, which only labelled records have. Raises BadInput where nothing matches, naming what was seen."""
    with open_stream(path, limit, encoding) as stream:
        try:
            head = stream.peek(CHUNK_BYTES)
        except DAMAGED as problem:
            raise BadInput(f"{path}: the gzip file cannot be unpacked: {problem}") from problem
        if columns and format is None:
            format = "records"
        if not head.strip():
            return Layout(format or "records", "lines", empty=not _more(stream))
        reader = _reader(path, head)
        items = list(islice(_sniffed(READERS[reader](stream, max_line_bytes)), SNIFFED_RECORDS))
    return Layout(format or _source(path, items), reader)


def _more(stream: io.BufferedReader) -> bool:
    """Whether anything but white space follows."""
    while chunk := stream.read1(CHUNK_BYTES):
        if chunk.strip():
            return True
    return False


def _sniffed(items: Iterator[Item]) -> Iterator[Item]:
    """Items until as many bytes have been seen as a few chunks hold."""
    n = 0
    for item in items:
        yield item
        n += item.size_bytes
        if n > 4 * CHUNK_BYTES:
            return


def _reader(path: Path, head: bytes) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    suffix = suffixes[-1] if suffixes else ""
    if suffix in _CSV_SUFFIXES:
        return "csv"
    text = head.lstrip()
    if text.startswith(b"["):
        return "document"
    if text.startswith(b"{"):
        return "document" if _is_document(text, suffix) else "lines"
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace")
    # Broken JSON in the first line also holds commas, but in a table the names stand without braces.
    return "csv" if "{" not in first and first.count(delimiter_of(first)) > 0 else "lines"


def _is_document(text: bytes, suffix: str) -> bool:
    lines = [line for line in text.split(b"\n") if line.strip()]
    first = decode(lines[0])
    if isinstance(first, dict):
        # A document on a single line: its lists hold the records, and the object itself is none.
        return len(lines) == 1 and not _recognised(first) and any(isinstance(value, list) for value in first.values())
    if suffix == ".json":
        return True
    # Pretty-printed, the first line is a lone brace; any other first line is a record that was cut off.
    return lines[0].strip() == b"{" and not any(isinstance(decode(line), dict) for line in lines[1:SNIFFED_RECORDS])


def _recognised(record: object) -> list[str]:
    return [name for name, source in SOURCES.items() if source.recognises(record)]


def _source(path: Path, items: list[Item]) -> str:
    votes: Counter[str] = Counter()
    for item in items:
        record = item.row if item.row is not None else Rejected("") if item.problem else decode(item.data)
        if not isinstance(record, Rejected):
            # Only the most particular source counts: openai-chat would also read openai-log's lines.
            votes.update(_recognised(record)[:1])
    if votes:
        return votes.most_common(1)[0][0]
    raise BadInput(
        f"{path}: no known format. {_seen(items)} Known formats: {', '.join(SOURCES)}; name one with --format, or name the "
        "columns of labelled records with --input-column and --output-column."
    )


def _seen(items: list[Item]) -> str:
    if not items:
        return "The file has a header and no rows, or lists without elements."
    item = items[0]
    if item.problem is not None:
        return f"Line {item.line}: {item.problem.reason} ({item.problem.detail})."
    record = item.row if item.row is not None else decode(item.data)
    if isinstance(record, dict):
        return f"Line {item.line} has the keys {', '.join(map(str, list(record)[:15])) or '(none)'}."
    beginning = repr(item.data[:_SHOWN].decode("utf-8", "replace"))
    if isinstance(record, Rejected):
        return f"Line {item.line}: {record.reason} ({record.detail}); it begins {beginning}."
    return f"Line {item.line} holds a {type(record).__name__}: {beginning}."
