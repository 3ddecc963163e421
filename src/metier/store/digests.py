"""Digests by which traces are known: what a call said, and what the store as a whole holds."""

from __future__ import annotations

from hashlib import blake2b

import orjson

from metier.artefacts.traffic import Trace

DIGEST_BYTES = 16
_MODULUS = 1 << (8 * DIGEST_BYTES)


def _digest(*fields: str | None) -> bytes:
    # As a JSON list, so that moving a character from one field to the next changes the digest.
    return blake2b(orjson.dumps(fields), digest_size=DIGEST_BYTES).digest()


def content_digest(
    messages: str, parameters: str | None, response: str | None, model: str | None, split: str | None
) -> bytes:
    """Digest (16 bytes) of what was asked and answered: two calls with one id but different digests contradict each other.

    Tokens, cost and times are left out: two tools that log one call round them differently.
    """
    return _digest(messages, parameters, response, model, split)


def trace_content(trace: Trace) -> bytes:
    """`content_digest` of a trace."""
    return content_digest(trace.messages, trace.parameters, trace.response, trace.model, trace.split)


def row_digest(
    trace_id: str, content: bytes, feedback: str | None, correction: str | None, reference: str | None = None
) -> int:
    """What one trace adds to the digest of the store; changes with the trace's judgement and reference."""
    # Only where there is one: stores from before there were references keep their ids.
    added = () if reference is None else (reference,)
    return int.from_bytes(_digest(trace_id, content.hex(), feedback, correction, *added), "big")


def add_digests(total: int, *parts: int) -> int:
    """Sum modulo 2^128: the digest of a set of rows, whatever their order, in constant space (AdHash; Bellare and
    Micciancio, 1997). It tells changes apart, and is not meant to withstand someone who forges rows."""
    return (total + sum(parts)) % _MODULUS


def to_hex(total: int) -> str:
    return f"{total:032x}"
