"""What the gateway records of a call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXTS = ("response_id", "task", "route", "reference", "evidence")


def upgrade() -> None:
    op.add_column("traces", sa.Column("ttft_s", sa.Double()))
    for name in _TEXTS:
        op.add_column("traces", sa.Column(name, sa.Text()))
    op.create_index("ix_traces_response_id", "traces", ["response_id"])


def downgrade() -> None:
    op.drop_index("ix_traces_response_id", "traces")
    for name in "ttft_s", *_TEXTS:
        op.drop_column("traces", name)
