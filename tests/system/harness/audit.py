"""Whether everybody agrees: each process, its order, payment and delivery, and the ledger.

Invariant: it compares what the servers answer and what the ledger holds, and knows the design's
rules alone: a settled process left exactly what its state says, and nobody keeps anything that
belongs to no process. The couriers' loads are told by no call: they are read from their table.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from oms.delivery.v1.delivery_pb2 import Delivery, DeliveryState
from oms.delivery.v1.delivery_service_pb2 import ListDeliveriesRequest
from oms.orchestrator.v1.order_process_pb2 import OrderProcess, OrderProcessState
from oms.orchestrator.v1.order_process_service_pb2 import ListOrderProcessesRequest
from oms.order.v1.order_pb2 import Order, OrderState
from oms.order.v1.order_service_pb2 import ListOrdersRequest
from oms.payment.v1.payment_pb2 import Payment, PaymentState
from oms.payment.v1.payment_service_pb2 import ListPaymentsRequest
from payment_svc.sandbox.ledger import Balance
from payment_svc.sandbox.store import open_ledger_view
from tests.system.harness.system import System

PAGE = 1_000
NOTHING = Balance(held=0, captured=0, released=0)
# What may be left of an order, a payment and a delivery; "" is nothing at all.
LEFT = {
    "COMPLETED": ({"CONFIRMED"}, {"CONFIRMED"}, {"ASSIGNED"}),
    "CANCELLED": ({"", "CANCELLED"}, {"", "CANCELLED", "DECLINED"}, {"", "CANCELLED", "REJECTED"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """All that there is, by id.

    `loads` counts the deliveries that each courier believes to have.
    """

    processes: list[OrderProcess]
    orders: dict[str, Order]
    payments: dict[str, Payment]
    deliveries: dict[str, Delivery]
    balances: dict[str, Balance]
    loads: dict[str, int]


async def everything(system: System) -> Everything:
    """Reads it all."""
    processes, orders, payments, deliveries = await asyncio.gather(
        _pages(
            lambda token: system.orchestrator.processes.ListOrderProcesses(
                ListOrderProcessesRequest(page_size=PAGE, page_token=token)
            ),
            "processes",
        ),
        _pages(
            lambda token: system.orders.ListOrders(
                ListOrdersRequest(page_size=PAGE, page_token=token)
            ),
            "orders",
        ),
        _pages(
            lambda token: system.payments.ListPayments(
                ListPaymentsRequest(page_size=PAGE, page_token=token)
            ),
            "payments",
        ),
        _pages(
            lambda token: system.deliveries.ListDeliveries(
                ListDeliveriesRequest(page_size=PAGE, page_token=token)
            ),
            "deliveries",
        ),
    )
    with open_ledger_view(system.ledger_url) as ledger:
        balances = ledger.balances()
    with sqlite3.connect(f"file:{system.delivery.database}?mode=ro", uri=True) as couriers:
        loads = dict(couriers.execute("SELECT courier_id, load FROM couriers").fetchall())
    couriers.close()
    return Everything(
        processes=processes,
        orders={it.order_id: it for it in orders},
        payments={it.payment_id: it for it in payments},
        deliveries={it.delivery_id: it for it in deliveries},
        balances=balances,
        loads=loads,
    )


def contradictions(all_: Everything) -> list[str]:
    """What is not as it should be, once every process should be settled."""
    return [
        *(line for process in all_.processes for line in _of_process(process, all_)),
        *_of_nobody(all_),
        *_of_couriers(all_),
    ]


def _of_process(process: OrderProcess, all_: Everything) -> list[str]:
    state = OrderProcessState.Name(process.state).removeprefix("ORDER_PROCESS_STATE_")
    if state not in LEFT:
        return [f"{process.process_id} is {state}"]
    order, payment, delivery = LEFT[state]
    taken = process.total.minor_units if state == "COMPLETED" else 0
    balance = all_.balances.get(process.payment_id, NOTHING)
    checks = {
        "order": _state_of_order(all_.orders.get(process.order_id)) in order,
        "payment": _state_of_payment(all_.payments.get(process.payment_id)) in payment,
        "delivery": _state_of_delivery(all_.deliveries.get(process.delivery_id)) in delivery,
        "money taken": balance.taken == taken,
        "money held": balance.on_hold == 0,
    }
    return [
        f"{process.process_id} is {state}, but not its {name}: "
        f"{_state_of_order(all_.orders.get(process.order_id))} "
        f"{_state_of_payment(all_.payments.get(process.payment_id))} "
        f"{_state_of_delivery(all_.deliveries.get(process.delivery_id))} {balance}"
        for name, right in checks.items()
        if not right
    ]


def _of_nobody(all_: Everything) -> list[str]:
    of_processes = {
        id_ for it in all_.processes for id_ in (it.order_id, it.payment_id, it.delivery_id)
    }
    there = (*all_.orders, *all_.payments, *all_.deliveries, *all_.balances)
    return [f"{id_} belongs to no process" for id_ in there if id_ not in of_processes]


def _of_couriers(all_: Everything) -> list[str]:
    assigned = Counter(
        it.courier_id for it in all_.deliveries.values() if _state_of_delivery(it) == "ASSIGNED"
    )
    return [
        f"courier {id_} believes to have {load}, and has {assigned[id_]}"
        for id_, load in all_.loads.items()
        if load != assigned[id_]
    ]


def _state_of_order(order: Order | None) -> str:
    return "" if order is None else OrderState.Name(order.state).removeprefix("ORDER_STATE_")


def _state_of_payment(payment: Payment | None) -> str:
    if payment is None:
        return ""
    return PaymentState.Name(payment.state).removeprefix("PAYMENT_STATE_")


def _state_of_delivery(delivery: Delivery | None) -> str:
    if delivery is None:
        return ""
    return DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_")


async def _pages(ask: Callable[[str], Awaitable[Any]], field: str) -> list[Any]:
    """All that a List RPC has."""
    found: list[Any] = []
    token = ""
    while True:
        answer = await ask(token)
        found.extend(getattr(answer, field))
        if not (token := answer.next_page_token):
            return found
