from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from metier.labs.files import write_jsonl
from metier.labs.support import simulate


def readable(line: bytes) -> bool:
    try:
        record = orjson.loads(line)
        return bool(record["request"]["messages"] and record["response"]["choices"][0]["message"]["content"])
    except (orjson.JSONDecodeError, KeyError, IndexError):
        return False


@pytest.mark.parametrize(("bad_every", "n_bad"), [(0, 0), (100, 10), (7, 142)])
def test_damage_is_counted(tmp_path: Path, bad_every: int, n_bad: int) -> None:
    written = write_jsonl(tmp_path / "log.jsonl", simulate(1_000), bad_every)
    lines = written.path.read_bytes().splitlines()
    assert (written.n_calls, written.n_bad) == (1_000, n_bad)
    assert len(lines) == 1_000 + n_bad
    assert sum(map(readable, lines)) == 1_000


def test_good_lines_are_the_calls(tmp_path: Path) -> None:
    written = write_jsonl(tmp_path / "log.jsonl", simulate(300))
    assert [orjson.loads(line) for line in written.path.read_bytes().splitlines()] == list(simulate(300))
