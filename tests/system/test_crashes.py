"""kill -9 of the orchestrator between any two calls; a restart finishes every process.

One kill strikes many processes at once: each is held at a point of its own, before a call reaches
its participant or after the call's effect and before its reply, at every call of every way that a
process can go.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest

from bench.chaos.snags import HeldReply, HeldRequest, Hold
from oms.delivery.v1.delivery_service_pb2 import ListDeliveriesRequest
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_COMPLETED,
    OrderProcess,
    OrderProcessState,
)
from oms.orchestrator.v1.order_process_service_pb2 import (
    ListOrderProcessesRequest,
    StartOrderProcessRequest,
)
from oms.payment.v1.payment_service_pb2 import ListPaymentsRequest
from payment_svc.sandbox.ledger import Balance
from tests.system.harness.requests import order
from tests.system.harness.system import System


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Nothing is over before the last process is where it should be struck."""
    return {"OMS_ATTEMPT_TIMEOUT_SECONDS": "60", "OMS_PROCESS_DEADLINE_SECONDS": "600"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way that a process can go:

    the order, the calls at which it may be struck, and how all must end.
    """

    payment_method: str = "pm_card_visa"
    country_code: str = "US"
    returned: bool = False
    calls: tuple[str, ...]
    state: str
    participants: dict[str, str]
    balance: Balance


NOTHING = Balance(held=0, captured=0, released=0)
REFUNDED = Balance(held=2_500, captured=2_500, released=2_500)
WAYS = {
    "delivered": Way(
        calls=("CreateOrder", "CreatePayment", "ConfirmPayment", "ConfirmOrder", "CreateDelivery"),
        state="COMPLETED",
        participants={"order": "CONFIRMED", "payment": "CONFIRMED", "delivery": "ASSIGNED"},
        balance=Balance(held=2_500, captured=2_500, released=0),
    ),
    "declined": Way(
        payment_method="pm_card_chargeDeclined",
        calls=("CreatePayment", "CancelOrder"),
        state="CANCELLED",
        participants={"order": "CANCELLED", "payment": "DECLINED", "delivery": ""},
        balance=NOTHING,
    ),
    "declined at confirmation": Way(
        payment_method="pm_sandbox_confirmDeclined",
        calls=("ConfirmPayment", "CancelPayment", "CancelOrder"),
        state="CANCELLED",
        participants={"order": "CANCELLED", "payment": "CANCELLED", "delivery": ""},
        balance=Balance(held=2_500, captured=0, released=2_500),
    ),
    "undeliverable": Way(
        country_code="AQ",
        calls=("CreateDelivery", "CancelPayment", "CancelOrder"),
        state="CANCELLED",
        participants={"order": "CANCELLED", "payment": "CANCELLED", "delivery": "REJECTED"},
        balance=REFUNDED,
    ),
    "returned": Way(
        returned=True,
        calls=("CancelDelivery", "CancelPayment", "CancelOrder"),
        state="CANCELLED",
        participants={"order": "CANCELLED", "payment": "CANCELLED", "delivery": "CANCELLED"},
        balance=REFUNDED,
    ),
}
# What becomes of the call that is under way when the orchestrator is killed.
LOST = "the request is lost"
LATE = "the request arrives when all is over"
DONE = "the call is done, its reply is lost"
CASES = [
    (name, call, manner)
    for name, way in WAYS.items()
    for call in way.calls
    for manner in (LOST, LATE, DONE)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A process that was under way when the orchestrator was killed, and how it ended."""

    process: OrderProcess
    calls: list[str]
    participants: dict[str, str]
    balance: Balance
    payments: int
    deliveries: int
    processes: int


async def brought_to(
    system: System, way: Way, call: str, manner: str
) -> tuple[StartOrderProcessRequest, OrderProcess, Hold]:
    """A process of that way, held at that call."""
    request = order(payment_method=way.payment_method, country_code=way.country_code)
    hold = system.roads.hold(
        HeldReply if manner == DONE else HeldRequest, request.customer_id, call
    )
    if way.returned:
        process = await system.orchestrator.place(request)
        assert ORDER_PROCESS_STATE_COMPLETED == process.state
        process = await system.orchestrator.cancel(process.process_id, "sent back")
    else:
        process = await system.orchestrator.accept(request)
    await hold.reached()
    return request, process, hold


async def looked_at(
    system: System, request: StartOrderProcessRequest, process: OrderProcess
) -> Struck:
    """How a process has ended, as the orchestrator, the participants and the gateway tell."""
    payments = await system.payments.ListPayments(ListPaymentsRequest(order_id=process.order_id))
    deliveries = await system.deliveries.ListDeliveries(
        ListDeliveriesRequest(order_id=process.order_id)
    )
    processes = await system.orchestrator.processes.ListOrderProcesses(
        ListOrderProcessesRequest(customer_id=request.customer_id)
    )
    return Struck(
        process=process,
        calls=system.roads.calls(request.customer_id),
        participants=await system.states(process),
        balance=system.balance(process.payment_id),
        payments=len(payments.payments),
        deliveries=len(deliveries.deliveries),
        processes=len(processes.processes),
    )


@pytest.fixture(scope="module")
async def struck(system: System) -> dict[tuple[str, str, str], Struck]:
    """All cases, after one kill -9 that found each of them where it should."""
    held = await asyncio.gather(
        *(brought_to(system, WAYS[name], call, manner) for name, call, manner in CASES)
    )
    await system.orchestrator.kill()
    for (_, _, manner), (_, _, hold) in zip(CASES, held, strict=True):
        if manner != LATE:
            hold.lose()
    await system.orchestrator.restart()
    settled = await asyncio.gather(
        *(system.orchestrator.until_settled(process) for _, process, _ in held)
    )
    for (_, _, manner), (_, _, hold) in zip(CASES, held, strict=True):
        if manner == LATE:
            hold.release()
            await hold.over()
    ended = await asyncio.gather(
        *(
            looked_at(system, request, process)
            for (request, _, _), process in zip(held, settled, strict=True)
        )
    )
    return dict(zip(CASES, ended, strict=True))


@pytest.mark.parametrize("case", CASES, ids=" - ".join)
def test_a_process_struck_at_any_call_ends_as_if_nothing_had_happened(
    case: tuple[str, str, str], struck: dict[tuple[str, str, str], Struck]
) -> None:
    way, seen = WAYS[case[0]], struck[case]
    state = OrderProcessState.Name(seen.process.state).removeprefix("ORDER_PROCESS_STATE_")
    assert (way.state, way.participants, way.balance) == (
        state,
        seen.participants,
        seen.balance,
    )
    assert (1, way.participants["delivery"] != "") == (seen.payments, seen.deliveries == 1)
    assert 1 == seen.processes


@pytest.mark.parametrize("case", CASES, ids=" - ".join)
def test_only_the_call_that_was_struck_is_made_again(
    case: tuple[str, str, str], struck: dict[tuple[str, str, str], Struck]
) -> None:
    _, call, _ = case
    made = Counter(struck[case].calls)
    assert {method: 2 if method == call else 1 for method in made} == dict(made)


async def test_a_process_whose_orchestrator_is_killed_at_each_of_its_calls_ends_all_the_same(
    system: System,
) -> None:
    way = WAYS["undeliverable"]
    request = order(country_code=way.country_code)
    forward = ["CreateOrder", "CreatePayment", "ConfirmPayment", "ConfirmOrder", "CreateDelivery"]
    # The refusal of the delivery is lost once, so nobody knows that there is nothing to cancel.
    undos = ["CancelDelivery", "CancelPayment", "CancelOrder"]
    holds = [system.roads.hold(HeldReply, request.customer_id, it) for it in (*forward, *undos)]
    process = await system.orchestrator.accept(request)
    for hold in holds:
        await hold.reached()
        await system.orchestrator.kill()
        hold.lose()
        await system.orchestrator.restart()
    seen = await looked_at(system, request, await system.orchestrator.until_settled(process))
    assert [call for call in (*forward, *undos) for _ in range(2)] == seen.calls
    assert (way.participants, way.balance) == (seen.participants, seen.balance)
