"""An entry has a place among those of its payment.

Two that are decided at the same time, on the same entries, would take the same one; only one of
them can. The release before writes entries without a place, and still may.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
runs_since = "0001"


def upgrade() -> None:
    """Adds the place, and has it taken once."""
    op.add_column("ledger_entries", sa.Column("place", sa.BigInteger))
    op.create_index("ledger_places", "ledger_entries", ["payment_id", "place"], unique=True)
