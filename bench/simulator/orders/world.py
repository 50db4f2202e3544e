"""The order process, its three services, and the ways in which an order is meant to go.

Invariant: definition, domains and payment protocol are the product's own. Must never: hold a rule
of the business.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from bench.simulator.orders.desks import DELIVERY, ORDER, DeliveryDesk, OrderDesk
from bench.simulator.orders.payment_desk import PAYMENT, PaymentDesk
from bench.simulator.orders.rules import check_orders
from bench.simulator.world import Ground, Scenario, World
from orchestrator.action import ActionCall, ActionReply
from orchestrator.order_process import (
    ORDER_PROCESS,
    delivery_id_of,
    order_id_of,
    payment_id_of,
)
from orchestrator.saga.code import Code
from orchestrator.saga.definition import Policy
from orchestrator.saga.events import JSON

SERVICES: Final[Mapping[str, str]] = {
    "create_order": ORDER,
    "confirm_order": ORDER,
    "cancel_order": ORDER,
    "process_payment": PAYMENT,
    "confirm_payment": PAYMENT,
    "cancel_payment": PAYMENT,
    "process_delivery": DELIVERY,
    "cancel_delivery": DELIVERY,
}
# A day of trying is a day of virtual time; what happens then happens after ten minutes as well.
HORIZON_SECONDS: Final = 600.0


class OrderServices:
    """The three services."""

    def __init__(self, ground: Ground) -> None:
        self.order = OrderDesk(ground)
        self.delivery = DeliveryDesk(ground)
        self.payment = PaymentDesk(ground)

    def start(self, service: str) -> None:
        """Starts a program."""
        if service == PAYMENT:
            self.payment.start()

    def die(self, service: str) -> None:
        """Ends a program."""
        if service == PAYMENT:
            self.payment.die()

    def serve(self, call: ActionCall) -> ActionReply | Awaitable[ActionReply]:
        """Answers a call."""
        match SERVICES[call.action]:
            case "order":
                return self.order.serve(call)
            case "payment":
                return self.payment.serve(call)
            case _:
                return self.delivery.serve(call)

    def busy(self) -> bool:
        """Whether a payment is yet to be settled."""
        return self.payment.busy()

    def by_hand(self, action: str, process_id: str) -> None:
        """A person does an undo by hand."""
        match action:
            case "cancel_order":
                self.order.by_hand(order_id_of(process_id))
            case "cancel_payment":
                self.payment.by_hand(payment_id_of(process_id))
            case "cancel_delivery":
                self.delivery.by_hand(delivery_id_of(process_id))
            case _:
                raise AssertionError(f"{action} is not an undo")

    def records(self) -> Mapping[str, JSON]:
        """Rows, couriers and the gateway's ledger."""
        return {
            "orders": {
                row.order_id: {
                    "state": row.state.value,
                    "total": None if row.content is None else row.content.total.minor_units,
                }
                for row in self.order.rows.values()
            },
            "payments": {
                row.payment_id: {
                    "state": row.state.value,
                    "asking": row.asking is not None,
                    "order": None if row.content is None else row.content.order_id,
                    "amount": None if row.content is None else row.content.amount.minor_units,
                }
                for row in self.payment.records.rows.values()
            },
            "deliveries": {
                row.delivery_id: {
                    "state": row.state.value,
                    "order": None if row.content is None else row.content.order_id,
                }
                for row in self.delivery.rows.values()
            },
            "couriers": dict(self.delivery.load),
            "ledger": [
                {
                    "payment": entry.payment_id,
                    "kind": entry.kind.value,
                    "amount": None if entry.amount is None else entry.amount.minor_units,
                    "declined": entry.decline is not None,
                }
                for entries in self.payment.gateway.entries.values()
                for entry in entries.values()
            ],
            "journal": [
                *self.order.journal,
                *self.payment.records.journal,
                *self.delivery.journal,
            ],
            "complaints": list(self.payment.gateway.complaints),
        }


def _input(
    *, method: str = "pm_card_visa", country: str = "NL", price: int = 1_250
) -> Callable[[int], Mapping[str, JSON]]:
    made: dict[int, Mapping[str, JSON]] = {}

    def of(number: int) -> Mapping[str, JSON]:
        if number not in made:
            made[number] = _order(method, country, price + number * bool(price))
        return made[number]

    return of


def _order(method: str, country: str, price: int) -> Mapping[str, JSON]:
    content: dict[str, Any] = {
        "customer_id": "customer",
        "items": [
            {
                "sku": "tea",
                "quantity": 2,
                "unit_price": {"currency_code": "EUR", "minor_units": price},
            }
        ],
        "payment_method": method,
        "delivery_address": {
            "recipient": "Ada",
            "lines": ["Main Street 1"],
            "locality": "Town",
            "region": "",
            "postal_code": "1234",
            "country_code": country,
        },
        "total": {"currency_code": "EUR", "minor_units": 2 * price},
    }
    return content


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "delivered": Scenario(sentence="an order that is delivered", input=_input()),
    "declined": Scenario(
        sentence="an order whose card is declined", input=_input(method="pm_card_chargeDeclined")
    ),
    "not-taken": Scenario(
        sentence="an order whose money is held, but cannot be taken",
        input=_input(method="pm_sandbox_confirmDeclined"),
    ),
    "undeliverable": Scenario(
        sentence="an order to a country without couriers", input=_input(country="AQ")
    ),
    "free": Scenario(sentence="an order that costs nothing", input=_input(price=0)),
    "parked-retried": Scenario(
        sentence="an undeliverable order whose payment will not be cancelled, until it is tried"
        " afresh",
        input=_input(country="AQ"),
        answers={"cancel_payment": (Code.FAILED_PRECONDITION,)},
        operator="retry",
    ),
    "parked-resolved": Scenario(
        sentence="an undeliverable order whose payment a person has to cancel by hand",
        input=_input(country="AQ"),
        answers={"cancel_payment": (Code.FAILED_PRECONDITION,)},
        operator="resolve",
    ),
}


def order_world() -> World:
    """The world that `explore` and `simulate` are about."""
    return World(
        name="orders",
        definition=replace(
            ORDER_PROCESS, policy=Policy(compensation_horizon_seconds=HORIZON_SECONDS)
        ),
        services=SERVICES,
        build=OrderServices,
        scenarios=SCENARIOS,
        checks=(check_orders,),
        one_commit=frozenset({ORDER, DELIVERY}),
    )
