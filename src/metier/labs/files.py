"""A lab's calls as a file, with the damage that real logs carry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

_BLOCK = 2_000


@dataclass(frozen=True)
class Written:
    """What a file holds: calls that can be read and lines that cannot."""

    path: Path
    n_calls: int
    n_bad: int


def write_jsonl(path: Path, records: Iterable[dict[str, Any]], bad_every: int = 0) -> Written:
    """Write one record a line; after every `bad_every` records (0: never) stands a line that an importer must refuse.

    The kinds of damage take turns: a line cut off, a call that failed, a call without messages, one without an answer, and
    bytes that are no text.
    """
    n_calls = n_bad = 0
    lines: list[bytes] = []
    with path.open("wb") as file:
        for record in records:
            lines.append(orjson.dumps(record))
            n_calls += 1
            if bad_every and n_calls % bad_every == 0:
                lines.append(_damaged(record, n_bad))
                n_bad += 1
            if len(lines) >= _BLOCK:
                file.writelines(_ended(lines))
                lines.clear()
        file.writelines(_ended(lines))
    return Written(path, n_calls, n_bad)


def _ended(lines: list[bytes]) -> Iterator[bytes]:
    return (line + b"\n" for line in lines)


def _damaged(record: dict[str, Any], turn: int) -> bytes:
    bad = {**record, "id": f"{record.get('id', 'bad')}-bad"}
    line = orjson.dumps(bad)
    match turn % 5:
        case 0:
            return line[: len(line) // 2]
        case 1:
            return orjson.dumps(
                {**bad, "response": {"status_code": 500, "body": {"error": {"message": "server error"}}}}
            )
        case 2:
            return orjson.dumps({**bad, "request": {"model": "unknown"}})
        case 3:
            return orjson.dumps({**bad, "response": {"choices": []}})
        case _:
            return b"\x00\xff\xfe" + line[3:40]
