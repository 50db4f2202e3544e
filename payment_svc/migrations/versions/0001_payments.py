"""Payments.

One row a payment. `asking` is the question that the gateway may have been asked and that nobody
knows the answer to: while it is set the settling loop looks after the row, from `ask_due_us` on.
A row without an order is a tombstone: an id that was cancelled before any payment came for it.
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
    """Makes the table, what ListPayments goes by, and what the settling loop goes by."""
    op.create_table(
        "payments",
        sa.Column("payment_id", KEY, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("asking", sa.Text),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("order_id", sa.Text),
        sa.Column("currency_code", sa.Text),
        sa.Column("minor_units", sa.BigInteger),
        sa.Column("payment_method", sa.Text),
        sa.Column("decline_reason", sa.Text),
        sa.Column("decline_message", sa.Text),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("ask_attempts", sa.BigInteger, nullable=False),
        sa.Column("ask_due_us", sa.BigInteger, nullable=False),
        sa.Column("create_time_us", sa.BigInteger, nullable=False),
        sa.Column("update_time_us", sa.BigInteger, nullable=False),
    )
    newest_first = ["create_time_us", "payment_id"]
    op.create_index("payments_by_time", "payments", newest_first)
    op.create_index("payments_by_order", "payments", ["order_id", *newest_first])
    op.create_index("payments_by_state", "payments", ["state", *newest_first])
    op.create_index(
        "payments_half_asked",
        "payments",
        ["payment_id"],
        sqlite_where=sa.text("asking IS NOT NULL"),
        postgresql_where=sa.text("asking IS NOT NULL"),
    )
