"""Deliveries, and the couriers they are assigned to.

One row a delivery. A row without an order is a tombstone: an id that was cancelled before any
delivery came for it.

One row a courier, who works in one country. `load` is how many deliveries the courier has that are
not cancelled. The courier book is filled once: `courier_book_fillings` remembers that it was, so
that couriers who were taken out since do not come back.
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
    """Makes the tables and what ListDeliveries and the assignment go by."""
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", KEY, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("order_id", sa.Text),
        sa.Column("courier_id", KEY),
        sa.Column("reject_reason", sa.Text),
        sa.Column("create_time_us", sa.BigInteger, nullable=False),
        sa.Column("update_time_us", sa.BigInteger, nullable=False),
        sa.Column("address", sa.Text),
    )
    newest_first = ["create_time_us", "delivery_id"]
    op.create_index("deliveries_by_time", "deliveries", newest_first)
    op.create_index("deliveries_by_order", "deliveries", ["order_id", *newest_first])
    op.create_index("deliveries_by_state", "deliveries", ["state", *newest_first])
    op.create_table(
        "couriers",
        sa.Column("courier_id", KEY, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("country_code", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("capacity", sa.BigInteger, nullable=False),
        sa.Column("load", sa.BigInteger, nullable=False),
        sa.CheckConstraint("load >= 0", name="load_not_negative"),
        sa.CheckConstraint("load <= capacity", name="load_within_capacity"),
    )
    op.create_index("couriers_by_load", "couriers", ["country_code", "load", "courier_id"])
    op.create_table(
        "courier_book_fillings",
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("time_us", sa.BigInteger, nullable=False),
    )
