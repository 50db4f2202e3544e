"""The same thing more than once: requests sent again and at once, calls that a network doubles."""

import asyncio

import pytest
from grpc import StatusCode

from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPLETED,
    OrderProcess,
)
from oms.orchestrator.v1.order_process_service_pb2 import ListOrderProcessesRequest
from tests.system.harness.audit import contradictions, everything
from tests.system.harness.refusal import refusal
from tests.system.harness.requests import order
from tests.system.harness.roads import PARTICIPANT_OF
from tests.system.harness.system import System

AT_ONCE = 30


async def test_the_same_request_sent_many_times_at_once_is_one_process(system: System) -> None:
    request = order()
    answers = await asyncio.gather(*(system.orchestrator.place(request) for _ in range(AT_ONCE)))
    assert {ORDER_PROCESS_STATE_COMPLETED} == {it.state for it in answers}
    assert 1 == len({it.process_id for it in answers})
    listed = await system.orchestrator.processes.ListOrderProcesses(
        ListOrderProcessesRequest(customer_id=request.customer_id)
    )
    assert 1 == len(listed.processes)
    assert 5 == len(system.roads.calls(request.customer_id))


async def test_of_many_contents_under_one_request_id_one_is_taken_and_the_others_are_told(
    system: System,
) -> None:
    first = order()
    contents = [order(request_id=first.request_id, quantity=1 + it) for it in range(AT_ONCE)]

    async def told(number: int) -> OrderProcess | tuple[StatusCode, str]:
        call = system.orchestrator.processes.StartOrderProcess(contents[number])
        if await call.code() is StatusCode.OK:
            return (await call).process
        return (await refusal(call)).told

    answers = await asyncio.gather(*map(told, range(AT_ONCE)))
    refused = [it for it in answers if not isinstance(it, OrderProcess)]
    assert [(StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")] * (AT_ONCE - 1) == refused


@pytest.mark.parametrize("country_code", ["US", "AQ"])
async def test_calls_that_the_network_doubles_have_one_effect(
    system: System, country_code: str
) -> None:
    for method, name in PARTICIPANT_OF.items():
        system.roads.proxies[name].double(lambda it, method=method: it.name == method, times=20)  # type: ignore[misc]  # a default binds the loop's variable
    placed = await asyncio.gather(
        *(system.orchestrator.place(order(country_code=country_code)) for _ in range(20))
    )
    expected = (
        ORDER_PROCESS_STATE_COMPLETED if country_code == "US" else ORDER_PROCESS_STATE_CANCELLED
    )
    assert {expected} == {it.state for it in placed}
    for proxy in system.roads.proxies.values():
        proxy.clear()
    assert [] == contradictions(await everything(system))


async def test_many_who_watch_see_the_same_history_without_a_gap(system: System) -> None:
    process = await system.orchestrator.accept(order())

    async def watched(after: int) -> list[int]:
        return [
            it.event.revision
            async for it in system.orchestrator.follow(process.process_id, after_revision=after)
        ]

    seen = await asyncio.gather(*(watched(after) for after in range(10)))
    assert [list(range(after + 1, 13)) for after in range(10)] == seen
