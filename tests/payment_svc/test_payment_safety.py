"""Each safety mechanism, in a scenario that holds with it and is seen to fail without it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oms.payment.v1 import payment_pb2 as m
from payment_svc import domain, payments, servicer, settler
from payment_svc.asks import Asks
from payment_svc.domain import Content, Payment
from payment_svc.sandbox.ledger import Kind
from tests.payment_svc.harness.clock import ManualClock
from tests.payment_svc.harness.desk import PATIENCE_SECONDS, Desk, refusal
from tests.payment_svc.harness.gates import Gate, Way

NewUrl = Callable[[], str]
Scenario = Callable[[NewUrl], Awaitable[None]]


async def reached(gate: Gate) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await gate.reached.wait()


async def idle(desk: Desk) -> None:
    while desk.asks.under_way:
        await asyncio.wait(set(desk.asks._running.values()))


async def a_hold_that_a_crash_left_behind_is_released_by_a_cancel(new_url: NewUrl) -> None:
    async with Desk(new_url) as desk:
        gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.BACK)
        caller = asyncio.create_task(desk.create("pay_1"))
        await reached(gate)
        await desk.crash()
        await asyncio.gather(caller, return_exceptions=True)
        await desk.restart()
        assert m.PAYMENT_STATE_CANCELLED == (await desk.cancel_until_done("pay_1")).state
        assert 0 == desk.balance("pay_1").on_hold


async def a_create_that_comes_after_its_cancel_holds_nothing(new_url: NewUrl) -> None:
    async with Desk(new_url) as desk:
        assert m.PAYMENT_STATE_CANCELLED == (await desk.cancel("pay_1")).state
        assert "ALREADY_CANCELLED" == (await refusal(desk.create("pay_1"))).reason
        assert 0 == desk.balance("pay_1").on_hold


async def an_ask_goes_on_when_its_caller_leaves(new_url: NewUrl) -> None:
    clock = ManualClock()
    async with Desk(new_url, clock=clock) as desk:
        await clock.until_asleep(naps=1)
        gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.THERE)
        caller = asyncio.create_task(desk.create("pay_1"))
        await reached(gate)
        caller.cancel()
        await asyncio.wait({caller})
        await desk.until_idle()
        gate.open()
        await idle(desk)
        assert m.PAYMENT_STATE_HELD == (await desk.get("pay_1")).state


async def what_is_half_asked_is_settled_though_nobody_calls(new_url: NewUrl) -> None:
    clock = ManualClock()
    async with Desk(new_url, clock=clock) as desk:
        await clock.until_asleep(naps=1)
        gate = desk.gateway.shut("pay_1", Kind.HOLD, Way.THERE)
        caller = asyncio.create_task(desk.create("pay_1"))
        await reached(gate)
        await desk.crash()
        await asyncio.gather(caller, return_exceptions=True)
        await desk.restart()
        await clock.until_asleep(naps=2)
        await idle(desk)
        assert m.PAYMENT_STATE_HELD == (await desk.get("pay_1")).state


async def confirms_at_once_are_one_question(new_url: NewUrl) -> None:
    async with Desk(new_url) as desk:
        # How far the second and the third are when the first is answered is up to the machine.
        for payment_id in (f"pay_{number}" for number in range(10)):
            await desk.create(payment_id)
            gate = desk.gateway.shut(payment_id, Kind.CAPTURE, Way.THERE)
            callers = [asyncio.create_task(desk.confirm(payment_id)) for _ in range(3)]
            await reached(gate)
            # Behind those three there is one more, and it has been to the database and back.
            await desk.create(f"{payment_id}_behind")
            await desk.get(payment_id)
            gate.open()
            await asyncio.gather(*callers)
            assert 1 == desk.gateway.count(payment_id, Kind.CAPTURE)


def ask_before_the_intent_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    class AsksFirst(payments.Payments):
        async def create(self, payment_id: str, content: Content) -> Payment:
            await self.asks._gateway.hold(payment_id, content.amount, content.payment_method)
            return await super().create(payment_id, content)

    monkeypatch.setattr(servicer, "Payments", AsksFirst)


def leave_no_tombstone(monkeypatch: pytest.MonkeyPatch) -> None:
    class ForgetsTheUnknown(payments.Payments):
        async def cancel(self, payment_id: str) -> Payment:
            if await self._read(payment_id) is None:
                return domain.cancel(None, payment_id, self._clock.now_us())
            return await super().cancel(payment_id)

    monkeypatch.setattr(servicer, "Payments", ForgetsTheUnknown)


def ask_in_the_task_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answered(self: Asks, payment: Payment, *, just_stored: bool) -> Payment:
        outcome = await self._run(payment.payment_id, payment if just_stored else None)
        assert isinstance(outcome, Payment)
        return outcome

    monkeypatch.setattr(Asks, "answered", answered)


def settle_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def walk(self: settler.Settler, *, due_by_us: int) -> None:
        del self, due_by_us

    monkeypatch.setattr(settler.Settler, "walk", walk)


SCENARIOS: list[tuple[Scenario, Callable[[pytest.MonkeyPatch], None]]] = [
    (
        a_hold_that_a_crash_left_behind_is_released_by_a_cancel,
        ask_before_the_intent_is_stored,
    ),
    (a_create_that_comes_after_its_cancel_holds_nothing, leave_no_tombstone),
    (an_ask_goes_on_when_its_caller_leaves, ask_in_the_task_of_the_caller),
    (what_is_half_asked_is_settled_though_nobody_calls, settle_nothing),
    (confirms_at_once_are_one_question, ask_in_the_task_of_the_caller),
]


def name_of(value: Any) -> str:
    return str(value.__name__)


@pytest.mark.parametrize("scenario", [scenario for scenario, _ in SCENARIOS], ids=name_of)
async def test_it_holds(new_database_url: NewUrl, scenario: Scenario) -> None:
    await scenario(new_database_url)


@pytest.mark.parametrize(("scenario", "plant"), SCENARIOS, ids=name_of)
async def test_it_would_be_seen_to_fail(
    new_database_url: NewUrl,
    monkeypatch: pytest.MonkeyPatch,
    scenario: Scenario,
    plant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        await scenario(new_database_url)
