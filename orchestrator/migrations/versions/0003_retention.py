"""Retired processes, and what finds those to be retired. See `orchestrator/saga_log/tables.py`."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A table and an index more are in nobody's way. A release that knows of no retired processes would
# take the request id of one for a new one: nothing is to be retired while it runs beside this one.
runs_since = "0001"

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Creates the table of the retired, and the indexes that retention goes along."""
    op.create_table(
        "retired",
        sa.Column("process_id", KEY, primary_key=True),
        sa.Column("business_key", KEY, nullable=False, unique=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("by_hand", sa.Text, nullable=False),
        sa.Column("create_time_us", sa.BigInteger, nullable=False),
        sa.Column("end_time_us", sa.BigInteger, nullable=False),
        sa.Column("retire_time_us", sa.BigInteger, nullable=False),
        sa.Column("purge_due_us", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    settled = sa.text("end_time_us IS NOT NULL")
    op.create_index(
        "processes_settled",
        "processes",
        ["end_time_us", "process_id"],
        sqlite_where=settled,
        postgresql_where=settled,
    )
    to_be_purged = sa.text("purge_due_us IS NOT NULL")
    op.create_index(
        "retired_due",
        "retired",
        ["purge_due_us", "process_id"],
        sqlite_where=to_be_purged,
        postgresql_where=to_be_purged,
    )
    purged = sa.text("purge_due_us IS NULL")
    op.create_index(
        "retired_purged",
        "retired",
        ["end_time_us", "process_id"],
        sqlite_where=purged,
        postgresql_where=purged,
    )
