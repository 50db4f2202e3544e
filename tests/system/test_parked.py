"""Undos that are rejected:

PARKED, seen by `oms admin parked`, and finished by retry and resolve.
"""

from collections.abc import AsyncIterator

import pytest
from grpc import StatusCode

from oms.orchestrator.v1.order_process_admin_service_pb2 import (
    OrderProcessRevision,
    ResolveOrderProcessRequest,
    RetryOrderProcessRequest,
)
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_EVENT_KIND_RESOLVED_BY_HAND,
    ORDER_PROCESS_EVENT_KIND_RETRY_REQUESTED,
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_PARKED,
    OrderProcess,
)
from tests.system.harness.command import oms
from tests.system.harness.refusal import refusal
from tests.system.harness.requests import order
from tests.system.harness.scripted import Fails, Scripted
from tests.system.harness.system import Orchestrator

REJECTED = Fails(code=StatusCode.FAILED_PRECONDITION, message="the books are closed")
FORWARD = ["CreateOrder", "CreatePayment", "ConfirmPayment", "ConfirmOrder", "CreateDelivery"]


@pytest.fixture(scope="module")
async def orchestrator(
    scripted: Scripted, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Orchestrator]:
    alone = Orchestrator(
        folder=tmp_path_factory.mktemp("parked"), targets=scripted.targets, settings={}
    )
    try:
        await alone.start()
        yield alone
    finally:
        await alone.close()


async def parked(orchestrator: Orchestrator, scripted: Scripted) -> tuple[str, OrderProcess]:
    """A process whose payment cannot be cancelled, and its customer."""
    request = order()
    script = {"CreateDelivery": [REJECTED], "CancelPayment": [REJECTED]}
    scripted.script(request.customer_id, script)
    process = await orchestrator.place(request)
    assert ORDER_PROCESS_STATE_PARKED == process.state
    return request.customer_id, process


async def test_a_parked_process_is_listed_with_what_is_wrong(
    orchestrator: Orchestrator, scripted: Scripted
) -> None:
    _, process = await parked(orchestrator, scripted)
    listed = await oms("--target", orchestrator.address, "admin", "parked", "--json")
    assert 0 == listed.exit_code, listed.err
    (mine,) = [it for it in listed.json["processes"] if process.process_id in it.values()]
    assert process.process_id in str(mine)
    assert "cancel_payment" in str(mine)
    assert "the books are closed" in str(mine)
    shown = await oms("--target", orchestrator.address, "admin", "parked")
    assert process.process_id in shown.out


async def test_a_retry_finishes_a_parked_process_once_the_participant_is_well(
    orchestrator: Orchestrator, scripted: Scripted
) -> None:
    customer, process = await parked(orchestrator, scripted)
    retried = await oms(
        *("--target", orchestrator.address, "admin", "retry", process.process_id, "--yes"),
        *("--reason", "the books are open again", "--requested-by", "ada"),
    )
    assert 0 == retried.exit_code, retried.err
    settled = await orchestrator.until_settled(process)
    assert ORDER_PROCESS_STATE_CANCELLED == settled.state
    undone = ["CancelPayment", "CancelPayment", "CancelOrder"]
    assert FORWARD + undone == scripted.calls(customer)
    asked = await orchestrator.until_event(
        process, lambda it: it.kind == ORDER_PROCESS_EVENT_KIND_RETRY_REQUESTED
    )
    assert ("ada", "the books are open again") == (asked.event.requested_by, asked.event.message)


async def test_a_retry_while_the_participant_is_not_well_parks_the_process_again(
    orchestrator: Orchestrator, scripted: Scripted
) -> None:
    request = order()
    script = {"CreateDelivery": [REJECTED], "CancelPayment": [REJECTED, REJECTED]}
    scripted.script(request.customer_id, script)
    process = await orchestrator.place(request)
    retried = await oms(
        *("--target", orchestrator.address, "admin", "retry", process.process_id, "--json"),
        *("--reason", "let us see"),
    )
    assert 0 == retried.exit_code, retried.err
    again = await orchestrator.place(request)
    assert ORDER_PROCESS_STATE_PARKED == again.state
    assert again.revision > process.revision


async def test_a_resolution_finishes_the_rest_and_says_who_and_why(
    orchestrator: Orchestrator, scripted: Scripted
) -> None:
    customer, process = await parked(orchestrator, scripted)
    resolved = await oms(
        *("--target", orchestrator.address, "admin", "resolve", process.process_id, "--yes"),
        *("--reason", "refunded by bank transfer", "--requested-by", "grace"),
    )
    assert 0 == resolved.exit_code, resolved.err
    settled = await orchestrator.until_settled(process)
    assert ORDER_PROCESS_STATE_CANCELLED == settled.state
    assert [*FORWARD, "CancelPayment", "CancelOrder"] == scripted.calls(customer)
    (resolution,) = settled.resolved_by_hand
    assert ("cancel_payment", "grace", "refunded by bank transfer") == (
        resolution.step,
        resolution.requested_by,
        resolution.reason,
    )
    said = await orchestrator.until_event(
        process, lambda it: it.kind == ORDER_PROCESS_EVENT_KIND_RESOLVED_BY_HAND
    )
    assert "grace" == said.event.requested_by


async def test_a_retry_of_all_that_is_parked_finishes_all_of_it(
    orchestrator: Orchestrator, scripted: Scripted
) -> None:
    waiting = [(await parked(orchestrator, scripted))[1] for _ in range(3)]
    retried = await oms(
        *("--target", orchestrator.address, "admin", "retry", "--step", "cancel_payment"),
        *("--reason", "the books are open again", "--yes"),
    )
    assert 0 == retried.exit_code, retried.err
    for process in waiting:
        settled = await orchestrator.until_settled(process)
        assert ORDER_PROCESS_STATE_CANCELLED == settled.state
    listed = await oms("--target", orchestrator.address, "admin", "parked", "--json")
    assert [] == listed.json["processes"]


async def test_what_is_not_parked_or_has_moved_on_is_neither_retried_nor_resolved(
    orchestrator: Orchestrator, scripted: Scripted
) -> None:
    _, process = await parked(orchestrator, scripted)
    settled = await orchestrator.place(order())
    stale = OrderProcessRevision(process_id=process.process_id, revision=process.revision - 1)
    done = OrderProcessRevision(process_id=settled.process_id, revision=settled.revision)
    told = [
        await refusal(
            orchestrator.admin.RetryOrderProcess(
                RetryOrderProcessRequest(process=seen, reason="why not", requested_by="ada")
            )
        )
        for seen in (stale, done)
    ] + [
        await refusal(
            orchestrator.admin.ResolveOrderProcess(
                ResolveOrderProcessRequest(process=seen, reason="why not", requested_by="ada")
            )
        )
        for seen in (stale, done)
    ]
    assert [
        (StatusCode.ABORTED, "REVISION_MISMATCH"),
        (StatusCode.FAILED_PRECONDITION, "NOT_PARKED"),
        (StatusCode.ABORTED, "REVISION_MISMATCH"),
        (StatusCode.FAILED_PRECONDITION, "NOT_PARKED"),
    ] == [it.told for it in told]
