"""What every source needs to make a Trace: where the record stands, and an id where it brings none."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple, get_args

import orjson

from metier.artefacts.traffic import Provenance

_ID_BYTES = 16
_PROVENANCES: dict[object, Provenance] = {name: name for name in get_args(Provenance)}


class Context(NamedTuple):
    """Where a record stands: `line` of its file (1-based), `dataset` (the file's stem for labelled records, else what the
    user gave), `key` of the list it was found in where the file is one JSON document; and the names of the columns that
    hold a labelled record's input and output where the user gave them."""

    line: int
    dataset: str | None
    key: str | None = None
    input_column: str | None = None
    output_column: str | None = None


def content_id(*fields: str | float | None) -> str:
    """An id (32 hex digits) that equal contents share."""
    return blake2b(orjson.dumps(fields), digest_size=_ID_BYTES).hexdigest()


def provenance(value: object, default: Provenance) -> Provenance:
    """Who gave the answer, where the record says so in our words."""
    return _PROVENANCES.get(value, default) if isinstance(value, str) else default
