"""What is ordered in a run, drawn from its seed.

Invariant: the n-th order of a seed is always the same one. Must never: know how it is sent.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1.order_process_service_pb2 import StartOrderProcessRequest
from oms.order.v1.order_pb2 import OrderItem


class Fate(StrEnum):
    """What is to become of an order."""

    GOOD = "good"
    FREE = "free of charge"
    SLOW = "slow gateway"
    RETURNED = "returned once completed"
    CALLED_OFF = "cancelled at a random call"
    DECLINED = "card declined"
    POOR = "insufficient funds"
    CONFIRM_DECLINED = "declined at confirmation"
    UNDELIVERABLE = "no courier"


SHARES: Final[Mapping[Fate, int]] = MappingProxyType(
    {
        Fate.GOOD: 48,
        Fate.FREE: 6,
        Fate.SLOW: 2,
        Fate.RETURNED: 8,
        Fate.CALLED_OFF: 12,
        Fate.DECLINED: 6,
        Fate.POOR: 6,
        Fate.CONFIRM_DECLINED: 6,
        Fate.UNDELIVERABLE: 6,
    }
)
HOPELESS: Final = frozenset({Fate.DECLINED, Fate.POOR, Fate.CONFIRM_DECLINED, Fate.UNDELIVERABLE})
"""These can only end CANCELLED, whatever happens."""

TWIN_SHARE: Final = 0.1

_METHODS: Final = {
    Fate.SLOW: "pm_sandbox_slow",
    Fate.DECLINED: "pm_card_chargeDeclined",
    Fate.POOR: "pm_card_chargeDeclinedInsufficientFunds",
    Fate.CONFIRM_DECLINED: "pm_sandbox_confirmDeclined",
}
# The calls of a process that nothing disturbs: create, pay, confirm, confirm, deliver.
_CALLS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order, and how its caller behaves."""

    number: int
    fate: Fate
    request: StartOrderProcessRequest
    patience_seconds: float
    """The deadline of the caller's first call."""
    called_off_at_call: int
    """At which call of its process a CALLED_OFF order is cancelled."""
    twin: bool
    """Whether its caller sends it twice at the same moment, to two replicas where there are two."""

    @property
    def minor_units(self) -> int:
        """What it costs."""
        return sum(it.quantity * it.unit_price.minor_units for it in self.request.items)


def draw(seed: int, number: int) -> Order:
    """The n-th order of a run."""
    dice = random.Random(f"{seed}/order/{number}")
    fate = dice.choices(tuple(SHARES), weights=tuple(SHARES.values()))[0]
    items = [
        OrderItem(
            sku=f"SKU-{dice.randrange(1_000)}",
            quantity=dice.randint(1, 9),
            unit_price=Money(
                currency_code="USD",
                minor_units=0 if fate is Fate.FREE else dice.randint(1, 99_999),
            ),
        )
        for _ in range(dice.randint(1, 3))
    ]
    manner = dice.random()
    return Order(
        number=number,
        fate=fate,
        request=StartOrderProcessRequest(
            request_id=f"chaos-{seed}-{number}",
            customer_id=f"customer-{dice.randrange(100)}",
            items=items,
            payment_method=_METHODS.get(fate, "pm_card_visa"),
            delivery_address=_address("AQ" if fate is Fate.UNDELIVERABLE else "US"),
            return_immediately=manner < 0.5,
        ),
        # A fifth of the callers are in a hurry: most of them leave before they are answered.
        patience_seconds=dice.uniform(0.02, 0.5) if manner >= 0.8 else 20.0,
        called_off_at_call=dice.randint(0, _CALLS),
        twin=dice.random() < TWIN_SHARE,
    )


def _address(country_code: str) -> Address:
    return Address(
        recipient="Ada",
        lines=["1 Market St"],
        locality="San Francisco",
        postal_code="94105",
        country_code=country_code,
    )
