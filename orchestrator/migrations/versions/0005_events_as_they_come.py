"""On SQLite the events lie in the order in which they came, and an index finds them by their key.

In the order of their key those of the processes that run lie among one another, and an append
writes a page of its own for nearly each of them. See docs/decisions/0027. PostgreSQL has always
kept them so.

It copies the table, in the one transaction of the upgrade: for that time the file takes the room of
both.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What asks for columns by their names finds nothing changed.
runs_since = "0001"


def upgrade() -> None:
    """Copies what is there, process by process."""
    if op.get_context().dialect.name != "sqlite":
        return
    op.rename_table("events", "events_by_key")
    op.create_table(
        "events",
        sa.Column("process_id", sa.Text, sa.ForeignKey("processes.process_id"), primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.execute(
        "INSERT INTO events (process_id, sequence, kind, time_us, body)"
        " SELECT process_id, sequence, kind, time_us, body FROM events_by_key"
        " ORDER BY process_id, sequence"
    )
    op.drop_table("events_by_key")
