"""What the system takes at the most, and what it does at the edges."""

import asyncio

import pytest
from grpc import StatusCode

from bench.chaos.snags import HeldReply
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED
from oms.orchestrator.v1.order_process_service_pb2 import ListOrderProcessesRequest
from oms.order.v1.order_service_pb2 import GetOrderRequest
from tests.system.harness.refusal import refusal
from tests.system.harness.requests import order
from tests.system.harness.system import System

IN_FLIGHT_MAX = 2
INT64_MAX = 2**63 - 1


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Few processes at once; a call that a test holds is not given up and made again."""
    return {"OMS_IN_FLIGHT_MAX": str(IN_FLIGHT_MAX), "OMS_ATTEMPT_TIMEOUT_SECONDS": "60"}


async def test_beyond_the_processes_in_flight_a_request_is_told_to_come_again_and_not_stored(
    system: System,
) -> None:
    requests = [order() for _ in range(IN_FLIGHT_MAX)]
    holds = [system.roads.hold(HeldReply, it.customer_id, "CreateOrder") for it in requests]
    accepted = [await system.orchestrator.accept(it) for it in requests]
    await asyncio.gather(*(hold.reached() for hold in holds))

    one_more = order()
    told = await refusal(system.orchestrator.processes.StartOrderProcess(one_more))
    assert (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED") == told.told
    assert told.retry_after_seconds is not None
    assert told.retry_after_seconds > 0
    listed = await system.orchestrator.processes.ListOrderProcesses(
        ListOrderProcessesRequest(customer_id=one_more.customer_id)
    )
    assert [] == list(listed.processes)

    # What was accepted before is found all the same.
    assert accepted[0].process_id == (await system.orchestrator.accept(requests[0])).process_id
    reused = await refusal(
        system.orchestrator.processes.StartOrderProcess(
            order(request_id=requests[0].request_id, quantity=9)
        )
    )
    assert (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED") == reused.told

    for hold in holds:
        hold.release()
    await asyncio.gather(*map(system.orchestrator.until_settled, accepted))
    placed = await system.orchestrator.place(one_more)
    assert ORDER_PROCESS_STATE_COMPLETED == placed.state


async def test_an_order_of_1000_items_is_taken_and_every_item_kept(system: System) -> None:
    request = order()
    request.items.extend([request.items[0]] * 999)
    placed = await system.orchestrator.place(request)
    assert ORDER_PROCESS_STATE_COMPLETED == placed.state
    assert 2_500_000 == placed.total.minor_units
    kept = await system.orders.GetOrder(GetOrderRequest(order_id=placed.order_id))
    assert list(request.items) == list(kept.order.items)


async def test_an_order_that_costs_nothing_asks_no_gateway(system: System) -> None:
    request = order()
    request.items[0].unit_price.minor_units = 0
    placed = await system.orchestrator.place(request)
    assert ORDER_PROCESS_STATE_COMPLETED == placed.state
    balance = system.balance(placed.payment_id)
    assert (0, 0, 0) == (balance.held, balance.captured, balance.released)


async def test_the_largest_amount_there_is_is_held_taken_and_given_back(system: System) -> None:
    request = order(quantity=1)
    request.items[0].unit_price.CopyFrom(Money(currency_code="JPY", minor_units=INT64_MAX))
    placed = await system.orchestrator.place(request)
    assert INT64_MAX == placed.total.minor_units
    assert INT64_MAX == system.balance(placed.payment_id).taken
    await system.orchestrator.cancel(placed.process_id, "too dear")
    await system.orchestrator.until_settled(await system.orchestrator.get(placed.process_id))
    assert 0 == system.balance(placed.payment_id).taken


async def test_words_of_every_script_come_back_as_they_were_sent(system: System) -> None:
    request = order()
    request.delivery_address.recipient = "Žofie Nováková"
    request.delivery_address.lines[:] = ["東京都千代田区1-1", "شارع النيل"]
    request.delivery_address.locality = "Αθήνα 🏛"
    placed = await system.orchestrator.place(request)
    kept = await system.orders.GetOrder(GetOrderRequest(order_id=placed.order_id))
    assert request.delivery_address == kept.order.delivery_address
