"""The settling loop: it asks again when it is due, and nothing stops it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from chassis import faults
from oms.payment.v1 import payment_pb2 as m
from payment_svc.domain import ASK_LEASE_US, Content, Money, Payment, Stage
from payment_svc.sandbox.ledger import Kind
from payment_svc.settler import BATCH_MAX
from payment_svc.store import table
from tests.payment_svc.harness.clock import MICROSECONDS, START_US, ManualClock
from tests.payment_svc.harness.desk import AMOUNT, PATIENCE_SECONDS, Desk, beside, refusal
from tests.payment_svc.harness.gates import Way

INTERVAL_SECONDS = 0.01


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def desk(new_database_url: Callable[[], str], clock: ManualClock) -> AsyncIterator[Desk]:
    """Its loop has made its first walk, and sleeps until the clock is moved."""
    async with Desk(
        new_database_url, clock=clock, settle_interval_seconds=INTERVAL_SECONDS
    ) as opened:
        await clock.until_asleep(naps=1)
        yield opened


async def walk(clock: ManualClock, seconds: float) -> None:
    """Moves the clock, and waits until the loop has walked and sleeps again."""
    naps = clock.naps
    clock.advance(seconds)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await clock.until_asleep(naps=naps + 1)


async def idle(desk: Desk) -> None:
    """Waits until no ask is under way."""
    while desk.asks.under_way:
        await asyncio.wait(set(desk.asks._running.values()))


def half_asked(number: int, stage: Stage = Stage.HOLDING) -> Payment:
    return Payment(
        payment_id=f"pay_{number}",
        content=Content(
            order_id="ord_1",
            amount=Money(currency_code="USD", minor_units=AMOUNT),
            payment_method="pm_card_visa",
        ),
        stage=stage,
        ask_due_us=START_US + ASK_LEASE_US,
        create_time_us=START_US,
        update_time_us=START_US,
        version=1,
    )


def insert(desk: Desk, *payments: Payment) -> None:
    with desk.database.engine.begin() as connection:
        table().insert(connection, payments)


async def test_what_is_unknown_is_asked_again_with_growing_pauses(
    desk: Desk, clock: ManualClock
) -> None:
    desk.gateway.fail("pay_1", Kind.HOLD, Way.THERE, times=4)
    error = await refusal(desk.create("pay_1"))
    assert "GATEWAY_UNAVAILABLE" == error.reason
    asked = 1
    # Half of the jitter: three quarters of 1, 2 and 4 seconds.
    for pause_seconds in (0.75, 1.5, 3.0):
        await walk(clock, pause_seconds - 0.1)
        await idle(desk)
        assert asked == desk.gateway.count("pay_1", Kind.HOLD)
        await walk(clock, 0.1)
        await idle(desk)
        asked += 1
        assert asked == desk.gateway.count("pay_1", Kind.HOLD)
    await walk(clock, 6.0)
    await idle(desk)
    assert m.PAYMENT_STATE_HELD == (await desk.get("pay_1")).state
    # Once it is known nobody asks any more.
    await walk(clock, 3_600.0)
    await idle(desk)
    assert asked + 1 == desk.gateway.count("pay_1", Kind.HOLD)


async def test_a_pause_has_an_upper_end(desk: Desk, clock: ManualClock) -> None:
    desk.gateway.fail("pay_1", Kind.HOLD, Way.THERE, times=2_000)
    await refusal(desk.create("pay_1"))
    for _ in range(30):
        await walk(clock, 300.0)
        await idle(desk)
    assert 31 == desk.gateway.count("pay_1", Kind.HOLD)


async def test_on_start_everything_half_asked_is_settled_whatever_its_stage(desk: Desk) -> None:
    stages = {
        Stage.HOLDING: m.PAYMENT_STATE_HELD,
        Stage.HOLDING_UNWANTED: m.PAYMENT_STATE_CANCELLED,
        Stage.VOIDING: m.PAYMENT_STATE_CANCELLED,
        Stage.REFUNDING: m.PAYMENT_STATE_CANCELLED,
    }
    insert(desk, *(half_asked(number, stage) for number, stage in enumerate(stages)))
    await desk.crash()
    await desk.restart()
    for number, state in enumerate(stages.values()):
        payment_id = f"pay_{number}"
        held = state == m.PAYMENT_STATE_HELD
        await desk.gateway.until_asked(payment_id, Kind.HOLD if held else Kind.RELEASE)
        await idle(desk)
        assert state == (await desk.get(payment_id)).state
        assert 0 == desk.balance(payment_id).taken
    assert [AMOUNT, 0, 0, 0] == [desk.balance(f"pay_{number}").on_hold for number in range(4)]


async def test_more_than_a_batch_is_settled_batch_by_batch(desk: Desk) -> None:
    count = 2 * BATCH_MAX + 7
    insert(desk, *(half_asked(number) for number in range(count)))
    await desk.crash()
    await desk.restart()
    for number in range(count):
        await desk.gateway.until_asked(f"pay_{number}", Kind.HOLD)
    await idle(desk)
    with desk.ledger() as view:
        assert count == len([1 for moved in view.balances().values() if moved.on_hold == AMOUNT])
    assert count == len(desk.gateway.asked)


async def test_a_question_is_left_to_the_process_that_asks_it_until_its_lease_is_over(
    desk: Desk, clock: ManualClock
) -> None:
    async with Desk(beside(desk), clock=clock, settle_interval_seconds=INTERVAL_SECONDS) as replica:
        await clock.until_asleep(naps=2)
        gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.THERE)
        create = asyncio.create_task(desk.create("pay_1"))
        await gate.reached.wait()
        for _ in range(3):
            naps = clock.naps
            clock.advance(ASK_LEASE_US / MICROSECONDS / 4)
            await clock.until_asleep(naps=naps + 2)
            await idle(replica)
        assert 0 == replica.gateway.count("pay_1", Kind.HOLD)
        clock.advance(ASK_LEASE_US / MICROSECONDS / 4)
        await replica.gateway.until_asked("pay_1", Kind.HOLD)
        await idle(replica)
        assert m.PAYMENT_STATE_HELD == (await replica.get("pay_1")).state
        # The first one finds that it was answered meanwhile.
        gate.open()
        assert m.PAYMENT_STATE_HELD == (await create).state
        with desk.ledger() as view:
            assert 1 == len(view.entries("pay_1"))


async def test_two_services_on_one_database_move_the_money_once(
    new_database_url: Callable[[], str],
) -> None:
    async with Desk(new_database_url) as desk, Desk(beside(desk)) as replica:
        both = (desk, replica)
        creates = [it.create(f"pay_{number}") for number in range(10) for it in both]
        assert {m.PAYMENT_STATE_HELD} == {it.state for it in await asyncio.gather(*creates)}
        confirms = [it.confirm(f"pay_{number}") for number in range(10) for it in both]
        assert {m.PAYMENT_STATE_CONFIRMED} == {it.state for it in await asyncio.gather(*confirms)}
        cancels = [it.cancel_until_done(f"pay_{number}") for number in range(10) for it in both]
        assert {m.PAYMENT_STATE_CANCELLED} == {it.state for it in await asyncio.gather(*cancels)}
        with desk.ledger() as view:
            assert 30 == len(view.entries())
            assert {0} == {moved.taken + moved.on_hold for moved in view.balances().values()}


async def test_a_row_that_cannot_be_read_does_not_stop_the_others(desk: Desk) -> None:
    insert(desk, half_asked(1), half_asked(2))
    with desk.database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE payments SET state = 'LOST' WHERE payment_id = 'pay_1'"))
    await desk.crash()
    await desk.restart()
    await desk.gateway.until_asked("pay_2", Kind.HOLD)
    await idle(desk)
    assert m.PAYMENT_STATE_HELD == (await desk.get("pay_2")).state
    error = await refusal(desk.get("pay_1"))
    assert grpc.StatusCode.INTERNAL is error.code
    assert "LOST" not in error.message


@pytest.mark.parametrize(
    "trouble",
    [faults.Unavailable("STORE_UNAVAILABLE", "not now"), RuntimeError("whatever it is")],
    ids=["trouble", "defect"],
)
async def test_a_round_that_fails_is_made_again(
    desk: Desk, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    insert(desk, half_asked(1))
    read = desk.database.read
    failures = [trouble, trouble]

    async def failing(query: Any) -> Any:
        if failures:
            raise failures.pop()
        return await read(query)

    clock.advance(ASK_LEASE_US / MICROSECONDS - INTERVAL_SECONDS)
    monkeypatch.setattr(desk.database, "read", failing)
    while not desk.gateway.asked:
        await walk(clock, INTERVAL_SECONDS)
        await idle(desk)
    assert [] == failures
    assert m.PAYMENT_STATE_HELD == (await desk.get("pay_1")).state


async def test_without_room_the_loop_waits_and_goes_on_where_it_was(
    desk: Desk, clock: ManualClock
) -> None:
    desk.asks._waiting_max = 4
    gates = [desk.gateway.shut(f"pay_{number}", Kind.HOLD, Way.THERE) for number in range(6)]
    insert(desk, *(half_asked(number) for number in range(6)))
    await walk(clock, ASK_LEASE_US / MICROSECONDS)
    # Half of the room is for callers who wait.
    assert 2 == desk.asks.under_way
    for number, gate in enumerate(gates):
        while not gate.reached.is_set():
            await walk(clock, INTERVAL_SECONDS)
        gate.open()
        await desk.gateway.until_asked(f"pay_{number}", Kind.HOLD)
    await idle(desk)
    assert {AMOUNT} == {desk.balance(f"pay_{number}").on_hold for number in range(6)}


async def test_where_too_much_waits_for_the_gateway_a_create_is_turned_away_unstored(
    desk: Desk,
) -> None:
    desk.asks._waiting_max = 1
    gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.THERE)
    first = asyncio.create_task(desk.create("pay_1"))
    await gate.reached.wait()
    error = await refusal(desk.create("pay_2"))
    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "GATEWAY_BUSY") == (error.code, error.reason)
    assert error.retry_after_seconds is not None
    assert grpc.StatusCode.NOT_FOUND is (await refusal(desk.get("pay_2"))).code
    # What is under way can be cancelled all the same.
    assert "IN_PROGRESS" == (await refusal(desk.cancel("pay_1"))).reason
    gate.open()
    assert "ALREADY_CANCELLED" == (await refusal(first_answer(first))).reason


async def first_answer(task: asyncio.Task[m.Payment]) -> m.Payment:
    return await task
