"""Room on each page of `processes`, so that the steps of a process find place beside its row.

What a step changes is in no index (`orchestrator/saga_log/tables.py`). PostgreSQL then writes the
row anew on the same page and tells no index of it, if there is room; and takes the room of what is
out of date back whenever it comes by. Without room each step goes to another page and into every
index. See docs/decisions/0017.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# A release that does not know of it finds nothing changed.
runs_since = "0001"


def upgrade() -> None:
    """Leaves half of each page free, from now on; what is written already stays as it is."""
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE processes SET (fillfactor = 50)")
