"""An order as it was placed: what the order process begins with.

Invariant: the same order has the same content, and so the same fingerprint, in every release and on
every machine: it tells whether a request came before. This module must never see a protobuf
message.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Self

from chassis.json_text import quoted
from chassis.record import record
from orchestrator.saga.events import JSON

# The canonical JSON is written out: the encoder takes four times as long to sort and nest what is
# nested in the same way each time.


@record
class Money:
    """An amount in one currency, in the minor units that ISO 4217 counts."""

    currency_code: str
    minor_units: int

    def content(self) -> Mapping[str, JSON]:
        """The amount as JSON."""
        return {"currency_code": self.currency_code, "minor_units": self.minor_units}

    def canonical(self) -> str:
        """The content as canonical JSON: names in their order, no space, ASCII."""
        return f'{{"currency_code":{quoted(self.currency_code)},"minor_units":{self.minor_units}}}'


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

    def canonical(self) -> str:
        """The content as canonical JSON."""
        return (
            f'{{"country_code":{quoted(self.country_code)},'
            f'"lines":[{",".join(map(quoted, self.lines))}],'
            f'"locality":{quoted(self.locality)},'
            f'"postal_code":{quoted(self.postal_code)},'
            f'"recipient":{quoted(self.recipient)},'
            f'"region":{quoted(self.region)}}}'
        )

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

    def content(self) -> Mapping[str, JSON]:
        """The line as JSON."""
        return {
            "sku": self.sku,
            "quantity": self.quantity,
            "unit_price": self.unit_price.content(),
        }

    def canonical(self) -> str:
        """The content as canonical JSON."""
        return (
            f'{{"quantity":{self.quantity},"sku":{quoted(self.sku)},'
            f'"unit_price":{self.unit_price.canonical()}}}'
        )


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

        A field that a later release adds is left out where it was not given, here and in the
        canonical JSON, or every order placed before it would look like another one.
        """
        return {
            "customer_id": self.customer_id,
            "items": [item.content() for item in self.items],
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

    def canonical(self) -> str:
        """The content as canonical JSON."""
        items = ",".join([item.canonical() for item in self.items])
        return (
            f'{{"customer_id":{quoted(self.customer_id)},'
            f'"delivery_address":{self.delivery_address.canonical()},'
            f'"items":[{items}],'
            f'"payment_method":{quoted(self.payment_method)}}}'
        )

    def fingerprint(self) -> str:
        """What tells this content from any other: SHA-256 over canonical JSON, in hexadecimal."""
        return fingerprint_of(self.canonical())


def fingerprint_of(canonical: str) -> str:
    """The fingerprint of an order whose canonical JSON this is."""
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
