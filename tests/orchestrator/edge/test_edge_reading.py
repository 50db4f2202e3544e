"""Get, List and Watch."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, Office
from tests.orchestrator.edge.harness.refusal import refusal, told
from tests.orchestrator.edge.harness.scripted import (
    Gate,
    ScriptedParticipants,
    confirm_order,
    fails,
)

COMPLETED = process_pb.ORDER_PROCESS_STATE_COMPLETED
CANCELLED = process_pb.ORDER_PROCESS_STATE_CANCELLED
PARKED = process_pb.ORDER_PROCESS_STATE_PARKED

KIND = process_pb.OrderProcessEventKind


async def get(office: Office, **key: str) -> process_pb.OrderProcess:
    request = pb.GetOrderProcessRequest(**key)
    return (await office.service.GetOrderProcess(request, timeout=PATIENCE_SECONDS)).process


async def watched(office: Office, **request: object) -> list[pb.WatchOrderProcessResponse]:
    """Everything that a watch tells until it ends."""
    call = office.service.WatchOrderProcess(
        pb.WatchOrderProcessRequest(**request),  # type: ignore[arg-type]  # fields by name
        timeout=PATIENCE_SECONDS,
    )
    return [message async for message in call]


async def test_a_process_is_found_by_each_of_its_keys(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    del participants
    process = await office.start(request_id)

    assert process == await get(office, process_id=process.process_id)
    assert process == await get(office, request_id=request_id)
    assert process == await get(office, order_id=process.order_id)


@pytest.mark.parametrize(
    ("key", "value"),
    [("process_id", "prc_none"), ("request_id", "none"), ("order_id", "ord_none")],
)
async def test_what_is_not_there_is_not_found(office: Office, key: str, value: str) -> None:
    assert ("NOT_FOUND", "PROCESS_NOT_FOUND") == told(await refusal(get(office, **{key: value})))


async def test_an_id_of_another_kind_finds_nothing(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    del participants
    process = await office.start(request_id)

    for other in (process.payment_id, process.process_id, process.order_id.upper()):
        assert ("NOT_FOUND", "PROCESS_NOT_FOUND") == told(
            await refusal(get(office, order_id=other))
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelf(
    server: ScriptedParticipants, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    """An orchestrator with seven processes of two customers; r3 was cancelled."""
    server.forget()
    async with Office(tmp_path_factory.mktemp("shelf"), server.targets) as shelf:
        for number in range(1, 8):
            if number == 3:
                server.answers["CreateOrder"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
            await shelf.start(f"r{number}", customer_id="ada" if number % 2 else "grace")
            server.forget()
        yield shelf


async def listed(shelf: Office, **request: object) -> list[str]:
    """The request ids on all pages."""
    found: list[str] = []
    page_token = ""
    while True:
        page = await shelf.service.ListOrderProcesses(
            pb.ListOrderProcessesRequest(page_token=page_token, **request),  # type: ignore[arg-type]  # fields by name
            timeout=PATIENCE_SECONDS,
        )
        found += [process.request_id for process in page.processes]
        page_token = page.next_page_token
        if not page_token:
            return found


async def test_a_list_is_newest_first_page_by_page(shelf: Office) -> None:
    newest_first = [f"r{number}" for number in range(7, 0, -1)]

    for page_size in (0, 1, 2, 3, 6, 7, 8, 5_000):
        assert newest_first == await listed(shelf, page_size=page_size)


async def test_a_page_holds_as_many_as_it_was_asked_for_where_there_are_as_many(
    participants: ScriptedParticipants, tmp_path: Path
) -> None:
    async with Office(tmp_path, participants.targets) as office:
        await asyncio.gather(*(office.start(f"r{number}") for number in range(103)))
        newest_first = await listed(office, page_size=1_000)
        for page_size in (49, 50, 51, 100, 101, 102, 103):
            page = await office.service.ListOrderProcesses(
                pb.ListOrderProcessesRequest(page_size=page_size)
            )
            assert newest_first[:page_size] == [it.request_id for it in page.processes]
            assert newest_first == await listed(office, page_size=page_size)

    assert 103 == len(set(newest_first))


async def test_a_page_that_is_full_and_the_last_says_so(shelf: Office) -> None:
    page = await shelf.service.ListOrderProcesses(pb.ListOrderProcessesRequest(page_size=7))

    assert 7 == len(page.processes)
    assert not page.next_page_token


async def test_a_list_lets_through_what_all_its_filters_let_through(shelf: Office) -> None:
    fourth = (await get(shelf, request_id="r4")).create_time

    assert ["r6", "r4", "r2"] == await listed(shelf, page_size=2, customer_id="grace")
    assert ["r3"] == await listed(shelf, states=[CANCELLED])
    assert ["r7", "r5", "r1"] == await listed(
        shelf, page_size=2, customer_id="ada", states=[COMPLETED, PARKED]
    )
    assert ["r7", "r6", "r5", "r4"] == await listed(shelf, create_time_after=fourth)
    assert ["r3", "r2", "r1"] == await listed(shelf, create_time_before=fourth)
    assert [] == await listed(shelf, customer_id="nobody")


async def test_a_page_token_is_good_only_with_its_filters(shelf: Office) -> None:
    page = await shelf.service.ListOrderProcesses(pb.ListOrderProcessesRequest(page_size=2))

    error = await refusal(
        shelf.service.ListOrderProcesses(
            pb.ListOrderProcessesRequest(page_token=page.next_page_token, customer_id="ada")
        )
    )

    assert ["page_token"] == [violation.field for violation in error.violations]


async def test_a_listed_process_is_shown_as_it_is_when_it_is_asked_for(shelf: Office) -> None:
    page = await shelf.service.ListOrderProcesses(pb.ListOrderProcessesRequest(page_size=1))

    assert page.processes[0] == await get(shelf, request_id="r7")


async def test_the_watch_of_a_settled_process_replays_it_and_ends(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    participants.answers["CreatePayment"] = fails(
        grpc.StatusCode.FAILED_PRECONDITION, reason="PAYMENT_DECLINED", message="no"
    )
    process = await office.start(request_id)

    messages = await watched(office, process_id=process.process_id)

    told_events = [
        (
            KIND.Name(it.event.kind).removeprefix("ORDER_PROCESS_EVENT_KIND_"),
            it.event.step,
            it.event.attempt,
            it.event.outcome,
        )
        for it in messages
    ]
    assert [
        ("STARTED", "", 0, ""),
        ("ATTEMPT_BEGAN", "create_order", 1, ""),
        ("ATTEMPT_ENDED", "create_order", 1, "succeeded"),
        ("ATTEMPT_BEGAN", "process_payment", 1, ""),
        ("ATTEMPT_ENDED", "process_payment", 1, "rejected"),
        ("COMPENSATION_BEGAN", "process_payment", 0, ""),
        ("ATTEMPT_BEGAN", "cancel_order", 1, ""),
        ("ATTEMPT_ENDED", "cancel_order", 1, "succeeded"),
        ("CANCELLED", "", 0, ""),
    ] == told_events
    assert list(range(1, 10)) == [it.event.revision for it in messages]
    assert list(range(1, 10)) == [it.process.revision for it in messages]
    assert process == messages[-1].process
    ended = messages[4].event
    assert ("FAILED_PRECONDITION", "PAYMENT_DECLINED", "no") == (
        ended.code,
        ended.reason,
        ended.message,
    )


async def test_a_watch_goes_on_after_the_revision_that_it_names(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    del participants
    process = await office.start(request_id)
    whole = await watched(office, process_id=process.process_id)

    for after_revision in (1, 5, 11, 12, 99):
        rest = await watched(office, process_id=process.process_id, after_revision=after_revision)
        assert whole[after_revision:] == rest


async def test_a_watch_follows_a_process_as_it_goes(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    process = await office.accept(request_id)
    call = office.service.WatchOrderProcess(
        pb.WatchOrderProcessRequest(process_id=process.process_id), timeout=PATIENCE_SECONDS
    )
    messages: list[pb.WatchOrderProcessResponse] = []
    async for message in call:
        messages.append(message)
        if message.event.step == "confirm_order" and not gate.opened.is_set():
            # What came so far came before it was over.
            gate.opened.set()

    assert list(range(1, 13)) == [it.event.revision for it in messages]
    assert COMPLETED == messages[-1].process.state


async def test_any_number_may_watch_one_process(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    process = await office.accept(request_id)
    watches = [
        asyncio.ensure_future(watched(office, process_id=process.process_id)) for _ in range(10)
    ]
    await gate.arrived.wait()
    gate.opened.set()

    histories = await asyncio.gather(*watches)

    assert [12] * 10 == [len(messages) for messages in histories]


async def test_the_watch_of_a_parked_process_goes_on_until_it_is_settled(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    participants.answers["CreatePayment"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    participants.answers["CancelOrder"] = fails(grpc.StatusCode.FAILED_PRECONDITION)
    process = await office.start(request_id)
    assert PARKED == process.state
    participants.forget()
    watching = asyncio.ensure_future(
        watched(office, process_id=process.process_id, after_revision=process.revision)
    )

    await office.retry(process)
    messages = await watching

    assert KIND.ORDER_PROCESS_EVENT_KIND_RETRY_REQUESTED == messages[0].event.kind
    assert CANCELLED == messages[-1].process.state


async def test_the_watch_of_a_return_passes_by_the_first_end(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    del participants
    process = await office.start(request_id)
    await office.cancel(process.process_id)
    await office.reaches(process.process_id, CANCELLED)

    messages = await watched(office, process_id=process.process_id)

    kinds = [it.event.kind for it in messages]
    assert KIND.ORDER_PROCESS_EVENT_KIND_COMPLETED in kinds
    assert KIND.ORDER_PROCESS_EVENT_KIND_CANCELLED == kinds[-1]


async def test_the_watch_of_what_is_not_there_is_refused(office: Office) -> None:
    error = await refusal(watched(office, process_id="prc_none"))

    assert ("NOT_FOUND", "PROCESS_NOT_FOUND") == told(error)


async def test_a_watch_that_is_broken_off_leaves_nothing_behind(
    office: Office, participants: ScriptedParticipants, request_id: str
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    process = await office.accept(request_id)
    call = office.service.WatchOrderProcess(
        pb.WatchOrderProcessRequest(process_id=process.process_id)
    )
    await call.read()
    call.cancel()
    gate.opened.set()
    await office.start(request_id)
    await office.server._handlers.idle()

    assert {} == office.orchestrator._servicer._feed._subscriptions
    assert {} == office.orchestrator._servicer._rests._subscriptions


async def test_a_drain_ends_watches(participants: ScriptedParticipants, tmp_path: Path) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(confirm_order)
    async with Office(tmp_path, participants.targets) as office:
        process = await office.accept("r1")
        await gate.arrived.wait()
        watching = asyncio.ensure_future(refusal(watched(office, process_id=process.process_id)))
        watches = office.orchestrator._servicer._feed._subscriptions
        while not watches:
            await office.get(process.process_id)
        draining = asyncio.ensure_future(office.drain())

        error = await watching
        gate.opened.set()
        await draining

    assert ("UNAVAILABLE", "DRAINING") == told(error)
