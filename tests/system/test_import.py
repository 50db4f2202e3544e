"""An import while the orchestrator is killed once and the command once: a row is one process.

OMS_TEST_IMPORT_ROWS says how many rows there are; the design's own number is 10,000.
"""

import csv
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from oms.delivery.v1.delivery_pb2 import DELIVERY_STATE_ASSIGNED, Delivery
from oms.delivery.v1.delivery_service_pb2 import ListDeliveriesRequest
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPLETED,
    OrderProcess,
)
from oms.orchestrator.v1.order_process_service_pb2 import ListOrderProcessesRequest
from oms.order.v1.order_pb2 import ORDER_STATE_CONFIRMED, Order
from oms.order.v1.order_service_pb2 import ListOrdersRequest
from oms.payment.v1.payment_pb2 import PAYMENT_STATE_CONFIRMED, Payment
from oms.payment.v1.payment_service_pb2 import ListPaymentsRequest
from payment_svc.sandbox.store import open_ledger_view
from tests.system.harness.command import oms, start_oms
from tests.system.harness.system import System

ROWS = int(os.environ.get("OMS_TEST_IMPORT_ROWS", "600"))
PATIENCE_SECONDS = 60 + ROWS / 10
COLUMNS = (
    "key",
    "customer_id",
    "sku",
    "quantity",
    "unit_price_minor_units",
    "currency_code",
    "payment_method",
    "recipient",
    "line1",
    "locality",
    "postal_code",
    "country_code",
)
# By the last digit of a row: the payment method, the country, and how it must end.
FATES = {
    0: ("pm_card_chargeDeclined", "US", False),
    1: ("pm_card_visa", "AQ", False),
    2: ("pm_sandbox_confirmDeclined", "US", False),
}
FINE = ("pm_card_visa", "US", True)


@pytest.fixture(scope="module")
def by_road() -> Collection[str]:
    """The calls to OrderService tell how far the import is."""
    return ("order",)


def written(folder: Path) -> Path:
    """The file to import."""
    file = folder / "spring.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for number in range(ROWS):
            method, country, _ = FATES.get(number % 10, FINE)
            order = (f"cust-{number % 97}", "BOOK", 2, 1_250, "USD", method)
            address = ("Ada", "1 Market St", "San Francisco", "94105", country)
            writer.writerow([number, *order, *address])
    return file


async def pages(ask: Callable[[str], Awaitable[Any]], field: str) -> AsyncIterator[Any]:
    """All that a List RPC has."""
    token = ""
    while True:
        answer = await ask(token)
        for entry in getattr(answer, field):
            yield entry
        if not (token := answer.next_page_token):
            return


@pytest.mark.timeout(4 * PATIENCE_SECONDS)
async def test_every_row_is_exactly_one_process_whoever_is_killed_meanwhile(
    system: System, tmp_path: Path
) -> None:
    file = written(tmp_path)
    command = ["--target", system.orchestrator.address, "order", "import", str(file), "--json"]
    importing = await start_oms(*command, folder=tmp_path)
    await system.roads.passed("CreateOrder", ROWS // 4)
    await system.orchestrator.kill()
    await system.orchestrator.restart()
    await system.roads.passed("CreateOrder", ROWS // 2)
    assert importing.running
    await importing.kill()

    again = await oms(*command, folder=tmp_path, patience_seconds=PATIENCE_SECONDS)
    assert 0 == again.exit_code, again.err
    fine = sum(FATES.get(number % 10, FINE)[2] for number in range(ROWS))
    summary = again.json
    assert (ROWS, fine, ROWS - fine, 0, 0, 0) == (
        summary["accepted"],
        summary["completed"],
        summary["cancelled"],
        summary["parked"],
        summary["rejected"],
        summary["still_going"],
    )
    await all_is_as_it_should_be(system)


async def all_is_as_it_should_be(system: System) -> None:
    """Every row is one process, and everybody agrees on how it ended."""
    orders: dict[str, Order] = {
        it.order_id: it
        async for it in pages(
            lambda token: system.orders.ListOrders(
                ListOrdersRequest(page_size=1_000, page_token=token)
            ),
            "orders",
        )
    }
    payments: dict[str, Payment] = {
        it.payment_id: it
        async for it in pages(
            lambda token: system.payments.ListPayments(
                ListPaymentsRequest(page_size=1_000, page_token=token)
            ),
            "payments",
        )
    }
    deliveries: dict[str, Delivery] = {
        it.delivery_id: it
        async for it in pages(
            lambda token: system.deliveries.ListDeliveries(
                ListDeliveriesRequest(page_size=1_000, page_token=token)
            ),
            "deliveries",
        )
    }
    processes: list[OrderProcess] = [
        it
        async for it in pages(
            lambda token: system.orchestrator.processes.ListOrderProcesses(
                ListOrderProcessesRequest(page_size=1_000, page_token=token)
            ),
            "processes",
        )
    ]
    with open_ledger_view(system.ledger_url) as ledger:
        balances = ledger.balances()

    assert sorted(f"spring/{number}" for number in range(ROWS)) == sorted(
        it.request_id for it in processes
    )
    wrong = []
    for process in processes:
        fine = FATES.get(int(process.request_id.rpartition("/")[2]) % 10, FINE)[2]
        payment, delivery = payments[process.payment_id], deliveries.get(process.delivery_id)
        seen = (
            process.state,
            orders[process.order_id].state == ORDER_STATE_CONFIRMED,
            payment.state == PAYMENT_STATE_CONFIRMED,
            delivery is not None and delivery.state == DELIVERY_STATE_ASSIGNED,
            balances[process.payment_id].taken,
            balances[process.payment_id].on_hold,
        )
        expected = (
            (ORDER_PROCESS_STATE_COMPLETED, True, True, True, 2_500, 0)
            if fine
            else (ORDER_PROCESS_STATE_CANCELLED, False, False, False, 0, 0)
        )
        if expected != seen:
            wrong.append((process.request_id, seen))
    assert [] == wrong
    assert (ROWS, ROWS) == (len(orders), len(payments))
