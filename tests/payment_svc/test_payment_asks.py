"""Asking the gateway: stopped at every point, left by its callers, crashed, cancelled meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio
import pytest

from chassis.statuses import WireError
from oms.payment.v1 import payment_pb2 as m
from payment_svc.gateway import GatewayUnavailable
from payment_svc.sandbox.ledger import Balance, Kind
from tests.payment_svc.harness.clock import ManualClock
from tests.payment_svc.harness.desk import AMOUNT, PATIENCE_SECONDS, Desk, refusal
from tests.payment_svc.harness.gates import Gate, Way

NOTHING = Balance(held=0, captured=0, released=0)
IN_PROGRESS = (grpc.StatusCode.ABORTED, "IN_PROGRESS")
CANCELLED = (grpc.StatusCode.FAILED_PRECONDITION, "ALREADY_CANCELLED")
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "GATEWAY_UNAVAILABLE")


def told(error: WireError) -> tuple[grpc.StatusCode, str]:
    return error.code, error.reason


async def reached(gate: Gate) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await gate.reached.wait()


@pytest.fixture
async def desk(new_database_url: Callable[[], str]) -> AsyncIterator[Desk]:
    async with Desk(new_database_url) as opened:
        yield opened


@pytest.fixture
async def still(new_database_url: Callable[[], str]) -> AsyncIterator[Desk]:
    """One whose clock stands still: the settling loop makes its first walk and sleeps."""
    clock = ManualClock()
    async with Desk(new_database_url, clock=clock) as opened:
        await clock.until_asleep(naps=1)
        yield opened


async def test_a_payment_says_what_is_being_asked_before_it_is_asked(desk: Desk) -> None:
    gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.THERE)
    create = asyncio.create_task(desk.create("pay_1"))
    await reached(gate)
    payment = await desk.get("pay_1")
    assert (m.PAYMENT_STATE_PENDING, m.PAYMENT_GATEWAY_REQUEST_HOLD) == (
        payment.state,
        payment.pending_gateway_request,
    )
    assert NOTHING == desk.balance("pay_1")
    gate.open()
    assert m.PAYMENT_STATE_HELD == (await create).state

    gate = desk.gateway.shut("pay_1", Kind.CAPTURE, Way.THERE)
    confirm = asyncio.create_task(desk.confirm("pay_1"))
    await reached(gate)
    payment = await desk.get("pay_1")
    assert (m.PAYMENT_STATE_HELD, m.PAYMENT_GATEWAY_REQUEST_CAPTURE) == (
        payment.state,
        payment.pending_gateway_request,
    )
    gate.open()
    await confirm

    gate = desk.gateway.shut("pay_1", Kind.RELEASE, Way.THERE)
    cancel = asyncio.create_task(desk.cancel("pay_1"))
    await reached(gate)
    payment = await desk.get("pay_1")
    assert (m.PAYMENT_STATE_CONFIRMED, m.PAYMENT_GATEWAY_REQUEST_RELEASE) == (
        payment.state,
        payment.pending_gateway_request,
    )
    gate.open()
    assert m.PAYMENT_RELEASE_REFUNDED == (await cancel).release


async def test_no_transaction_is_open_while_the_gateway_is_asked(desk: Desk) -> None:
    gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
    create = asyncio.create_task(desk.create("pay_1"))
    await reached(gate)
    # SQLite has one writer: had the ask a transaction open, this one would wait for it.
    assert m.PAYMENT_STATE_HELD == (await desk.create("pay_2")).state
    gate.open()
    await create


@pytest.mark.parametrize("way", Way)
async def test_a_create_that_is_sent_again_joins_the_ask_under_way(desk: Desk, way: Way) -> None:
    gate = desk.gateway.shut("pay_1", Kind.HOLD, way)
    first = asyncio.create_task(desk.create("pay_1"))
    await reached(gate)
    again = [asyncio.create_task(desk.create("pay_1")) for _ in range(3)]
    # All of them are known to wait once another payment has come and gone behind them.
    await desk.create("pay_2")
    gate.open()
    answers = await asyncio.gather(first, *again)
    assert [m.PAYMENT_STATE_HELD] * 4 == [answer.state for answer in answers]
    assert 1 == desk.gateway.count("pay_1", Kind.HOLD)


async def test_confirms_at_once_take_the_money_once(desk: Desk) -> None:
    await desk.create("pay_1")
    answers = await asyncio.gather(*(desk.confirm("pay_1") for _ in range(10)))
    assert {m.PAYMENT_STATE_CONFIRMED} == {answer.state for answer in answers}
    assert 1 == desk.gateway.count("pay_1", Kind.CAPTURE)


async def test_a_cancel_joins_the_release_under_way(desk: Desk) -> None:
    await desk.create("pay_1")
    gate = desk.gateway.shut("pay_1", Kind.RELEASE, Way.BACK)
    first = asyncio.create_task(desk.cancel("pay_1"))
    await reached(gate)
    again = asyncio.create_task(desk.cancel("pay_1"))
    await desk.create("pay_2")
    assert not first.done()
    assert not again.done()
    gate.open()
    assert await first == await again
    assert 1 == desk.gateway.count("pay_1", Kind.RELEASE)


@pytest.mark.parametrize("kind", [Kind.HOLD, Kind.CAPTURE])
@pytest.mark.parametrize("way", Way)
async def test_a_cancel_meanwhile_is_told_so_at_once_and_is_carried_out_afterwards(
    desk: Desk, kind: Kind, way: Way
) -> None:
    if kind is Kind.CAPTURE:
        await desk.create("pay_1")
    gate = desk.gateway.shut("pay_1", kind, way)
    forward = asyncio.create_task(
        refusal(desk.create("pay_1") if kind is Kind.HOLD else desk.confirm("pay_1"))
    )
    await reached(gate)
    for _ in range(2):
        assert IN_PROGRESS == told(await refusal(desk.cancel("pay_1")))
    # Nobody asks on for a payment that nobody wants.
    assert CANCELLED == told(await refusal(desk.create("pay_1")))
    assert CANCELLED == told(await refusal(desk.confirm("pay_1")))
    gate.open()
    assert CANCELLED == told(await forward)
    cancelled = await desk.cancel_until_done("pay_1")
    release = m.PAYMENT_RELEASE_VOIDED if kind is Kind.HOLD else m.PAYMENT_RELEASE_REFUNDED
    assert (m.PAYMENT_STATE_CANCELLED, release) == (cancelled.state, cancelled.release)
    moved = desk.balance("pay_1")
    assert (0, 0, AMOUNT) == (moved.on_hold, moved.taken, moved.released)


async def test_a_cancelled_wish_for_a_hold_that_is_declined_leaves_it_declined(desk: Desk) -> None:
    gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
    create = asyncio.create_task(refusal(desk.create("pay_1", method="pm_card_chargeDeclined")))
    await reached(gate)
    assert IN_PROGRESS == told(await refusal(desk.cancel("pay_1")))
    gate.open()
    assert "PAYMENT_DECLINED" == (await create).reason
    assert m.PAYMENT_STATE_DECLINED == (await desk.cancel("pay_1")).state
    assert 0 == desk.gateway.count("pay_1", Kind.RELEASE)


async def test_a_confirm_while_the_hold_is_being_asked_is_told_to_come_again(desk: Desk) -> None:
    gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
    create = asyncio.create_task(desk.create("pay_1"))
    await reached(gate)
    assert IN_PROGRESS == told(await refusal(desk.confirm("pay_1")))
    gate.open()
    await create
    assert m.PAYMENT_STATE_CONFIRMED == (await desk.confirm("pay_1")).state


@pytest.mark.parametrize("kind", [Kind.HOLD, Kind.CAPTURE])
async def test_a_caller_that_leaves_does_not_take_the_ask_along(still: Desk, kind: Kind) -> None:
    if kind is Kind.CAPTURE:
        await still.create("pay_1")
    gate = still.gateway.shut("pay_1", kind, Way.THERE)
    caller = asyncio.create_task(
        still.create("pay_1") if kind is Kind.HOLD else still.confirm("pay_1")
    )
    await reached(gate)
    caller.cancel()
    await asyncio.wait({caller})
    await still.until_idle()
    gate.open()
    state = m.PAYMENT_STATE_HELD if kind is Kind.HOLD else m.PAYMENT_STATE_CONFIRMED
    again = await (still.create("pay_1") if kind is Kind.HOLD else still.confirm("pay_1"))
    assert state == again.state
    assert 1 == still.gateway.count("pay_1", kind)


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("kind", Kind)
async def test_trouble_at_the_gateway_is_told_and_the_next_caller_asks_again(
    still: Desk, kind: Kind, way: Way
) -> None:
    async def call() -> m.Payment:
        match kind:
            case Kind.HOLD:
                return await still.create("pay_1")
            case Kind.CAPTURE:
                return await still.confirm("pay_1")
            case Kind.RELEASE:
                return await still.cancel("pay_1")

    if kind is not Kind.HOLD:
        await still.create("pay_1")
    still.gateway.fail("pay_1", kind, way)
    still.gateway.fail("pay_1", kind, way, RuntimeError("the gateway's client is wrong"))
    for _ in range(2):
        assert UNAVAILABLE == told(await refusal(call()))
    state = {
        Kind.HOLD: m.PAYMENT_STATE_HELD,
        Kind.CAPTURE: m.PAYMENT_STATE_CONFIRMED,
        Kind.RELEASE: m.PAYMENT_STATE_CANCELLED,
    }
    assert state[kind] == (await call()).state
    with still.ledger() as view:
        assert 1 == [entry.kind for entry in view.entries("pay_1")].count(kind)


async def answered(call: Awaitable[m.Payment]) -> m.PaymentState.ValueType | None:
    """The state that a call is answered with. None: that it is not known yet."""
    try:
        return (await call).state
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return None


async def test_a_gateway_that_is_too_slow_is_asked_again(
    new_database_url: Callable[[], str],
) -> None:
    async with Desk(new_database_url, gateway_timeout_seconds=0.05) as desk:
        gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
        assert UNAVAILABLE == told(await refusal(desk.create("pay_1")))
        gate.open()
        async with asyncio.timeout(PATIENCE_SECONDS):
            # On a machine that is busy the gateway may be too slow once more.
            while (await answered(desk.create("pay_1"))) != m.PAYMENT_STATE_HELD:
                pass
        assert AMOUNT == desk.balance("pay_1").on_hold


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("kind", Kind)
async def test_what_a_crash_left_half_asked_is_settled_after_the_restart(
    desk: Desk, kind: Kind, way: Way
) -> None:
    if kind is not Kind.HOLD:
        await desk.create("pay_1")
    gate = desk.gateway.shut("pay_1", kind, way)
    calls = {Kind.HOLD: desk.create, Kind.CAPTURE: desk.confirm, Kind.RELEASE: desk.cancel}
    caller = asyncio.create_task(calls[kind]("pay_1"))
    await reached(gate)
    await desk.crash()
    await asyncio.gather(caller, return_exceptions=True)

    await desk.restart()
    # Nobody calls: the settling loop asks.
    async with asyncio.timeout(PATIENCE_SECONDS):
        await desk.gateway.until_asked("pay_1", kind)
    payment = await calls[kind]("pay_1")
    state = {
        Kind.HOLD: m.PAYMENT_STATE_HELD,
        Kind.CAPTURE: m.PAYMENT_STATE_CONFIRMED,
        Kind.RELEASE: m.PAYMENT_STATE_CANCELLED,
    }
    assert state[kind] == payment.state
    with desk.ledger() as view:
        assert 1 == [entry.kind for entry in view.entries("pay_1")].count(kind)


@pytest.mark.parametrize("cancelled", ["before the crash", "after the restart"])
@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("kind", Kind)
async def test_a_payment_cancelled_around_a_crash_leaves_nothing_at_the_gateway(
    desk: Desk, kind: Kind, way: Way, cancelled: str
) -> None:
    if kind is not Kind.HOLD:
        await desk.create("pay_1")
    gate = desk.gateway.shut("pay_1", kind, way)
    calls = {Kind.HOLD: desk.create, Kind.CAPTURE: desk.confirm, Kind.RELEASE: desk.cancel}
    caller = asyncio.create_task(calls[kind]("pay_1"))
    await reached(gate)
    if cancelled == "before the crash" and kind is not Kind.RELEASE:
        assert IN_PROGRESS == told(await refusal(desk.cancel("pay_1")))
    await desk.crash()
    await asyncio.gather(caller, return_exceptions=True)

    await desk.restart()
    payment = await desk.cancel_until_done("pay_1")
    assert m.PAYMENT_STATE_CANCELLED == payment.state
    moved = desk.balance("pay_1")
    assert (0, 0) == (moved.on_hold, moved.taken)
    assert CANCELLED == told(await refusal(desk.create("pay_1")))


async def test_a_drain_lets_asks_end_within_the_grace(still: Desk) -> None:
    gate = still.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
    caller = asyncio.create_task(still.create("pay_1"))
    await reached(gate)
    drain = asyncio.create_task(still.servicer.drain(PATIENCE_SECONDS))
    gate.open()
    await drain
    assert m.PAYMENT_STATE_HELD == (await caller).state


async def test_a_drain_leaves_to_the_next_start_what_does_not_end(still: Desk) -> None:
    gate = still.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
    caller = asyncio.create_task(refusal(still.create("pay_1")))
    await reached(gate)
    await still.servicer.drain(0.0)
    assert UNAVAILABLE == told(await caller)
    # And nothing new is begun.
    assert UNAVAILABLE == told(await refusal(still.create("pay_2")))
    await still.crash()
    await still.restart()
    assert m.PAYMENT_STATE_HELD == (await still.create("pay_1")).state
    assert m.PAYMENT_STATE_HELD == (await still.create("pay_2")).state


async def test_an_ask_that_failed_does_not_keep_the_others_from_being_asked(desk: Desk) -> None:
    desk.gateway.fail("pay_1", Kind.HOLD, Way.THERE, GatewayUnavailable("no"), times=1_000)
    outcomes = await asyncio.gather(
        *(desk.create(f"pay_{number}") for number in range(1, 40)), return_exceptions=True
    )
    assert isinstance(outcomes[0], grpc.aio.AioRpcError)
    assert {m.PAYMENT_STATE_HELD} == {
        outcome.state for outcome in outcomes[1:] if isinstance(outcome, m.Payment)
    }
    assert 38 == sum(isinstance(outcome, m.Payment) for outcome in outcomes)
