"""Opens a file as a stream of UTF-8 bytes, in constant memory: gzip is unpacked, UTF-16 and other encodings are recoded."""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metier.errors import BadInput

CHUNK_BYTES = 1 << 20
# zlib's sign for "with gzip's header and checksum".
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
GZIP_MAGIC = b"\x1f\x8b"
# What reading a gzip file that was cut off or altered may raise.
DAMAGED = (EOFError, zlib.error)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# UTF-32 has no way to carry a wrong code point through: it is replaced by U+FFFD.
_ERRORS = {"utf-16": "surrogatepass", "utf-16-le": "surrogatepass", "utf-16-be": "surrogatepass", "utf-32": "replace"}
_HEAD_BYTES = 512
# Latin text in UTF-16 has a zero in every second byte; a third tolerates other scripts and stays far above stray NULs.
_ZERO_SHARE = 1 / 3


class _Limited(io.RawIOBase):
    """The first `limit` bytes of a file: a log that grows while it is read ends where it ended when it was hashed."""

    def __init__(self, path: Path, limit: int, on_read: Callable[[int], None]) -> None:
        self._file = path.open("rb", buffering=0)
        self._left = limit
        self._limit = limit
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)[: self._left]
        n = self._file.readinto(view) or 0 if view else 0
        self._left -= n
        self._on_read(self._limit - self._left)
        return n

    def close(self) -> None:
        self._file.close()
        super().close()


class _Recoded(io.RawIOBase):
    """Another encoding as UTF-8. What cannot be decoded becomes bytes that are not UTF-8: its line is quarantined."""

    def __init__(self, stream: io.BufferedReader, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(_ERRORS.get(encoding, "surrogateescape"))
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)
        while not self._ready and not self._ended:
            chunk = self._stream.read1(CHUNK_BYTES)
            self._ended = not chunk
            try:
                text = self._decoder.decode(chunk, final=self._ended)
            except UnicodeDecodeError:
                self._decoder.reset()
                text = "\udcff"
            self._ready = text.encode("utf-8", "surrogatepass")
        n = min(len(view), len(self._ready))
        view[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def close(self) -> None:
        self._stream.close()
        super().close()


def _nothing(_position: int) -> None:
    """Whoever only looks at a file's beginning needs no progress."""


def open_stream(
    path: Path, limit: int, encoding: str | None = None, on_read: Callable[[int], None] = _nothing
) -> io.BufferedReader:
    """The first `limit` bytes of the file, unpacked and as UTF-8 without byte order mark. `on_read` gets the position in
    the file. Raises BadInput for an encoding that Python does not know."""
    raw = _buffered(_Limited(path, limit, on_read))
    if raw.peek(2)[:2] == GZIP_MAGIC:
        raw = _buffered(_Unzipped(raw))
    try:
        name = codecs.lookup(encoding).name if encoding else _encoding(raw)
    except LookupError as problem:
        raw.close()
        raise BadInput(f"{path}: unknown encoding {encoding!r}; try utf-8, utf-16, cp1252 or latin-1") from problem
    except DAMAGED:
        # The damage is at the very beginning; reading meets it again and reports it with its place.
        name = "utf-8"
    if name != "utf-8":
        return _buffered(_Recoded(raw, name))
    try:
        if raw.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
            raw.read(len(codecs.BOM_UTF8))
    except DAMAGED:
        pass
    return raw


def _buffered(raw: io.RawIOBase) -> io.BufferedReader:
    return io.BufferedReader(raw, CHUNK_BYTES)


class _Unzipped(io.RawIOBase):
    """A gzip stream of one or more members, unpacked. Gives all that can be unpacked before it raises one of DAMAGED
    (the gzip module would lose up to a buffer's worth)."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._member: Any = None
        self._packed = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)
        while True:
            self._packed = self._packed or self._stream.read1(CHUNK_BYTES)
            if self._member is None:
                # Zeros after a member are padding.
                self._packed = self._packed.lstrip(b"\x00")
                if not self._packed and not self._stream.peek(1):
                    return 0
                self._member = zlib.decompressobj(_GZIP_WINDOW)
            if not self._packed:
                raise EOFError("it ends in the middle")
            data = self._member.decompress(self._packed, len(view))
            self._packed = self._member.unconsumed_tail
            if self._member.eof:
                self._packed, self._member = self._member.unused_data, None
            if data:
                view[: len(data)] = data
                return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _encoding(stream: io.BufferedReader) -> str:
    head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    half = len(head) // 2
    if half:
        if head[1::2].count(0) > half * _ZERO_SHARE and head[::2].count(0) == 0:
            return "utf-16-le"
        if head[::2].count(0) > half * _ZERO_SHARE and head[1::2].count(0) == 0:
            return "utf-16-be"
    return "utf-8"
