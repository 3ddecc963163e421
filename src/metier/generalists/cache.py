"""Bought answers, kept on disk as they come: a killed run resumes, and a re-run costs nothing.

One SQLite file in WAL mode with two tables: `answers` (what was answered) and `spending` (what every attempt cost, failed
ones too), both by the key of the request. It holds requests only as hashes, and no keys or addresses.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metier.errors import BadArtefact, GeneralistFailed
from metier.generalists.protocol import FailureKind, GeneralistAnswer

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT, failure TEXT,
    input_tokens INTEGER, output_tokens INTEGER, latency_s REAL, cost_usd REAL, n_attempts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spending (key TEXT NOT NULL, cost_usd REAL NOT NULL, outcome TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS spending_by_key ON spending (key);
"""
_COLUMNS = "text, failure, input_tokens, output_tokens, latency_s, cost_usd, n_attempts"
_LOOK_UP_SIZE = 500  # below SQLite's oldest limit of 999 variables a statement


def request_key(server: str, model: str, messages: Sequence[Mapping[str, str]], parameters: Mapping[str, Any]) -> str:
    """Hash of everything that shapes an answer. The server belongs to it: two servers may mean two models by one name."""
    recipe = {"server": server, "model": model, "messages": list(messages), "parameters": dict(parameters)}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class AnswerCache:
    """Use through `open_cache`. One writer at a time is expected, more are waited for."""

    connection: sqlite3.Connection
    path: str

    def get(self, keys: Mapping[str, str]) -> dict[str, GeneralistAnswer]:
        """The kept answers of `keys` (question id -> request key), by question id."""
        found: dict[str, tuple[Any, ...]] = {}
        unique = list(dict.fromkeys(keys.values()))
        for start in range(0, len(unique), _LOOK_UP_SIZE):
            part = unique[start : start + _LOOK_UP_SIZE]
            marks = ",".join("?" * len(part))
            for row in self.connection.execute(f"SELECT key, {_COLUMNS} FROM answers WHERE key IN ({marks})", part):
                found[row[0]] = row[1:]
        return {id_: _answer(id_, found[key]) for id_, key in keys.items() if key in found}

    def spent_usd(self, keys: Sequence[str]) -> float:
        """What all attempts at these requests have cost so far, over all runs."""
        unique, total = list(dict.fromkeys(keys)), 0.0
        for start in range(0, len(unique), _LOOK_UP_SIZE):
            part = unique[start : start + _LOOK_UP_SIZE]
            marks = ",".join("?" * len(part))
            query = f"SELECT COALESCE(SUM(cost_usd), 0) FROM spending WHERE key IN ({marks})"
            total += float(self.connection.execute(query, part).fetchone()[0])
        return total

    def keep(self, key: str, model: str, answer: GeneralistAnswer) -> None:
        """Keep an answer. Raises GeneralistFailed where the disk refuses: answers must not be bought and lost."""
        row = (key, model, answer.text, answer.failure, answer.input_tokens, answer.output_tokens)
        self._write(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, answer.latency_s, answer.cost_usd, answer.n_attempts),
        )

    def start_attempt(self, key: str, worst_usd: float) -> int:
        """Note an attempt before it is made, at its worst case: what a killed run leaves open counts as spent."""
        return self._write("INSERT INTO spending VALUES (?, ?, ?)", (key, worst_usd, "under way"))

    def settle_attempt(self, attempt: int, cost_usd: float, outcome: str) -> None:
        """Replace the worst case by what the attempt cost (still the worst case, where the server did not say)."""
        self._write("UPDATE spending SET cost_usd = ?, outcome = ? WHERE rowid = ?", (cost_usd, outcome, attempt))

    def _write(self, statement: str, values: tuple[Any, ...]) -> int:
        try:
            with self.connection:
                return self.connection.execute(statement, values).lastrowid or 0
        except sqlite3.Error as error:
            raise GeneralistFailed(
                f"could not keep an answer in {self.path}: {error}. Make room on the disk or close what holds the file, "
                "then run again: answers kept so far are not asked again."
            ) from error


@contextmanager
def open_cache(path: Path | None) -> Iterator[AnswerCache]:
    """Open (or make) the cache file; None keeps answers in memory for this run. Raises BadArtefact where it is no cache."""
    where = ":memory:" if path is None else str(path)
    connection: sqlite3.Connection | None = None
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(where, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        # In WAL mode NORMAL survives a killed process; only a power cut may lose the last answers.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(_SCHEMA)
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        raise BadArtefact(
            f"{where}: cannot be used as the cache of answers: {error}. Move the file away; a new one will be made."
        ) from error
    try:
        yield AnswerCache(connection, where)
    finally:
        connection.close()


def _answer(id_: str, row: tuple[Any, ...]) -> GeneralistAnswer:
    text, failure, input_tokens, output_tokens, latency_s, cost_usd, n_attempts = row
    kind: FailureKind | None = failure
    return GeneralistAnswer(
        id_, text, kind, input_tokens, output_tokens, latency_s, cost_usd, cached=True, n_attempts=n_attempts
    )
