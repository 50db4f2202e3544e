"""StartOrderProcess: when it answers, and with what."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from oms.order.v1 import order_pb2, order_service_pb2
from oms.order.v1.order_pb2 import OrderItem
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office, address, order
from tests.orchestrator.edge.harness.refusal import refusal, told
from tests.orchestrator.edge.harness.scripted import (
    Gate,
    ScriptedParticipants,
    confirm_order,
    create_order,
    fails,
)

RUNNING = process_pb.ORDER_PROCESS_STATE_RUNNING
COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
CANCELLED = process_pb.ORDER_PROCESS_STATE_CANCELLED
PARKED = process_pb.ORDER_PROCESS_STATE_PARKED

FORWARD = ["CreateOrder", "CreatePayment", "ConfirmPayment", "ConfirmOrder", "CreateDelivery"]


async def test_it_answers_when_the_process_is_settled(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    process = await office.start(request_id)

    assert COMPLETED == process.state
    assert FORWARD == participants.calls
    assert (request_id, "ada", 12) == (process.request_id, process.customer_id, process.revision)
    assert process.HasField("end_time")
    assert 60 == process.deadline.seconds - process.create_time.seconds


async def test_a_caller_without_a_deadline_waits_for_the_end(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    call = office.service.StartOrderProcess(order(request_id))
    await gate.arrived.wait()
    gate.opened.set()

    assert COMPLETED == (await call).process.state


async def test_it_answers_when_the_process_is_parked(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    participants.answers["CreatePayment"] = fails(
        grpc.StatusCode.FAILED_PRECONDITION, reason="PAYMENT_DECLINED"
    )
    participants.answers["CancelOrder"] = fails(
        grpc.StatusCode.FAILED_PRECONDITION, reason="CANNOT", message="it was sent already"
    )

    process = await office.start(request_id)

    assert PARKED == process.state
    assert ("cancel_order", "FAILED_PRECONDITION", "CANNOT", "it was sent already") == (
        process.parking.step,
        process.parking.code,
        process.parking.reason,
        process.parking.message,
    )
    assert not process.HasField("end_time")


async def test_a_process_that_ended_cancelled_is_an_answer(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    participants.answers["CreatePayment"] = fails(
        grpc.StatusCode.FAILED_PRECONDITION, reason="PAYMENT_DECLINED"
    )

    process = await office.start(request_id)

    assert CANCELLED == process.state
    assert ["CreateOrder", "CreatePayment", "CancelOrder"] == participants.calls


async def test_return_immediately_answers_while_the_first_call_is_under_way(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(create_order)

    process = await office.accept(request_id)

    assert RUNNING == process.state
    [step] = process.steps
    assert ("create_order", 1, "") == (step.name, step.attempts, step.code)
    assert not process.HasField("next_attempt_time")
    gate.opened.set()
    await office.reaches(process.process_id, COMPLETED)


async def test_a_caller_is_answered_a_little_before_its_deadline_with_the_process_as_it_is(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)

    response = await office.service.StartOrderProcess(order(request_id), timeout=2.0)

    assert RUNNING == response.process.state
    assert "confirm_order" == response.process.steps[-1].name
    gate.opened.set()
    await office.reaches(response.process.process_id, COMPLETED)


async def test_a_caller_with_a_very_short_deadline_does_not_stop_its_process(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(create_order)
    call = office.service.StartOrderProcess(order(request_id), timeout=0.05)

    # On a machine that is busy it may come too late to answer; the process goes on either way.
    await asyncio.gather(_as_coroutine(call), return_exceptions=True)
    await gate.arrived.wait()
    gate.opened.set()

    assert COMPLETED == (await office.start(request_id)).state
    assert FORWARD == participants.calls


async def test_a_caller_that_leaves_does_not_stop_its_process(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(create_order)
    call = office.service.StartOrderProcess(order(request_id))
    await gate.arrived.wait()

    call.cancel()
    gate.opened.set()

    assert COMPLETED == (await office.start(request_id)).state
    assert FORWARD == participants.calls


async def test_what_has_been_answered_outlives_a_crash(
    participants: ScriptedParticipants, tmp_path: Path, request_id: str
) -> None:
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(create_order)
    async with Office(tmp_path, participants.targets) as before:
        accepted = await before.accept(request_id)
        await gate.arrived.wait()
        await before.crash()
    gate.opened.set()

    async with Office(tmp_path, participants.targets) as after:
        process = await after.reaches(accepted.process_id, COMPLETED)

    # The attempt that was cut short is made again.
    assert 2 == process.steps[0].attempts


async def test_the_same_request_is_the_same_process(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    first = await office.start(request_id)
    again = await office.start(request_id)
    at_once = await office.accept(request_id)

    assert first == again == at_once
    assert FORWARD == participants.calls


async def test_the_same_request_waits_for_the_process_that_runs_already(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    accepted = await office.accept(request_id)
    waiting = asyncio.ensure_future(office.start(request_id))
    await gate.arrived.wait()
    gate.opened.set()

    process = await waiting

    assert (accepted.process_id, COMPLETED) == (process.process_id, process.state)


async def test_the_same_request_sent_many_times_at_once_is_one_process(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    processes = await asyncio.gather(*(office.start(request_id) for _ in range(20)))

    assert 1 == len({process.process_id for process in processes})
    assert FORWARD == participants.calls


async def test_fields_that_are_not_known_are_ignored(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    first = await office.start(request_id)
    # Field 999, of type string.
    later_release = order(request_id).SerializeToString() + b"\xba\x3e\x03new"
    request = pb.StartOrderProcessRequest.FromString(later_release)

    again = await office.service.StartOrderProcess(request, timeout=PATIENCE_SECONDS)

    assert first == again.process
    assert FORWARD == participants.calls


BOOK = OrderItem(sku="BOOK", quantity=2, unit_price=Money(currency_code="USD", minor_units=1_250))
OTHER_CONTENT: dict[str, dict[str, Any]] = {
    "another customer": {"customer_id": "grace"},
    "another method": {"payment_method": "pm_card_mastercard"},
    "another address": {"delivery_address": address("CA")},
    "one item more": {"items": [BOOK, BOOK]},
    "another quantity": {"items": [OrderItem(sku="BOOK", quantity=3, unit_price=BOOK.unit_price)]},
    "another price": {
        "items": [
            OrderItem(sku="BOOK", quantity=2, unit_price=Money(currency_code="USD", minor_units=1))
        ]
    },
    "another currency": {
        "items": [
            OrderItem(
                sku="BOOK", quantity=2, unit_price=Money(currency_code="EUR", minor_units=1_250)
            )
        ]
    },
}


@pytest.mark.parametrize("name", OTHER_CONTENT)
async def test_the_same_request_id_with_other_content_is_refused(
    office: Office, participants: ScriptedParticipants, request_id: str, name: str
) -> None:
    before = await office.start(request_id)

    error = await refusal(office.start(request_id, **OTHER_CONTENT[name]))

    assert ("ALREADY_EXISTS", "REQUEST_ID_REUSED") == told(error)
    assert before == await office.start(request_id)
    assert FORWARD == participants.calls


async def test_the_total_is_what_the_order_service_added_up(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    async def rebated(request: Any, _context: object) -> Any:
        placed = order_pb2.Order(
            order_id=request.order_id,
            state=order_pb2.ORDER_STATE_PENDING,
            total=Money(currency_code="USD", minor_units=2_000),
        )
        return order_service_pb2.CreateOrderResponse(order=placed)

    participants.answers["CreateOrder"] = rebated

    process = await office.start(request_id)

    assert 2_000 == process.total.minor_units
    paid = [it for method, it in participants.requests if method == "CreatePayment"]
    assert [2_000] == [request.amount.minor_units for request in paid]


async def test_until_the_order_is_created_the_total_is_that_of_the_request(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(create_order)

    process = await office.accept(request_id)

    assert ("USD", 2_500) == (process.total.currency_code, process.total.minor_units)
    gate.opened.set()
    await office.reaches(process.process_id, COMPLETED)


async def test_more_processes_than_may_run_are_refused_and_nothing_is_stored(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = Gate()
    participants.answers["CreateOrder"] = gate.before(create_order)
    async with Office(tmp_path, participants.targets, in_flight_max=2) as office:
        first = await office.accept("r1")
        second = await office.accept("r2")

        error = await refusal(office.accept("r3"))
        listed = await office.service.ListOrderProcesses(pb.ListOrderProcessesRequest())

        assert ("RESOURCE_EXHAUSTED", "OVERLOADED") == told(error)
        assert error.retry_after_seconds
        assert ["r2", "r1"] == [process.request_id for process in listed.processes]

        # A request that is known is answered all the same.
        assert first.process_id == (await office.accept("r1")).process_id
        reused = await refusal(office.accept("r2", customer_id="grace"))
        assert ("ALREADY_EXISTS", "REQUEST_ID_REUSED") == told(reused)

        gate.opened.set()
        await office.reaches(first.process_id, COMPLETED)
        await office.reaches(second.process_id, COMPLETED)
        assert COMPLETED == (await office.start("r3")).state


async def test_a_server_that_drains_admits_nothing_new_and_still_knows_the_old(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    async with Office(tmp_path, participants.targets) as office:
        before = await office.start("r1")
        await office.orchestrator.drain(1.0)

        error = await refusal(office.start("r2"))
        again = await office.start("r1")

        assert ("UNAVAILABLE", "DRAINING") == told(error)
        assert before == again


async def test_a_drain_answers_who_waits_and_the_next_orchestrator_goes_on(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    async with Office(tmp_path, participants.targets) as office:
        waiting = asyncio.ensure_future(office.start("r1"))
        await gate.arrived.wait()
        draining = asyncio.ensure_future(office.drain())

        process = await waiting
        # The call under way may end within the grace; its outcome is kept, no other leaves.
        gate.opened.set()
        await draining

        assert RUNNING == process.state
    assert FORWARD[:4] == participants.calls

    async with Office(tmp_path, participants.targets) as office:
        await office.reaches(process.process_id, COMPLETED)

    assert FORWARD == participants.calls


async def test_a_drain_that_is_broken_off_hands_over_all_the_same(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    async with Office(tmp_path, participants.targets) as office:
        process = await office.accept("r1")
        await gate.arrived.wait()
        patient = asyncio.ensure_future(office.orchestrator.drain(PATIENCE_SECONDS))
        # One step of the loop, in which it begins.
        await asyncio.sleep(0)
        patient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await patient

        await office.orchestrator.drain(0)

        stored = await office.log.load(process.process_id)
        assert stored is not None
        assert stored.row.owner is None
    gate.opened.set()

    async with Office(tmp_path, participants.targets) as office:
        await office.reaches(process.process_id, COMPLETED)


async def _as_coroutine(call: Any) -> Any:
    return await call
