"""A GGUF file's header, read in one pass, and the file again without its tokenizer.

The form (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): "GGUF", version, number of tensors, number of keys;
the keys with their values; for each tensor its name, shape, type and offset; padding; the tensors' data. Little-endian.
Libraries read arrays of a quarter of a million tokens element by element through mapped arrays, several times over: most of
a minute and a gigabyte of memory, where one pass over the bytes takes a second.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from metier.errors import BadInput

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
# Value types by number: struct's letter and numpy's name; 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_F32 = 0  # the type of a tensor
_DEFAULT_ALIGNMENT = 32
_LIMIT = 1 << 31  # no header has as many keys, tensors or tokens: a larger number is damage, not a loop to run
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Header:
    """`values` by key; `spans` of each key with its value in the file's bytes; `tensors` by name: shape, type and offset in
    the data; where tensor entries and data begin."""

    path: Path
    version: int
    values: Mapping[str, Any]
    spans: Mapping[str, tuple[int, int]]
    tensors: Mapping[str, tuple[tuple[int, ...], int, int]]
    infos: tuple[int, int]
    data_start: int


def read_header(path: Path) -> Header:
    """Read a file's header. Raises BadInput where it is no GGUF file, or ends before its header or its data begin."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise BadInput(f"{path} is not a GGUF file.")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            try:
                header = _parse(path, data)
            except (struct.error, IndexError, OverflowError, UnicodeDecodeError, KeyError) as problem:
                raise BadInput(f"{path} cannot be read as GGUF: its header is damaged or was cut short.") from problem
    if header.data_start > size:
        raise BadInput(f"{path} ends before its weights begin: it was cut short. Fetch it again.")
    return header


def write_without_tokenizer(header: Header, target: Path, extra: Mapping[str, int]) -> None:
    """Copy the file but for its keys tokenizer.*, with `extra` unsigned numbers put in; offsets of tensors stay valid."""
    kept = [span for key, span in header.spans.items() if not key.startswith("tokenizer.")]
    with header.path.open("rb") as source, target.open("wb") as out:
        out.write(_MAGIC + struct.pack("<IQQ", header.version, len(header.tensors), len(kept) + len(extra)))
        for begin, end in (*kept, header.infos):
            if (begin, end) == header.infos:
                for key, value in extra.items():
                    name = key.encode()
                    out.write(struct.pack("<Q", len(name)) + name + struct.pack("<II", _UINT32, value))
            source.seek(begin)
            out.write(source.read(end - begin))
        out.write(b"\0" * (-out.tell() % _alignment(header.values)))
        source.seek(header.data_start)
        _copy(source, out)


def read_floats(header: Header, name: str) -> npt.NDArray[np.float32]:
    """A small tensor (n,) of 32-bit floats. Raises BadInput for one of another type, or that lies beyond the file's end."""
    shape, kind, offset = header.tensors[name]
    n = prod(shape)
    with header.path.open("rb") as file:
        file.seek(header.data_start + offset)
        data = file.read(4 * n)
    if kind != _F32 or len(data) != 4 * n:
        raise BadInput(f"{header.path} is damaged: its tensor {name} cannot be read.")
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def _copy(source: BinaryIO, out: BinaryIO) -> None:
    while block := source.read(_BLOCK_BYTES):
        out.write(block)


def _parse(path: Path, data: mmap) -> Header:
    version, n_tensors, n_keys = struct.unpack_from("<IQQ", data, 4)
    if version not in _VERSIONS or max(n_tensors, n_keys) > _LIMIT:
        raise BadInput(f"{path} is GGUF of version {version}; versions {_VERSIONS[0]} and {_VERSIONS[1]} can be read.")
    at = 24
    values: dict[str, Any] = {}
    spans: dict[str, tuple[int, int]] = {}
    for _ in range(n_keys):
        begin = at
        key, at = _string(data, at)
        (kind,) = struct.unpack_from("<I", data, at)
        values[key], at = _value(data, at + 4, kind)
        spans[key] = (begin, at)
    begin = at
    tensors = {}
    for _ in range(n_tensors):
        name, at = _string(data, at)
        (n_dimensions,) = struct.unpack_from("<I", data, at)
        *shape, kind, offset = struct.unpack_from(f"<{n_dimensions}QIQ", data, at + 4)
        tensors[name] = (tuple(shape), kind, offset)
        at += 4 + 8 * n_dimensions + 4 + 8
    start = at + -at % _alignment(values)
    return Header(path, version, values, spans, tensors, (begin, at), start)


def _string(data: mmap, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, at)
    end = at + 8 + length
    if end > len(data):
        raise IndexError(end)
    return data[at + 8 : end].decode("utf-8"), end


def _value(data: mmap, at: int, kind: int) -> tuple[Any, int]:
    if kind == _STRING:
        return _string(data, at)
    if kind == _ARRAY:
        return _array(data, at)
    letter = _SCALARS[kind]
    (value,) = struct.unpack_from(f"<{letter}", data, at)
    return value, at + struct.calcsize(f"<{letter}")


def _array(data: mmap, at: int) -> tuple[list[Any], int]:
    kind, length = struct.unpack_from("<IQ", data, at)
    at += 12
    if length > _LIMIT:
        raise OverflowError(length)
    if kind in _SCALARS:
        item = np.dtype(_SCALARS[kind]).newbyteorder("<")
        end = at + length * item.itemsize
        if end > len(data):
            raise IndexError(end)
        return np.frombuffer(data[at:end], dtype=item).tolist(), end
    several = []
    for _ in range(length):
        value, at = _value(data, at, kind)
        several.append(value)
    return several, at


def _alignment(values: Mapping[str, Any]) -> int:
    stated = values.get("general.alignment", _DEFAULT_ALIGNMENT)
    return stated if isinstance(stated, int) and stated > 0 else _DEFAULT_ALIGNMENT
