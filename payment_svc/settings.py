"""What the payment service can be told.

Invariant: every default works for somebody who set nothing. It must never be read anywhere but
where the service is wired.
"""

from pydantic import Field

from chassis.settings import DatabaseUrl, Listen, Settings


class PaymentSettings(Settings):
    """The settings of the payment service."""

    payment_listen: Listen = Field(
        default="127.0.0.1:50053", description="Where the payment service listens."
    )
    payment_database_url: DatabaseUrl = Field(
        default="sqlite:///var/payment.db",
        description=(
            "The payment database: a SQLite file, or postgresql://host/database?schema=name, which "
            "any number of replicas share."
        ),
    )
    payment_gateway_database_url: DatabaseUrl = Field(
        default="sqlite:///var/gateway.db",
        description=(
            "The ledger of the sandbox gateway, which is no part of the payment database, but as "
            "it a file or shared."
        ),
    )
    payment_gateway_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        # Below the time for which a question is left alone (domain.ASK_LEASE_US).
        le=50,
        allow_inf_nan=False,
        description="How long one question to the gateway may take, before it is asked again.",
    )
    payment_settle_interval_seconds: float = Field(
        default=1.0,
        gt=0,
        le=3_600,
        allow_inf_nan=False,
        description="How often the service looks for questions that were left without an answer.",
    )
    payment_sandbox_slow_seconds: float = Field(
        default=90.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="How long the sandbox gateway takes to answer for pm_sandbox_slow.",
    )
