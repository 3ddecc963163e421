"""The tables of the traffic store: traces, the imports they came from, the lines that could not be used, and what the
gateways that share it must agree on: keys, spend, audited answers, revoked certificates.

Column types are those that SQLite and PostgreSQL share. Changing a table needs a new file in `migrations/versions` and a
new REVISION here.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

from metier.artefacts.traffic import TRACE_SCHEMA

REVISION = "0002"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite numbers rows by itself only where the type is exactly INTEGER.
_Serial = BigInteger().with_variant(Integer(), "sqlite")
_INTEGER_COLUMNS = frozenset({"input_tokens", "output_tokens"})
_DOUBLE_COLUMNS = frozenset({"time", "latency_s", "cost_usd", "ttft_s"})
_REQUIRED_COLUMNS = frozenset({"id", "messages", "provenance"})


def _trace_column(name: str) -> Column[Any]:
    kind: type[TypeEngine[Any]] = (
        BigInteger if name in _INTEGER_COLUMNS else Double if name in _DOUBLE_COLUMNS else Text
    )
    return Column(name, kind(), nullable=name not in _REQUIRED_COLUMNS, unique=True if name == "id" else None)


# `state` is "running" until every line has been read. `key` names the bytes and how they were read, so that the same file
# under another name is recognised. `n_items` lines (or records) are in the store, whatever became of them; a resumed import
# starts after them. `digest` is the sum of the digests of the traces this import added or judged, modulo 2^128, as hex.
imports = Table(
    "imports",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("format", Text, nullable=False),
    Column("dataset", Text),
    Column("state", Text, nullable=False),
    Column("n_items", BigInteger, nullable=False),
    Column("n_added", BigInteger, nullable=False),
    Column("n_present", BigInteger, nullable=False),
    Column("n_judged", BigInteger, nullable=False),
    Column("skipped", Text, nullable=False),
    Column("warnings", Text, nullable=False),
    Column("quarantined", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("finished_at", Double),
)

# `content` is the digest by which the same id with another content is told from the same call met again.
traces = Table(
    "traces",
    metadata,
    Column("seq", _Serial, primary_key=True),
    *(_trace_column(name) for name in TRACE_SCHEMA),
    Column("content", LargeBinary, nullable=False),
    Column("import_id", BigInteger, ForeignKey("imports.id"), nullable=False),
    Column("line", BigInteger, nullable=False),
    Index("ix_traces_response_id", "response_id"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("seq", _Serial, primary_key=True),
    Column("import_id", BigInteger, ForeignKey("imports.id"), nullable=False),
    Column("path", Text, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("excerpt", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("time", Double, nullable=False),
)

# `hash` is of the key, never the key itself. A limit that is null is none.
keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("requests_per_minute", Integer),
    Column("budget_usd_month", Double),
)

# What a key's calls cost in a month of UTC, `month` as YYYY-MM. Calls whose price is not known count with 0 dollars.
spend = Table(
    "spend",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("month", Text, primary_key=True),
    Column("cost_usd", Double, nullable=False),
    Column("n_calls", BigInteger, nullable=False),
)

# Kept answers that the generalist answered as well. `allowed` is the error rate that the certificate allowed at the time,
# with the generalist's own (alpha plus the allowance).
audits = Table(
    "audits",
    metadata,
    Column("seq", _Serial, primary_key=True),
    Column("policy_id", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("trace_id", Text, nullable=False, unique=True),
    Column("time", Double, nullable=False),
    Column("is_wrong", Boolean, nullable=False),
    Column("allowed", Double, nullable=False),
    Index("ix_audits_policy_id_seq", "policy_id", "seq"),
)

# Certificates that the audited answers have refuted; for good: a new calibration makes a new policy.
revocations = Table(
    "revocations",
    metadata,
    Column("policy_id", Text, primary_key=True),
    Column("task", Text, nullable=False),
    Column("time", Double, nullable=False),
    Column("e_value", Double, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("n_wrong", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)
