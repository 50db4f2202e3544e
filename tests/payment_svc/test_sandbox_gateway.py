"""The sandbox gateway and its ledger: durable, idempotent, and slow where its method says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import sqlalchemy

from chassis.clock import Clock, SystemClock
from payment_svc.domain import Approved, Declined, Money, Release
from payment_svc.gateway import GatewayUnavailable
from payment_svc.sandbox.gateway import SandboxGateway
from payment_svc.sandbox.ledger import METHODS, Balance, Kind, Misused
from payment_svc.sandbox.store import open_ledger_view
from tests.payment_svc.harness.clock import ManualClock

USD = Money(currency_code="USD", minor_units=100)
SLOW_SECONDS = 90.0


@asynccontextmanager
async def sandbox(url: str, clock: Clock | None = None) -> AsyncIterator[SandboxGateway]:
    gateway = await SandboxGateway.open(url, clock or SystemClock(), slow_seconds=SLOW_SECONDS)
    try:
        yield gateway
    finally:
        await gateway.close()


def balance(url: str, payment_id: str) -> Balance:
    with open_ledger_view(url) as view:
        return view.balance(payment_id)


async def test_it_knows_its_own_methods_and_no_others(database_url: str) -> None:
    async with sandbox(database_url) as gateway:
        assert all(gateway.knows(method) for method in METHODS)
        assert not gateway.knows("pm_card_mastercard")
        assert not gateway.knows("")


async def test_a_hold_a_capture_and_a_refund_are_in_the_ledger(database_url: str) -> None:
    async with sandbox(database_url) as gateway:
        assert Approved() == await gateway.hold("pay_1", USD, "pm_card_visa")
        assert Balance(held=100, captured=0, released=0) == balance(database_url, "pay_1")
        assert Approved() == await gateway.capture("pay_1", USD)
        assert 100 == balance(database_url, "pay_1").taken
        assert Release.REFUNDED is await gateway.release("pay_1")
        assert Balance(held=100, captured=100, released=100) == balance(database_url, "pay_1")


async def test_the_first_answer_is_given_again_after_a_restart(database_url: str) -> None:
    async with sandbox(database_url) as gateway:
        poor = await gateway.hold("pay_1", USD, "pm_card_chargeDeclinedInsufficientFunds")
        assert Approved() == await gateway.hold("pay_2", USD, "pm_card_visa")
        assert Release.VOIDED is await gateway.release("pay_2")
    async with sandbox(database_url) as gateway:
        again = await gateway.hold("pay_1", USD, "pm_card_chargeDeclinedInsufficientFunds")
        assert isinstance(again, Declined)
        assert poor == again
        assert Release.VOIDED is await gateway.release("pay_2")
    with open_ledger_view(database_url) as view:
        assert [Kind.HOLD] == [entry.kind for entry in view.entries("pay_1")]
        assert [Kind.HOLD, Kind.RELEASE] == [entry.kind for entry in view.entries("pay_2")]


async def test_the_same_question_asked_at_once_has_one_effect(database_url: str) -> None:
    async with sandbox(database_url) as gateway, sandbox(database_url) as replica:
        holds = [
            asking.hold(f"pay_{number}", USD, "pm_card_visa")
            for number in range(20)
            for asking in (gateway, replica, gateway)
        ]
        assert {Approved()} == set(await asyncio.gather(*holds))
    with open_ledger_view(database_url) as view:
        assert 20 == len(view.entries())
        assert {100} == {moved.held for moved in view.balances().values()}


async def test_a_release_of_an_id_never_seen_is_kept_so_that_a_late_hold_is_declined(
    database_url: str,
) -> None:
    async with sandbox(database_url) as gateway:
        assert Release.NOTHING is await gateway.release("pay_1")
        assert isinstance(await gateway.hold("pay_1", USD, "pm_card_visa"), Declined)
    assert Balance(held=0, captured=0, released=0) == balance(database_url, "pay_1")


async def test_one_payment_that_is_misused_does_not_harm_the_others(database_url: str) -> None:
    more = Money(currency_code="USD", minor_units=101)
    async with sandbox(database_url) as gateway:
        await gateway.hold("pay_1", USD, "pm_card_visa")
        misused, fine = await asyncio.gather(
            gateway.hold("pay_1", more, "pm_card_visa"),
            gateway.hold("pay_2", USD, "pm_card_visa"),
            return_exceptions=True,
        )
    assert isinstance(misused, Misused)
    assert Approved() == fine


async def test_a_slow_hold_is_in_the_ledger_long_before_it_is_answered(database_url: str) -> None:
    clock = ManualClock()
    async with sandbox(database_url, clock) as gateway:
        hold = asyncio.create_task(gateway.hold("pay_1", USD, "pm_sandbox_slow"))
        await clock.until_asleep(naps=1)
        assert 100 == balance(database_url, "pay_1").on_hold
        clock.advance(SLOW_SECONDS - 1)
        again = asyncio.create_task(gateway.hold("pay_1", USD, "pm_sandbox_slow"))
        await clock.until_asleep(naps=2)
        assert not hold.done()
        clock.advance(1)
        assert Approved() == await hold
        assert Approved() == await again
        # Its time is over: at once.
        assert Approved() == await gateway.hold("pay_1", USD, "pm_sandbox_slow")
        assert 2 == clock.naps


async def test_a_slow_hold_counts_from_when_it_was_first_asked_also_after_a_restart(
    database_url: str,
) -> None:
    clock = ManualClock()
    async with sandbox(database_url, clock) as gateway:
        hold = asyncio.create_task(gateway.hold("pay_1", USD, "pm_sandbox_slow"))
        await clock.until_asleep(naps=1)
        hold.cancel()
        await asyncio.wait({hold})
    clock.advance(60)
    async with sandbox(database_url, clock) as gateway:
        hold = asyncio.create_task(gateway.hold("pay_1", USD, "pm_sandbox_slow"))
        await clock.until_asleep(naps=2)
        clock.advance(SLOW_SECONDS - 60)
        assert Approved() == await hold


async def test_a_slow_payment_is_captured_and_released_at_once(database_url: str) -> None:
    clock = ManualClock()
    async with sandbox(database_url, clock) as gateway:
        hold = asyncio.create_task(gateway.hold("pay_1", USD, "pm_sandbox_slow"))
        await clock.until_asleep(naps=1)
        clock.advance(SLOW_SECONDS)
        await hold
        assert Approved() == await gateway.capture("pay_1", USD)
        assert Release.REFUNDED is await gateway.release("pay_1")


async def test_a_wall_clock_that_was_set_back_makes_it_no_slower(database_url: str) -> None:
    async with sandbox(database_url, ManualClock()) as gateway:
        hold = asyncio.create_task(gateway.hold("pay_1", USD, "pm_sandbox_slow"))
        clock = ManualClock(now_us=1)
        async with sandbox(database_url, clock) as restarted:
            again = asyncio.create_task(restarted.hold("pay_1", USD, "pm_sandbox_slow"))
            await clock.until_asleep(naps=1)
            clock.advance(SLOW_SECONDS)
            assert Approved() == await again
        hold.cancel()
        await asyncio.wait({hold})


async def test_a_gateway_that_is_closed_is_unavailable(database_url: str) -> None:
    async with sandbox(database_url) as gateway:
        pass
    with pytest.raises(GatewayUnavailable):
        await gateway.hold("pay_1", USD, "pm_card_visa")


async def test_the_view_of_the_ledger_cannot_write(database_url: str) -> None:
    async with sandbox(database_url):
        with (
            open_ledger_view(database_url) as view,
            view._engine.connect() as connection,
            pytest.raises(sqlalchemy.exc.DBAPIError, match=r"(?i)read.?only"),
        ):
            connection.execute(sqlalchemy.text("DELETE FROM ledger_entries"))
