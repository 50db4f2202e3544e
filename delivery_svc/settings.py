"""What the delivery service can be told.

Invariant: every default works for somebody who set nothing. It must never be read anywhere but
where the service is wired.
"""

from pydantic import Field

from chassis.settings import DatabaseUrl, Listen, Settings


class DeliverySettings(Settings):
    """The settings of the delivery service."""

    delivery_listen: Listen = Field(
        default="127.0.0.1:50054", description="Where the delivery service listens."
    )
    delivery_database_url: DatabaseUrl = Field(
        default="sqlite:///var/delivery.db",
        description=(
            "The delivery database: a SQLite file, or postgresql://host/database?schema=name, "
            "which any number of replicas share."
        ),
    )
    delivery_courier_capacity: int = Field(
        default=1_000_000,
        ge=1,
        le=2**31 - 1,
        description="How many deliveries each courier of a new courier book can have at once.",
    )
