"""The sources there are: each knows its records by sight and turns one into traces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from metier.sources import langfuse, openai_chat, openai_log, otel, records
from metier.sources.outcomes import Outcome
from metier.sources.traces import Context


class Source(Protocol):
    """A module (or object) that reads one kind of record. Neither function raises on any JSON value."""

    def recognises(self, record: object) -> bool:
        """Whether a decoded record looks like one of this source's."""
        ...

    def parse(self, record: object, context: Context) -> Iterable[Outcome]:
        """The traces in one record, or why there are none."""
        ...


# In the order in which they are tried: the more particular shapes first.
SOURCES: dict[str, Source] = {
    "otel": otel,
    "langfuse": langfuse,
    "openai-log": openai_log,
    "openai-chat": openai_chat,
    "records": records,
}
# What these hold are labelled examples, so that the file's name is the dataset's.
LABELLED = frozenset({"records", "openai-chat"})
