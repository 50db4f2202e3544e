"""What the order service can be told.

Invariant: every default works for somebody who set nothing. It must never be read anywhere but
where the service is wired.
"""

from pydantic import Field

from chassis.settings import DatabaseUrl, Listen, Settings


class OrderSettings(Settings):
    """The settings of the order service."""

    order_listen: Listen = Field(
        default="127.0.0.1:50052", description="Where the order service listens."
    )
    order_database_url: DatabaseUrl = Field(
        default="sqlite:///var/order.db",
        description=(
            "The order database: a SQLite file, or postgresql://host/database?schema=name, which "
            "any number of replicas share."
        ),
    )
