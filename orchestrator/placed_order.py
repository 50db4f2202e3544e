"""An order as it was placed: what the order process begins with.

Invariant: the same order has the same content, and so the same fingerprint, in every release and on
every machine: it tells whether a request came before. This module must never see a protobuf
message.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Self

from chassis.json_text import json_encoder
from orchestrator.saga.events import JSON
from orchestrator.saga.record import record

_canonical: Final = json_encoder(sort_keys=True)


@record
class Money:
    """An amount in one currency, in the minor units that ISO 4217 counts."""

    currency_code: str
    minor_units: int

    def content(self) -> Mapping[str, JSON]:
        """The amount as JSON."""
        return {"currency_code": self.currency_code, "minor_units": self.minor_units}


@record
class Address:
    """A postal address."""

    recipient: str
    lines: tuple[str, ...]
    locality: str
    region: str
    postal_code: str
    country_code: str

    def content(self) -> Mapping[str, JSON]:
        """The address as JSON."""
        return {
            "recipient": self.recipient,
            "lines": list(self.lines),
            "locality": self.locality,
            "region": self.region,
            "postal_code": self.postal_code,
            "country_code": self.country_code,
        }

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """The address whose content this is, from a history."""
        return cls(**{**content, "lines": tuple(content["lines"])})


@record
class Item:
    """One line of an order."""

    sku: str
    quantity: int
    unit_price: Money


@record
class PlacedOrder:
    """Who ordered what, how it is paid and where it goes."""

    customer_id: str
    items: tuple[Item, ...]
    payment_method: str
    delivery_address: Address

    @property
    def total(self) -> Money:
        """The sum over the items, all of which are in one currency."""
        return Money(
            currency_code=self.items[0].unit_price.currency_code,
            minor_units=sum(item.quantity * item.unit_price.minor_units for item in self.items),
        )

    def content(self) -> Mapping[str, JSON]:
        """The order as JSON.

        A field that a later release adds is left out here where it was not given, or every order
        placed before it would look like another one.
        """
        return {
            "customer_id": self.customer_id,
            "items": [
                {
                    "sku": item.sku,
                    "quantity": item.quantity,
                    "unit_price": item.unit_price.content(),
                }
                for item in self.items
            ],
            "payment_method": self.payment_method,
            "delivery_address": self.delivery_address.content(),
        }

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """The order whose content this is, from a history."""
        return cls(
            customer_id=content["customer_id"],
            items=tuple(
                Item(
                    sku=item["sku"],
                    quantity=item["quantity"],
                    unit_price=Money(**item["unit_price"]),
                )
                for item in content["items"]
            ),
            payment_method=content["payment_method"],
            delivery_address=Address.of(content["delivery_address"]),
        )

    def fingerprint(self) -> str:
        """What tells this content from any other: SHA-256 over canonical JSON, in hexadecimal."""
        canonical = _canonical(self.content())
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()
