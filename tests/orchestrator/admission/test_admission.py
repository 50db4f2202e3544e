"""Who is let in, who waits and who is turned away; in virtual time, which a loop can be late in."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from orchestrator import admission as admitting
from orchestrator.admission import Admission
from orchestrator.limit import FIRST, LEAST, WAITING_LEAST, Limit
from tests.orchestrator.harness.virtual_time import VirtualClock, play

PATIENT_SECONDS = 3_600.0


class Shop(VirtualClock):
    """Processes that run until they are ended, and a loop that is as late as the test says."""

    def __init__(self, *, most: int = 10_000) -> None:
        self.at_work = 0
        self.late_seconds = 0.0
        self.order: list[int] = []
        self.admission = Admission(self, most=most, clock=self)

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + self.late_seconds)

    async def come(self, number: int = 0, *, patience_seconds: float = PATIENT_SECONDS) -> bool:
        admitted = await self.admission.admits(patience_seconds=patience_seconds)
        if admitted:
            self.at_work += 1
            self.order.append(number)
        return admitted

    def comes(self, number: int = 0) -> asyncio.Task[bool]:
        return asyncio.create_task(self.come(number))

    async def is_late(self, late_seconds: float, for_seconds: float) -> None:
        self.late_seconds = late_seconds
        await asyncio.sleep(for_seconds)


def played(shop: Shop, scenario: Coroutine[Any, Any, None]) -> None:
    async def observed() -> None:
        observing = asyncio.create_task(shop.admission.run())
        try:
            await scenario
        finally:
            shop.admission.close()
            observing.cancel()

    play(observed())


async def comes_to_a_late_one(shop: Shop, *, running: int) -> None:
    """It was late for long, with as many running as may; then others come, and some end."""
    shop.at_work = running
    await shop.is_late(0.1, for_seconds=30.0)
    waiting = [shop.comes(it) for it in range(10)]
    await asyncio.sleep(1.0)
    assert running == shop.at_work
    shop.at_work -= 3
    await asyncio.sleep(1.0)
    assert running == shop.at_work
    assert [0, 1, 2] == shop.order
    shop.at_work = 0
    assert all(await asyncio.gather(*waiting))
    assert list(range(10)) == shop.order


def test_while_it_is_late_whoever_comes_is_let_in_when_another_one_ends_and_in_order() -> None:
    shop = Shop()
    played(shop, comes_to_a_late_one(shop, running=LEAST))


def test_whoever_comes_finds_the_free_places_given_to_those_who_wait() -> None:
    shop = Shop()

    async def scenario() -> None:
        shop.at_work = LEAST
        await shop.is_late(0.1, for_seconds=30.0)
        waiting = [shop.comes(it) for it in range(10)]
        await asyncio.sleep(0)
        shop.at_work -= 3
        # No time passes, so nothing was looked at meanwhile.
        waiting.append(shop.comes(99))
        for _ in range(3):
            await asyncio.sleep(0)
        assert [0, 1, 2] == shop.order
        assert LEAST == shop.at_work
        shop.at_work = 0
        await asyncio.gather(*waiting)

    played(shop, scenario())


def test_a_limit_that_knows_no_lateness_lets_everybody_in_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Removes the mechanism: the limit."""
    monkeypatch.setattr(Limit, "running_max", 10_000)
    shop = Shop()
    with pytest.raises(AssertionError):
        played(shop, comes_to_a_late_one(shop, running=LEAST))


def test_thousands_that_wait_for_slow_participants_are_all_let_in() -> None:
    shop = Shop()

    async def scenario() -> None:
        tasks = []
        for _ in range(3_000):
            tasks.append(shop.comes())
            await asyncio.sleep(0.001)
        assert all(await asyncio.gather(*tasks))

    played(shop, scenario())
    assert 3_000 == shop.at_work


async def comes_to_a_full_house(shop: Shop) -> None:
    shop.at_work = LEAST
    await shop.is_late(0.1, for_seconds=30.0)
    waiting = [shop.comes() for _ in range(WAITING_LEAST)]
    await asyncio.sleep(0)
    async with asyncio.timeout(0):
        assert not await shop.come(patience_seconds=1.0)
    shop.at_work = 0
    assert all(await asyncio.gather(*waiting))


def test_who_would_wait_for_longer_than_he_likes_is_turned_away_at_once() -> None:
    shop = Shop()
    played(shop, comes_to_a_full_house(shop))


async def waits_in_vain(shop: Shop) -> float:
    """For how long somebody waits who has patience for a second, where nobody ever makes room."""
    shop.at_work = LEAST
    await shop.is_late(0.1, for_seconds=30.0)
    now = asyncio.get_running_loop().time
    began = now()
    many = [asyncio.create_task(shop.come(patience_seconds=1.0)) for _ in range(WAITING_LEAST)]
    assert not any(await asyncio.gather(*many))
    seconds = now() - began
    # Who has left takes nobody's place in the queue.
    last = shop.comes(99)
    await asyncio.sleep(0.5)
    assert not last.done()
    shop.at_work = 0
    assert await last
    return seconds


def test_who_waits_in_vain_is_turned_away_when_his_patience_is_over() -> None:
    shop = Shop()

    async def scenario() -> None:
        assert 1.0 <= await waits_in_vain(shop) < 1.2

    played(shop, scenario())


def test_without_an_end_to_patience_he_would_wait_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Removes the mechanism."""
    monkeypatch.setattr(admitting, "_turn_away", lambda _: None)
    shop = Shop()

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1_000.0):
                await waits_in_vain(shop)
        shop.at_work = 0

    played(shop, scenario())


def test_it_says_beforehand_who_will_be_turned_away() -> None:
    shop = Shop()

    async def scenario() -> None:
        assert not shop.admission.turns_away(patience_seconds=1.0)
        shop.at_work = LEAST
        await shop.is_late(0.1, for_seconds=30.0)
        assert not shop.admission.turns_away(patience_seconds=1.0)
        waiting = [shop.comes() for _ in range(WAITING_LEAST)]
        await asyncio.sleep(0)
        assert shop.admission.turns_away(patience_seconds=1.0)
        # A place that is free by then is given to who waits.
        shop.at_work -= 1
        assert not shop.admission.turns_away(patience_seconds=1.0)
        shop.at_work = 0
        assert all(await asyncio.gather(*waiting))
        shop.admission.close()
        assert shop.admission.turns_away(patience_seconds=PATIENT_SECONDS)

    played(shop, scenario())


def test_a_queue_without_a_bound_keeps_him_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the mechanism: the bound of who waits."""

    def endless(self: Limit, patience_seconds: float) -> int:
        del self, patience_seconds
        return 1_000_000

    monkeypatch.setattr(Limit, "waiting_max", endless)
    shop = Shop()
    with pytest.raises(TimeoutError):
        played(shop, comes_to_a_full_house(shop))


def test_more_than_the_bound_never_run_and_wait_together() -> None:
    shop = Shop(most=FIRST + 10)

    async def scenario() -> None:
        shop.at_work = FIRST
        waiting = [shop.comes() for _ in range(10)]
        await asyncio.sleep(0)
        assert not await shop.come()
        assert all(await asyncio.gather(*waiting))
        assert not await shop.come()

    played(shop, scenario())


def test_who_leaves_while_he_waits_takes_nobodys_place() -> None:
    shop = Shop()

    async def scenario() -> None:
        shop.at_work = LEAST
        await shop.is_late(0.1, for_seconds=30.0)
        first, second = shop.comes(1), shop.comes(2)
        await asyncio.sleep(0)
        first.cancel()
        shop.at_work -= 1
        assert await second

    played(shop, scenario())
    assert [2] == shop.order


def test_a_closed_one_admits_nobody_nor_who_waits() -> None:
    shop = Shop()

    async def scenario() -> None:
        shop.at_work = LEAST
        await shop.is_late(0.1, for_seconds=30.0)
        waiting = shop.comes()
        await asyncio.sleep(0)
        shop.admission.close()
        shop.at_work = 0
        assert not await waiting
        assert not await shop.come()

    played(shop, scenario())
