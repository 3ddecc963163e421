"""What the gateway records of a call, and what several gateways share: keys, spend, audits, revocations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXTS = ("response_id", "task", "route", "reference", "evidence")


def upgrade() -> None:
    op.add_column("traces", sa.Column("ttft_s", sa.Double()))
    for name in _TEXTS:
        op.add_column("traces", sa.Column(name, sa.Text()))
    op.create_index("ix_traces_response_id", "traces", ["response_id"])
    op.create_table(
        "keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double()),
        sa.Column("requests_per_minute", sa.Integer()),
        sa.Column("budget_usd_month", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
    )
    op.create_table(
        "spend",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("cost_usd", sa.Double(), nullable=False),
        sa.Column("n_calls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "month", name="pk_spend"),
    )
    op.create_table(
        "audits",
        sa.Column("seq", _Serial, nullable=False),
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("is_wrong", sa.Boolean(), nullable=False),
        sa.Column("allowed", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audits"),
        sa.UniqueConstraint("trace_id", name="uq_audits_trace_id"),
    )
    op.create_index("ix_audits_policy_id_seq", "audits", ["policy_id", "seq"])
    op.create_table(
        "revocations",
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("e_value", sa.Double(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("n_wrong", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("policy_id", name="pk_revocations"),
    )


def downgrade() -> None:
    for name in "revocations", "audits", "spend", "keys":
        op.drop_table(name)
    op.drop_index("ix_traces_response_id", "traces")
    for name in "ttft_s", *_TEXTS:
        op.drop_column("traces", name)
