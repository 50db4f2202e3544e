"""The ledger.

One row a question of the payment service, added when it is first asked and never changed. The
answer to it is in the row: declined (and why), or what moved. `minor_units` of a RELEASE is what
was given back; it is null where there was nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Keys are compared byte by byte, whatever the language of a server is set to.
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Makes the table. Its key is the idempotency key."""
    op.create_table(
        "ledger_entries",
        sa.Column("payment_id", KEY, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("currency_code", sa.Text),
        sa.Column("minor_units", sa.BigInteger),
        sa.Column("payment_method", sa.Text, nullable=False),
        sa.Column("decline_reason", sa.Text),
        sa.Column("decline_message", sa.Text),
        sa.Column("released", sa.Text, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
    )
