"""What callers see of a process that was settled so long ago that its history is gone."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from chassis.channels import open_channel
from chassis.clock import SystemClock
from oms.delivery.v1 import delivery_service_pb2 as delivery_api
from oms.orchestrator.v1 import order_process_admin_service_pb2 as admin_pb
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from oms.order.v1 import order_service_pb2 as order_api
from oms.payment.v1 import payment_service_pb2 as payment_api
from orchestrator.participants.purgers import open_purgers
from orchestrator.retention import Retention, Terms
from tests.chassis.refusal import refusal
from tests.orchestrator.audit.harness.auditing import audit
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office, address, order, seen
from tests.orchestrator.edge.harness.town import Town

FOR_EVER = Terms(settled_seconds=0.0, request_id_seconds=0.0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with Town(tmp_path_factory.mktemp("town")) as town:
        yield town


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(town: Town, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with Office(tmp_path_factory.mktemp("office"), town.targets) as office:
        yield office


async def take_leave(office: Office, town: Town, terms: Terms = FOR_EVER) -> None:
    """Of everything that is settled by now."""
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(open_channel(town.targets[name]))
            for name in ("order", "payment", "delivery")
        ]
        retention = Retention(
            retirement=office.log.retirement,
            purgers=open_purgers(*channels),
            terms=terms,
            clock=SystemClock(),
        )
        await retention.batch()


async def delivered(office: Office, town: Town, request_id: str) -> process_pb.OrderProcess:
    """One that was delivered long ago."""
    process = await office.start(request_id)
    assert process_pb.ORDER_PROCESS_STATE_COMPLETED == process.state
    await take_leave(office, town)
    return process


def without_history(process: process_pb.OrderProcess) -> process_pb.OrderProcess:
    left = process_pb.OrderProcess()
    left.CopyFrom(process)
    for field in ("steps", "failure", "total", "deadline"):
        left.ClearField(field)
    return left


async def get(office: Office, **key: str) -> process_pb.OrderProcess:
    answer = await office.service.GetOrderProcess(
        pb.GetOrderProcessRequest(**key), timeout=PATIENCE_SECONDS
    )
    return answer.process


async def test_the_same_request_is_the_same_process_in_its_final_state(
    office: Office, town: Town
) -> None:
    process = await delivered(office, town, "same")
    assert without_history(process) == await office.start("same")
    assert without_history(process) == await office.accept("same")


async def test_the_same_request_id_with_other_content_is_refused(
    office: Office, town: Town
) -> None:
    process = await delivered(office, town, "other")
    request = order("other", customer_id="bob")
    error = await refusal(office.service.StartOrderProcess(request, timeout=PATIENCE_SECONDS))
    assert "REQUEST_ID_REUSED" == error.reason
    assert process.process_id == (await get(office, request_id="other")).process_id


async def test_it_is_got_by_any_of_its_keys_and_listed_no_more(office: Office, town: Town) -> None:
    process = await delivered(office, town, "keys")
    expected = without_history(process)
    assert expected == await get(office, process_id=process.process_id)
    assert expected == await get(office, request_id="keys")
    assert expected == await get(office, order_id=process.order_id)
    listed = await office.service.ListOrderProcesses(
        pb.ListOrderProcessesRequest(), timeout=PATIENCE_SECONDS
    )
    assert process.process_id not in [it.process_id for it in listed.processes]


async def test_a_watch_of_it_tells_how_it_ended_and_ends(office: Office, town: Town) -> None:
    process = await delivered(office, town, "watched")
    request = pb.WatchOrderProcessRequest(process_id=process.process_id)
    [message] = [
        it async for it in office.service.WatchOrderProcess(request, timeout=PATIENCE_SECONDS)
    ]
    assert process_pb.ORDER_PROCESS_EVENT_KIND_COMPLETED == message.event.kind
    assert (process.revision, process.end_time) == (
        message.event.revision,
        message.event.event_time,
    )
    assert without_history(process) == message.process
    request.after_revision = process.revision
    assert [] == [
        it async for it in office.service.WatchOrderProcess(request, timeout=PATIENCE_SECONDS)
    ]


async def test_it_cannot_be_returned_any_more(office: Office, town: Town) -> None:
    process = await delivered(office, town, "returned")
    error = await refusal(office.cancel(process.process_id))
    assert "RETURN_WINDOW_CLOSED" == error.reason


async def test_one_that_was_cancelled_is_answered_as_it_is(office: Office, town: Town) -> None:
    process = await office.start("declined", payment_method="pm_card_chargeDeclined")
    assert process_pb.ORDER_PROCESS_STATE_CANCELLED == process.state
    await take_leave(office, town)
    assert without_history(process) == await office.cancel(process.process_id)


async def test_an_operator_is_told_that_it_is_not_parked(office: Office, town: Town) -> None:
    process = await delivered(office, town, "operator")
    request = admin_pb.RetryOrderProcessRequest(
        process=seen(process), reason="it is well", requested_by="grace"
    )
    error = await refusal(office.admin.RetryOrderProcess(request, timeout=PATIENCE_SECONDS))
    assert "NOT_PARKED" == error.reason


async def test_the_participants_have_nothing_left_of_it_and_the_audit_is_clean(
    office: Office, town: Town
) -> None:
    await office.start("undeliverable", delivery_address=address(country_code="AQ"))
    await delivered(office, town, "nothing")
    orders = await town.order.ListOrders(order_api.ListOrdersRequest())
    payments = await town.payment.ListPayments(payment_api.ListPaymentsRequest())
    deliveries = await town.delivery.ListDeliveries(delivery_api.ListDeliveriesRequest())
    assert [] == [*orders.orders, *payments.payments, *deliveries.deliveries]
    assert [] == (await audit(office)).kinds


async def test_once_it_is_forgotten_its_request_id_begins_a_new_process(
    office: Office, town: Town
) -> None:
    process = await delivered(office, town, "again")
    await take_leave(office, town, Terms(settled_seconds=0.0, request_id_seconds=0.000_001))
    again = await office.start("again")
    assert process.process_id != again.process_id
    error = await refusal(get(office, process_id=process.process_id))
    assert "PROCESS_NOT_FOUND" == error.reason
