"""The journal's lines: one JSON object each, whole on its own."""

from __future__ import annotations

import msgspec

from metier.artefacts.traffic import Feedback, Trace
from metier.store.audits import AuditRow
from metier.store.references import Reference


class CallLine(msgspec.Struct, tag_field="kind", tag="call", omit_defaults=True):
    """A finished call: its trace, or in `skipped` why it has none; what it cost in dollars and whom, by key id and month
    (YYYY-MM)."""

    trace: Trace | None = None
    skipped: str | None = None
    spend: tuple[str, str, float] | None = None


class AuditLine(msgspec.Struct, tag_field="kind", tag="audit", omit_defaults=True):
    """The frontier model's answer to a kept call whose line came before, and what it cost whom; `audit` for the test of the
    certificate."""

    reference: Reference
    audit: AuditRow | None = None
    spend: tuple[str, str, float] | None = None


class JudgementLine(msgspec.Struct, tag_field="kind", tag="judgement", omit_defaults=True):
    """A judgement of the answer `trace_id`."""

    trace_id: str
    feedback: Feedback | None = None
    correction: str | None = None


Line = CallLine | AuditLine | JudgementLine

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def encode(line: Line) -> bytes:
    """One line of the journal, with its line end. Raises UnicodeEncodeError for half a surrogate pair."""
    return _encoder.encode(line) + b"\n"


def decode(data: bytes) -> Line:
    """A line read back. Raises ValueError (msgspec.DecodeError) where it is damaged."""
    return _decoder.decode(data)
