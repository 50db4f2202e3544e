"""What counts as a sign of life, and what attempts tell the breaker of their target."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.channels import open_channel
from chassis.clock import SystemClock
from oms.order.v1 import order_service_pb2
from orchestrator.breaker import Breaker
from orchestrator.participants import vital_signs
from orchestrator.participants.order import SERVICE, OrderParticipant
from orchestrator.participants.vital_signs import asks_whether_there
from orchestrator.saga.code import Code
from tests.orchestrator.edge.harness.scripted import (
    METHODS,
    Answer,
    Gate,
    ScriptedParticipants,
    fails,
    replies,
)
from tests.orchestrator.participants.harness.attempts import CALL


class Health(health_pb2_grpc.HealthServicer):
    def __init__(self, status: str) -> None:
        self._status = status

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:  # noqa: N802 - gRPC's
        assert SERVICE == request.service
        del context
        status = health_pb2.HealthCheckResponse.ServingStatus.Value(self._status)
        return health_pb2.HealthCheckResponse(status=status)


@asynccontextmanager
async def server(status: str) -> AsyncIterator[str]:
    running = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(Health(status), running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await running.stop(None)


async def is_there(address: str) -> bool:
    async with open_channel(address) as channel:
        return await asks_whether_there(channel, SERVICE)()


@pytest.mark.parametrize(
    ("status", "there"), [("SERVING", True), ("UNKNOWN", True), ("NOT_SERVING", False)]
)
async def test_a_server_is_taken_at_its_word(status: str, there: bool) -> None:
    async with server(status) as address:
        assert there == await is_there(address)


async def test_one_that_answers_without_a_health_service_is_there(
    participants: ScriptedParticipants,
) -> None:
    assert await is_there(participants.address)


async def test_a_port_where_nobody_listens_is_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    assert not await is_there(address)


async def test_one_that_takes_the_connection_and_says_nothing_is_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vital_signs, "ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        assert not await is_there(f"127.0.0.1:{stopped.getsockname()[1]}")


async def test_a_channel_that_was_closed_leads_to_nobody() -> None:
    async with open_channel("127.0.0.1:1") as channel:
        ask = asks_whether_there(channel, SERVICE)
    assert not await ask()


class Told(Breaker):
    """Only notes what it is told."""

    def __init__(self) -> None:
        async def never_asked() -> bool:
            raise AssertionError

        super().__init__("order", clock=SystemClock(), is_there=never_asked, window_max=1)
        self.heard: list[tuple[int, float, str]] = []

    async def unanswered(self, *, since: int, waited_seconds: float, seen: str) -> None:
        self.heard.append((since, waited_seconds, seen))


async def told(
    participants: ScriptedParticipants,
    channel: grpc.aio.Channel,
    answer: Answer | None = None,
    *,
    timeout_seconds: float = 20.0,
) -> Told:
    """What the breaker has heard after one that went well, and one that was answered so."""
    breaker = Told()
    confirm = OrderParticipant(channel, breaker=breaker).actions()["confirm_order"]
    await confirm(CALL)
    if answer is not None:
        participants.answers["ConfirmOrder"] = answer
    await confirm(replace(CALL, timeout_seconds=timeout_seconds))
    return breaker


ANSWERS = [
    code
    for code in grpc.StatusCode
    if code
    not in {
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
]


@pytest.mark.parametrize("code", ANSWERS, ids=lambda code: code.name)
async def test_whatever_is_answered_is_a_sign_of_life(
    participants: ScriptedParticipants, channel: grpc.aio.Channel, code: grpc.StatusCode
) -> None:
    breaker = await told(participants, channel, fails(code))
    assert (2, []) == (breaker.lives, breaker.heard)


async def test_so_is_an_ok_and_one_that_contradicts_what_was_asked(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    assert 2 == (await told(participants, channel)).lives
    contradicts = replies(order_service_pb2.ConfirmOrderResponse())
    assert 2 == (await told(participants, channel, contradicts)).lives


async def test_unavailable_is_none_whoever_says_it(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    breaker = await told(
        participants, channel, fails(grpc.StatusCode.UNAVAILABLE, reason="DRAINING")
    )
    [(since, waited_seconds, seen)] = breaker.heard
    assert (1, 1, 0.0) == (breaker.lives, since, waited_seconds)
    assert seen.startswith("UNAVAILABLE DRAINING")


async def test_nor_is_silence_which_counts_for_as_long_as_it_was_listened_to(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    never = Gate().before(METHODS["ConfirmOrder"][2])
    breaker = await told(participants, channel, never, timeout_seconds=0.05)
    assert [(1, 0.05, "DEADLINE_EXCEEDED no answer within 0.05 s")] == breaker.heard


async def test_an_attempt_that_found_no_room_says_nothing(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])
    breaker = Told()
    order = OrderParticipant(channel, outstanding_max=1, breaker=breaker)
    first = asyncio.ensure_future(order.actions()["confirm_order"](CALL))
    await gate.arrived.wait()
    second = await order.actions()["confirm_order"](replace(CALL, timeout_seconds=0.02))
    assert Code.RESOURCE_EXHAUSTED is second.code
    assert (0, []) == (breaker.lives, breaker.heard)
    gate.opened.set()
    await first
    assert 1 == breaker.lives
