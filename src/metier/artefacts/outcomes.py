"""What a trace's evidence says about whether its answer is whole, and about what it saved."""

from __future__ import annotations

import orjson
import polars as pl

FAILED, CANCELLED, CUT_OFF = "failed", "cancelled", "cut off"
_FAILURE_STATUS = 400
# Reasons for which models stop in the middle of an answer.
_CUT_OFF = ("length", "max_tokens", "content_filter")
OUTCOME_SCHEMA = pl.Schema({"fault": pl.String(), "saved_usd": pl.Float64()})


def read_outcomes(evidence: pl.Series) -> pl.DataFrame:
    """One row a trace (OUTCOME_SCHEMA): `fault` says why its response is no whole answer (null where it is, or nothing is
    known), `saved_usd` what the frontier model would have charged for an answer that the gateway kept."""
    if evidence.null_count() == len(evidence):
        return pl.DataFrame(schema=OUTCOME_SCHEMA).clear(len(evidence))
    return pl.DataFrame([_outcome(text) for text in evidence], schema=OUTCOME_SCHEMA, orient="row")


def _outcome(text: str | None) -> tuple[str | None, float | None]:
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError:
        found = {}
    if not isinstance(found, dict):
        return None, None
    saved = found.get("saved_usd")
    return _fault(found), float(saved) if isinstance(saved, (int, float)) and not isinstance(saved, bool) else None


def _fault(found: dict[str, object]) -> str | None:
    status = found.get("status")
    if found.get("error") or (isinstance(status, int) and status >= _FAILURE_STATUS):
        return FAILED
    if found.get("is_cancelled"):
        return CANCELLED
    return CUT_OFF if found.get("finish_reason") in _CUT_OFF else None
