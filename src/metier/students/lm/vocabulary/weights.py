"""Safetensors files as plain bytes: read without loading, written without holding more than one block in memory.

The form (https://github.com/huggingface/safetensors#format): eight bytes with the header's length, the header in JSON with
each tensor's `dtype`, `shape` and `data_offsets`, then the tensors' bytes, row-major and little-endian.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metier.errors import BadInput

Bytes = npt.NDArray[np.uint8]

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_BLOCK_BYTES = 1 << 24
_HEADER_LIMIT_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: `dtype` as the format names it ("BF16"), and where its bytes begin."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def n_items(self) -> int:
        return prod(self.shape)

    def data(self) -> Bytes:
        """Its bytes (n,), mapped, not read."""
        n_bytes = self.n_items * ITEM_BYTES[self.dtype]
        if n_bytes == 0:
            return np.zeros(0, dtype=np.uint8)
        return np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.offset, shape=(n_bytes,))

    def rows(self) -> Bytes:
        """The bytes of each row of a matrix (rows, bytes a row), mapped."""
        return self.data().reshape(self.shape[0], -1)


@dataclass(frozen=True)
class Outgoing:
    """A tensor to be written; `blocks` gives its bytes in order, in pieces of any size."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    blocks: Callable[[], Iterator[Bytes]]

    @property
    def n_bytes(self) -> int:
        return prod(self.shape) * ITEM_BYTES[self.dtype]


def read_header(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file by name. Raises BadInput for another kind of file, or one that was cut short."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 0 < length <= min(_HEADER_LIMIT_BYTES, size):
            raise BadInput(f"{path} is not a safetensors file.")
        try:
            header = json.loads(file.read(length))
        except ValueError as problem:
            raise BadInput(f"{path} is not a safetensors file: its header is not JSON.") from problem
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in ITEM_BYTES:
            raise BadInput(
                f"{path}: '{name}' is of type {entry['dtype']}; a base's weights have to be float32, bfloat16 or float16."
            )
        if 8 + length + entry["data_offsets"][1] > size:
            raise BadInput(f"{path} ends before '{name}' does: the file was cut short. Fetch it again.")
        begin = 8 + length + entry["data_offsets"][0]
        found[name] = Stored(path, name, entry["dtype"], tuple(entry["shape"]), begin)
    return found


def read_tensors(folder: Path) -> dict[str, Stored]:
    """The tensors of a model's folder, in one file or in shards. Raises BadInput where it holds no safetensors."""
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise BadInput(f"{folder} holds no .safetensors; weights in other forms can run code and are refused.")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = json.loads(index.read_text(encoding="utf-8")).get("weight_map", {})
        paths = [folder / name for name in sorted(set(named.values()))]
        if missing := [path.name for path in paths if not path.is_file()]:
            raise BadInput(f"{folder} lacks {', '.join(missing)}, which its index names. Fetch it again.")
    elif (folder / "model.safetensors").is_file():
        paths = [folder / "model.safetensors"]
    found: dict[str, Stored] = {}
    for path in paths:
        found |= read_header(path)
    return found


def write_safetensors(target: Path, tensors: Sequence[Outgoing]) -> None:
    """Write the tensors to one file, block by block."""
    header: dict[str, Mapping[str, object]] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.n_bytes],
        }
        offset += tensor.n_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with target.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for tensor in tensors:
            for block in tensor.blocks():
                file.write(np.ascontiguousarray(block).data)


def unchanged(tensor: Stored) -> Outgoing:
    """The tensor as it is; half precision becomes float32, whose range no gradient leaves."""
    if tensor.dtype in ("F32", "BF16"):
        return Outgoing(tensor.name, tensor.dtype, tensor.shape, lambda: _in_blocks(tensor.data()))
    numpy_type = {"F16": np.float16, "F64": np.float64}[tensor.dtype]

    def widened() -> Iterator[Bytes]:
        for block in _in_blocks(tensor.data()):
            yield block.view(numpy_type).astype(np.float32).view(np.uint8)

    return Outgoing(tensor.name, "F32", tensor.shape, widened)


def chosen_rows(tensor: Stored, rows: npt.NDArray[np.int64]) -> Outgoing:
    """Some rows of a matrix, in the order given."""
    source = tensor.rows()
    at_once = max(1, _BLOCK_BYTES // max(1, source.shape[1]))

    def blocks() -> Iterator[Bytes]:
        for start in range(0, len(rows), at_once):
            yield source[rows[start : start + at_once]]

    return Outgoing(tensor.name, tensor.dtype, (len(rows), *tensor.shape[1:]), blocks)


def replaced_rows(base: Stored, rows: npt.NDArray[np.int64], new: Stored) -> Outgoing:
    """The base's matrix with row `rows[i]` replaced by row i of `new`, in the type of `new`."""
    place = np.full(base.shape[0], -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    old, tuned = base.rows(), new.rows()
    at_once = max(1, _BLOCK_BYTES // max(1, old.shape[1]))

    def blocks() -> Iterator[Bytes]:
        for start in range(0, base.shape[0], at_once):
            block = _as_type(old[start : start + at_once], base.dtype, new.dtype)
            here = place[start : start + at_once]
            block[here >= 0] = tuned[here[here >= 0]]
            yield block

    return Outgoing(base.name, new.dtype, base.shape, blocks)


def _as_type(block: Bytes, given: str, wanted: str) -> Bytes:
    """A copy of rows (n, bytes a row) in another type; to bfloat16 by rounding to the nearest, ties to even."""
    if given == wanted:
        return np.array(block)
    if given == "BF16":
        values = (np.ascontiguousarray(block).view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.ascontiguousarray(block).view({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[given]).astype(np.float32)
    if wanted == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").view(np.uint8)
    return values.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[wanted]).view(np.uint8)


def _in_blocks(data: Bytes) -> Iterator[Bytes]:
    for start in range(0, len(data), _BLOCK_BYTES):
        yield data[start : start + _BLOCK_BYTES]
