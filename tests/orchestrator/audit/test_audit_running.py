"""Audits of what is not at rest, audits that break off, and what does not agree by intention."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from chassis.statuses import read_error
from oms.orchestrator.v1 import order_process_admin_service_pb2 as pb
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.order.v1 import order_service_pb2 as order_pb
from orchestrator.audit import resume_token, window
from orchestrator.audit.progress import Progress, Range
from orchestrator.saga.definition import Policy
from orchestrator.saga.retry import RetryPolicy
from tests.orchestrator.audit.harness.auditing import Audited, audit, corrupt, kind_of, usd
from tests.orchestrator.audit.harness.moody import MoodyPayments
from tests.orchestrator.edge.harness.office import PATIENCE_SECONDS, QUICK, Office, address
from tests.orchestrator.edge.harness.town import Town

PATIENT = Policy(step_retries=RetryPolicy(floor_seconds=1_000.0, cap_seconds=1_000.0))


@pytest_asyncio.fixture(loop_scope="module")
async def payments(town: Town) -> AsyncIterator[MoodyPayments]:
    """What the office takes for the payment service."""
    moody = MoodyPayments(town.payment)
    await moody.server.start()
    yield moody
    await moody.server.stop()


@pytest.fixture
def policy() -> Policy:
    return QUICK


@pytest_asyncio.fixture(loop_scope="module")
async def office(
    folder: Path, town: Town, payments: MoodyPayments, policy: Policy
) -> AsyncIterator[Office]:
    targets = town.targets | {"payment": payments.server.address}
    async with Office(folder, targets, policy=policy, process_deadline_seconds=10_000) as office:
        yield office


async def parked(office: Office, payments: MoodyPayments) -> process_pb.OrderProcess:
    payments.refuses["CancelPayment"] = grpc.StatusCode.FAILED_PRECONDITION
    process = await office.start("parked", delivery_address=address("AQ"))
    assert process_pb.ORDER_PROCESS_STATE_PARKED == process.state
    return process


async def test_a_parked_process_is_told_with_its_money_and_is_not_wrong(
    office: Office, payments: MoodyPayments
) -> None:
    process = await parked(office, payments)

    audited = await audit(office)

    (finding,) = audited.findings
    assert ("PROCESS_PARKED", process.process_id) == (kind_of(finding), finding.process_id)
    assert (usd(2_500), process.parking.park_time) == (finding.amount, finding.since)
    assert "cancel_payment" in finding.message
    assert {"USD": (0, 2_500)} == audited.money_at_risk
    assert not audited.summary.wrong


async def test_what_a_person_has_done_by_hand_is_acknowledged(
    office: Office, payments: MoodyPayments
) -> None:
    process = await office.resolve(await parked(office, payments))
    await office.reaches(process.process_id, process_pb.ORDER_PROCESS_STATE_CANCELLED)

    audited = await audit(office)

    assert [] == audited.findings
    assert {} == audited.money_at_risk


async def test_what_was_not_done_by_hand_is_still_found_beside_it(
    folder: Path, office: Office, payments: MoodyPayments
) -> None:
    process = await office.resolve(await parked(office, payments))
    await office.reaches(process.process_id, process_pb.ORDER_PROCESS_STATE_CANCELLED)
    corrupt(
        folder,
        "order",
        "UPDATE orders SET state = 'CONFIRMED' WHERE order_id = ?",
        process.order_id,
    )

    assert ["ORDER_OF_CANCELLED_PROCESS"] == (await audit(office)).kinds


@pytest.mark.parametrize("policy", [PATIENT])
async def test_a_process_that_nobody_moves_on_is_overdue(
    folder: Path, office: Office, payments: MoodyPayments
) -> None:
    payments.refuses["CreatePayment"] = grpc.StatusCode.UNAVAILABLE
    process = await office.accept("stuck")
    await office.waits(process.process_id)
    assert [] == (await audit(office)).findings
    corrupt(
        folder,
        "orchestrator",
        "UPDATE processes SET due_time_us = update_time_us - 400000000,"
        " update_time_us = update_time_us - 400000000 WHERE process_id = ?",
        process.process_id,
    )

    audited = await audit(office)

    assert ["PROCESS_OVERDUE"] == audited.kinds
    assert audited.summary.wrong
    patient = await audit(office, pb.AuditOrderProcessesRequest(overdue_seconds=500))
    assert [] == patient.findings


async def test_while_orders_run_nothing_is_reported_that_is_merely_under_way(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Windows so narrow that what belongs together is often in two, and read at two moments.
    monkeypatch.setattr(window, "PROCESSES_MAX", 4)
    fates: list[dict[str, object]] = [
        {},
        {"payment_method": "pm_card_chargeDeclined"},
        {"payment_method": "pm_sandbox_confirmDeclined"},
        {"delivery_address": address("AQ")},
        {},
    ]

    async def run(number: int) -> None:
        process = await office.start(f"load-{number}", **fates[number % len(fates)])
        if number % len(fates) == 4:
            await office.cancel(process.process_id)
            await office.reaches(process.process_id, process_pb.ORDER_PROCESS_STATE_CANCELLED)

    audits: list[Audited] = []
    begun: list[int] = []

    async def caller() -> None:
        # For as long as it takes, on whatever machine, to be audited a few times meanwhile.
        while len(begun) < 100 or len(audits) < 3:
            begun.append(len(begun))
            await run(begun[-1])

    async def load() -> None:
        await asyncio.gather(*(caller() for _ in range(10)))

    running = asyncio.create_task(load())
    while not running.done():
        audits.append(await audit(office))
    await running
    audits.append(await audit(office))

    assert len(audits) > 3
    assert [[]] * len(audits) == [it.findings for it in audits]
    assert len(begun) == audits[-1].summary.counts.processes


async def planted(town: Town, office: Office, folder: Path) -> list[str]:
    """Orders, and three things that are wrong. Returns what an audit finds."""
    delivered = [await office.start(f"order-{number}") for number in range(12)]
    await town.order.CancelOrder(
        order_pb.CancelOrderRequest(order_id=delivered[2].order_id), timeout=PATIENCE_SECONDS
    )
    corrupt(
        folder,
        "payment",
        "UPDATE payments SET minor_units = 1 WHERE payment_id = ?",
        delivered[9].payment_id,
    )
    return ["AMOUNT_MISMATCH", "DELIVERY_OF_CANCELLED", "ORDER_STATE_MISMATCH"]


def narrow(until_us: int) -> str:
    """A token of an audit from the beginning, in windows that begin narrow."""
    range_ = Range(overdue_seconds=300)
    progress = Progress(range=range_, until_us=until_us, position_us=0, width_us=1_000)
    return resume_token.encode(progress)


async def test_an_audit_that_breaks_off_anywhere_goes_on_where_it_was(
    town: Town, office: Office, folder: Path
) -> None:
    expected = await planted(town, office, folder)
    now_us = (await office.start("last")).create_time.ToMicroseconds()
    whole = await audit(office, pb.AuditOrderProcessesRequest(resume_token=narrow(now_us)))
    assert expected == whole.kinds
    assert len(whole.pages) > 5

    for breaks_off_after in range(1, len(whole.pages)):
        before = whole.pages[:breaks_off_after]
        rest = await audit(
            office, pb.AuditOrderProcessesRequest(resume_token=before[-1].resume_token)
        )
        joined = Audited(pages=[*before, *rest.pages])
        assert expected == joined.kinds
        assert whole.summary == joined.summary


@pytest.mark.parametrize(("name", "bound"), [("PROCESSES_MAX", 2), ("ENTITIES_MAX", 3)])
async def test_however_much_there_is_a_window_stays_within_bounds(
    *,
    town: Town,
    office: Office,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    bound: int,
) -> None:
    expected = await planted(town, office, folder)
    monkeypatch.setattr(window, name, bound)

    audited = await audit(office)

    assert expected == audited.kinds
    assert len(audited.pages) > 6
    counts = audited.summary.counts
    assert [12] * 4 == [counts.processes, counts.orders, counts.payments, counts.deliveries]


async def test_what_was_created_in_the_same_microsecond_is_audited_all_the_same(
    office: Office, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "PROCESSES_MAX", 2)
    monkeypatch.setattr(window, "ENTITIES_MAX", 2)
    for number in range(7):
        process = await office.start(f"twin-{number}")
        for name, column, id_ in (
            ("orchestrator", "process_id", process.process_id),
            ("order", "order_id", process.order_id),
            ("payment", "payment_id", process.payment_id),
            ("delivery", "delivery_id", process.delivery_id),
        ):
            table = {"orchestrator": "processes", "delivery": "deliveries"}.get(name, f"{name}s")
            at_once = "create_time_us = 1700000000000000"
            corrupt(folder, name, f"UPDATE {table} SET {at_once} WHERE {column} = ?", id_)  # noqa: S608 - ours

    audited = await audit(office)

    assert [] == audited.findings
    assert 7 == audited.summary.counts.processes == audited.summary.counts.orders


async def test_an_entity_far_from_its_process_is_neither_missed_nor_an_orphan(
    office: Office, folder: Path
) -> None:
    process = await office.start("late")
    statement = "UPDATE payments SET create_time_us = create_time_us + ? WHERE payment_id = ?"
    corrupt(folder, "payment", statement, -3_600_000_000, process.payment_id)
    statement = "UPDATE deliveries SET create_time_us = create_time_us + ? WHERE delivery_id = ?"
    corrupt(folder, "delivery", statement, 3_600_000_000, process.delivery_id)

    assert [] == (await audit(office)).findings


async def test_only_the_range_that_was_asked_for_is_audited(
    town: Town, office: Office, folder: Path
) -> None:
    await planted(town, office, folder)
    later = await office.start("later")
    request = pb.AuditOrderProcessesRequest(create_time_after=later.create_time)
    after = await audit(office, request)
    before = await audit(
        office, pb.AuditOrderProcessesRequest(create_time_before=later.create_time)
    )
    assert ([], 1) == (after.findings, after.summary.counts.processes)
    assert (3, 12) == (len(before.findings), before.summary.counts.processes)


@pytest.mark.parametrize("method", ["ListPayments", "GetPayment"])
async def test_a_participant_that_is_down_is_named_and_the_audit_can_go_on(
    office: Office, payments: MoodyPayments, method: str
) -> None:
    await office.start("declined", payment_method="pm_of_nobody")  # so that a payment is asked for
    payments.refuses[method] = grpc.StatusCode.UNAVAILABLE
    call = office.admin.AuditOrderProcesses(
        pb.AuditOrderProcessesRequest(), timeout=PATIENCE_SECONDS
    )
    pages: list[pb.AuditOrderProcessesResponse] = []

    async def read() -> None:
        async for page in call:
            pages.append(page)  # noqa: PERF401 - those before the error are wanted

    with pytest.raises(grpc.aio.AioRpcError) as broken_off:
        await read()
    told = read_error(broken_off.value)
    assert (grpc.StatusCode.UNAVAILABLE, "PARTICIPANT_UNAVAILABLE") == (told.code, told.reason)
    assert "payment service" in told.message
    assert 2 == payments.calls.count(method)

    payments.refuses.clear()
    rest = await audit(office, pb.AuditOrderProcessesRequest(resume_token=pages[-1].resume_token))
    assert ([], 1) == (rest.findings, rest.summary.counts.processes)


async def test_as_many_audits_as_may_be_are_under_way(office: Office) -> None:
    audits = office.orchestrator._audits
    held = [audits.pages(Range(overdue_seconds=300)) for _ in range(2)]
    for pages in held:
        await anext(pages)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await audit(office)
    told = read_error(refused.value)
    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "AUDITS_UNDER_WAY") == (told.code, told.reason)
    for pages in held:
        await pages.aclose()
    assert [] == (await audit(office)).findings


async def test_a_server_that_drains_ends_its_audits_behind_a_window(office: Office) -> None:
    audits = office.orchestrator._audits
    pages = audits.pages(Range(overdue_seconds=300))
    token = (await anext(pages)).progress
    audits.drain()
    with pytest.raises(Exception, match="DRAINING"):
        await anext(pages)
    assert 0 == token.position_us


async def test_a_request_that_is_wrong_is_told_all_of_it(office: Office) -> None:
    request = pb.AuditOrderProcessesRequest(
        resume_token="nonsense",
        overdue_seconds=-1,
    )
    request.create_time_after.FromSeconds(20)
    request.create_time_before.FromSeconds(10)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await audit(office, request)
    told = read_error(refused.value)
    assert ["create_time_before", "overdue_seconds", "resume_token"] == sorted(
        it.field for it in told.violations
    )


async def test_a_token_is_good_for_its_own_range_alone(office: Office) -> None:
    request = pb.AuditOrderProcessesRequest(overdue_seconds=60)
    request.create_time_after.FromSeconds(1_700_000_000)
    token = (await audit(office, request)).pages[0].resume_token
    bare = pb.AuditOrderProcessesRequest(resume_token=token)
    request.resume_token = token
    assert [] == (await audit(office, bare)).findings == (await audit(office, request)).findings
    request.create_time_after.FromSeconds(1_700_000_001)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await audit(office, request)
    assert ["resume_token"] == [it.field for it in read_error(refused.value).violations]
