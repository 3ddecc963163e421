"""Inputs to answer, from a file or stdin: text lines, JSONL or CSV, read as a stream."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

import orjson

from metier.errors import BadInput, NotFound

InputFormat = Literal["auto", "text", "jsonl", "csv"]

_MOST_SIGNS = 2**31 - 1
_KEYS = ("input", "text", "query", "question", "prompt")


def read_inputs(path: Path) -> list[str]:
    """All inputs of a file."""
    with opened(path) as file:
        return list(inputs_of(file, "auto", str(path)))


@contextmanager
def opened(path: Path | None) -> Iterator[TextIO]:
    """The file at `path`, or stdin where it is None or '-'."""
    if path is None or str(path) == "-":
        yield sys.stdin
        return
    try:
        file = path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield file


def inputs_of(file: TextIO, form: InputFormat, name: str) -> Iterator[str]:
    """The inputs of an open file, one at a time. Raises BadInput naming file and line."""
    form = _form_of(name) if form == "auto" else form
    try:
        if form == "csv":
            yield from _csv(file, name)
        else:
            yield from _lines(file, name, form)
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: not UTF-8 text ({error.reason} at byte {error.start})") from error


def batched(inputs: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lists of at most `size` inputs."""
    iterator = iter(inputs)
    while batch := list(islice(iterator, size)):
        yield batch


def _form_of(name: str) -> InputFormat:
    suffix = Path(name).suffix.lower()
    return "csv" if suffix == ".csv" else "jsonl" if suffix in (".jsonl", ".ndjson") else "text"


def _lines(file: TextIO, name: str, form: InputFormat) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        yield _of_json(text, name, number) if form == "jsonl" else text


def _of_json(line: str, name: str, number: int) -> str:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{name} line {number}: not JSON ({error}); received {line[:80]!r}") from error
    if isinstance(record, str):
        return record
    found = next((record[key] for key in _KEYS if key in record), None) if isinstance(record, dict) else None
    if not isinstance(found, str):
        raise BadInput(f"{name} line {number}: needs a text under one of {', '.join(_KEYS)}; received {line[:80]!r}")
    return found


def _csv(file: TextIO, name: str) -> Iterator[str]:
    csv.field_size_limit(_MOST_SIGNS)  # the csv module's own is too low for a prompt
    reader = csv.DictReader(file)
    column = next((key for key in reader.fieldnames or () if key.strip().lower() in _KEYS), None)
    if column is None:
        raise BadInput(f"{name} line 1: no column is called one of {', '.join(_KEYS)}; found {reader.fieldnames}")
    for row in reader:
        if row[column]:
            yield row[column]
