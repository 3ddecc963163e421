"""Traces, imports and quarantine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("id", _Serial, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("n_items", sa.BigInteger(), nullable=False),
        sa.Column("n_added", sa.BigInteger(), nullable=False),
        sa.Column("n_present", sa.BigInteger(), nullable=False),
        sa.Column("n_judged", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("quarantined", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_imports"),
        sa.UniqueConstraint("key", name="uq_imports_key"),
    )
    op.create_table(
        "traces",
        sa.Column("seq", _Serial, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("messages", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text()),
        sa.Column("response", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("time", sa.Double()),
        sa.Column("input_tokens", sa.BigInteger()),
        sa.Column("output_tokens", sa.BigInteger()),
        sa.Column("latency_s", sa.Double()),
        sa.Column("cost_usd", sa.Double()),
        sa.Column("feedback", sa.Text()),
        sa.Column("correction", sa.Text()),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("group", sa.Text()),
        sa.Column("split", sa.Text()),
        sa.Column("dataset", sa.Text()),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_traces"),
        sa.UniqueConstraint("id", name="uq_traces_id"),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name="fk_traces_import_id"),
    )
    op.create_table(
        "quarantine",
        sa.Column("seq", _Serial, nullable=False),
        sa.Column("import_id", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("excerpt", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_quarantine"),
        sa.UniqueConstraint("digest", name="uq_quarantine_digest"),
        sa.ForeignKeyConstraint(["import_id"], ["imports.id"], name="fk_quarantine_import_id"),
    )


def downgrade() -> None:
    for name in "quarantine", "traces", "imports":
        op.drop_table(name)
