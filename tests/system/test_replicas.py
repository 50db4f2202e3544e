"""Two replicas of a participant behind one target: whichever is killed, orders go through.

The two share a SQLite file, which participants may: each of their transactions takes the write lock
as it begins.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from oms.orchestrator.v1.order_process_pb2 import OrderProcessState
from tests.system.harness.process import PATIENCE_SECONDS
from tests.system.harness.requests import order
from tests.system.harness.scripted import Scripted
from tests.system.harness.service import Service
from tests.system.harness.system import Orchestrator

# Enough of them that a kill strikes some under way.
WAVE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An orchestrator, and two order services that it knows by one target."""

    orchestrator: Orchestrator
    one: Service
    two: Service

    async def wave(self) -> Counter[str]:
        """Many orders at once; how they ended."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            ended = await asyncio.gather(*(self.orchestrator.place(order()) for _ in range(WAVE)))
        return Counter(OrderProcessState.Name(it.state) for it in ended)

    async def wave_struck_by(self, victim: Service) -> Counter[str]:
        """Many orders at once, and a kill in the midst of them; how they ended."""
        wave = asyncio.create_task(self.wave())
        first = await self.orchestrator.accept(order())
        await self.orchestrator.until_event(first, lambda event: event.step == "process_payment")
        await victim.kill()
        return await wave


@pytest.fixture
async def pair(tmp_path: Path, scripted: Scripted) -> AsyncIterator[Pair]:
    """Payment and delivery are scripted: nothing happens to them here."""
    settings = {"OMS_ORDER_DATABASE_URL": f"sqlite:///{tmp_path / 'orders.db'}"}
    one = Service("order", folder=tmp_path, settings=settings)
    two = Service("order", folder=tmp_path, settings=settings)
    orchestrator = Orchestrator(
        folder=tmp_path,
        targets=scripted.targets | {"order": f"ipv4:{one.address},{two.address}"},
        settings={},
    )
    async with contextlib.AsyncExitStack() as stack:
        for it in (one, two, orchestrator):
            stack.push_async_callback(it.close)
        # One after the other: the first creates the tables.
        await one.start()
        await asyncio.gather(two.start(), orchestrator.start())
        yield Pair(orchestrator=orchestrator, one=one, two=two)


async def test_orders_go_through_whichever_of_the_two_is_killed(pair: Pair) -> None:
    all_completed = {"ORDER_PROCESS_STATE_COMPLETED": WAVE}
    assert all_completed == await pair.wave()
    assert all_completed == await pair.wave_struck_by(pair.one)
    assert all_completed == await pair.wave()

    await pair.one.restart()
    # With the other one gone, nothing ends that this one does not answer.
    assert all_completed == await pair.wave_struck_by(pair.two)
    assert all_completed == await pair.wave()
