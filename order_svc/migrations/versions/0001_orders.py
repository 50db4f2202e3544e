"""Orders.

One row an order. Its items and address are JSON text: they are written once, read only together
with their order, and never searched. A row without a customer is a tombstone: an id that was
cancelled before any order came for it.
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
    """Makes the table and what ListOrders goes by."""
    op.create_table(
        "orders",
        sa.Column("order_id", KEY, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text),
        sa.Column("currency_code", sa.Text),
        sa.Column("total_minor_units", sa.BigInteger),
        sa.Column("create_time_us", sa.BigInteger, nullable=False),
        sa.Column("update_time_us", sa.BigInteger, nullable=False),
        sa.Column("items", sa.Text),
        sa.Column("delivery_address", sa.Text),
    )
    newest_first = ["create_time_us", "order_id"]
    op.create_index("orders_by_time", "orders", newest_first)
    op.create_index("orders_by_customer", "orders", ["customer_id", *newest_first])
    op.create_index("orders_by_state", "orders", ["state", *newest_first])
