"""The saga log: processes and their events. `orchestrator/saga_log/tables.py` tells their story."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Keys are compared byte by byte, whatever the language of a server is set to.
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Creates both tables and what finds processes in them."""
    op.create_table(
        "processes",
        sa.Column("process_id", KEY, primary_key=True),
        sa.Column("business_key", KEY, nullable=False, unique=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("definition_version", sa.BigInteger, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("owner", KEY),
        sa.Column("due_time_us", sa.BigInteger),
        sa.Column("create_time_us", sa.BigInteger, nullable=False),
        sa.Column("update_time_us", sa.BigInteger, nullable=False),
        sa.Column("end_time_us", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        sa.Column("process_id", KEY, sa.ForeignKey("processes.process_id"), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("processes_by_time", "processes", ["create_time_us", "process_id"])
    op.create_index("processes_by_phase", "processes", ["phase", "create_time_us", "process_id"])
    op.create_index(
        "processes_by_subject", "processes", ["subject", "create_time_us", "process_id"]
    )
    unsettled = sa.text("due_time_us IS NOT NULL")
    op.create_index(
        "processes_due",
        "processes",
        ["owner", "due_time_us"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )


def downgrade() -> None:
    """There is no way back from the first revision: it would delete every history."""
    raise NotImplementedError("restore a backup instead")
