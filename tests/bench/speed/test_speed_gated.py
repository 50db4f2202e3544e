"""The gate in front of a slow participant."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from bench.speed import gated
from bench.speed.gated import Gate, arrivals

SERVICE = "order_svc"


@dataclass
class Call:
    method: str
    invocation_metadata: Any = ()


CREATE = Call("/oms.order.v1.OrderService/CreateOrder")
HEALTH = Call("/grpc.health.v1.Health/Check")


@pytest.fixture
async def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(gated, "SLOW_SECONDS", (0.0, 0.0))
    yield Gate(SERVICE, tmp_path)
    for number in (gated.NEXT, gated.COUNT):
        asyncio.get_running_loop().remove_signal_handler(number)


async def reached(_call: grpc.HandlerCallDetails) -> str:
    return "the service"


async def test_an_open_gate_lets_calls_through(gate: Gate) -> None:
    assert "the service" == await gate.intercept_service(reached, CREATE)


async def test_what_is_held_goes_on_when_the_gate_opens_and_nothing_is_lost(gate: Gate) -> None:
    gate._next()
    held = [asyncio.create_task(gate.intercept_service(reached, CREATE)) for _ in range(3)]
    await asyncio.sleep(0)
    assert "the service" == await gate.intercept_service(reached, HEALTH)
    assert not any(it.done() for it in held)
    gate._next()
    assert ["the service"] * 3 == await asyncio.gather(*held)


async def test_a_gate_says_in_which_state_it_is(gate: Gate, tmp_path: Path) -> None:
    assert not gated.is_now(SERVICE, tmp_path, gated.HELD)
    for state in (gated.HELD, gated.SLOW, gated.OPEN):
        gate._next()
        assert gated.is_now(SERVICE, tmp_path, state)


async def test_a_slow_gate_opens_again(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gated, "SLOW_SECONDS", (3_600.0, 3_600.0))
    gate._next()
    gate._next()
    late = asyncio.create_task(gate.intercept_service(reached, CREATE))
    await asyncio.sleep(0)
    gate._next()
    assert "the service" == await gate.intercept_service(reached, CREATE)
    assert not late.done()
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)


async def test_arrivals_are_counted_from_the_signal_on(gate: Gate, tmp_path: Path) -> None:
    await gate.intercept_service(reached, CREATE)
    assert [] == arrivals(SERVICE, tmp_path)
    gate._count()
    await gate.intercept_service(reached, CREATE)
    await gate.intercept_service(reached, HEALTH)
    assert 1 == len(arrivals(SERVICE, tmp_path))
    gate._count()
    assert [] == arrivals(SERVICE, tmp_path)
