"""Replicas: the orchestrators that share the log. `orchestrator/saga_log/tables.py` tells why."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A table more is in nobody's way. A release without heartbeats held its log for itself.
runs_since = "0001"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Creates the table of heartbeats."""
    op.create_table(
        "replicas",
        sa.Column("owner", KEY, primary_key=True),
        sa.Column("begin_time_us", sa.BigInteger, nullable=False),
        sa.Column("expire_time_us", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
