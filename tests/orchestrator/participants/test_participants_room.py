"""How many calls may be outstanding at one participant."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import grpc
import grpc.aio

from oms.order.v1 import order_pb2
from orchestrator.action import ActionCall, ActionReply
from orchestrator.participants.participant import Participant
from orchestrator.saga.code import Code
from tests.orchestrator.edge.harness.scripted import (
    METHODS,
    Gate,
    ScriptedParticipants,
    fails,
)
from tests.orchestrator.participants.harness.attempts import (
    CALL,
    PATIENCE_SECONDS,
    act,
    actions_on,
)


async def test_no_more_calls_are_outstanding_than_may_be(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])
    confirm = actions_on(channel, outstanding_max=2)["confirm_order"]
    attempts = [asyncio.ensure_future(confirm(CALL)) for _ in range(5)]
    await participants.called("ConfirmOrder", times=2)

    # A call of another client goes by the same road behind them, and is through.
    await act(channel, "cancel_order")
    under_way = participants.calls.count("ConfirmOrder")
    gate.opened.set()
    codes = {reply.code for reply in await asyncio.gather(*attempts)}

    assert 2 == under_way
    assert {Code.OK} == codes
    assert 5 == participants.calls.count("ConfirmOrder")


async def test_an_attempt_that_finds_no_room_in_time_is_refused_and_was_never_sent(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    gate = Gate()
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])
    confirm = actions_on(channel, outstanding_max=1)["confirm_order"]
    first = asyncio.ensure_future(confirm(CALL))
    await gate.arrived.wait()

    second = await confirm(replace(CALL, timeout_seconds=0.02))
    gate.opened.set()
    await first

    assert (Code.RESOURCE_EXHAUSTED, "TARGET_SATURATED") == (second.code, second.reason)
    assert 1 == participants.calls.count("ConfirmOrder")


async def test_an_attempt_that_waited_for_room_still_has_all_of_its_time() -> None:
    participant = Participant("order", outstanding_max=1)
    may_end = asyncio.Event()
    timeouts: list[float | None] = []

    async def rpc(
        _request: order_pb2.Order,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as a stub takes it
        metadata: grpc.aio.Metadata | None = None,
    ) -> order_pb2.Order:
        assert metadata is not None
        timeouts.append(timeout)
        await may_end.wait()
        return order_pb2.Order()

    async def attempt() -> ActionReply:
        action = participant.action(
            rpc, lambda _call: order_pb2.Order(), lambda _call, _reply: None
        )
        return await action(replace(CALL, timeout_seconds=20.0))

    attempts = [asyncio.ensure_future(attempt()) for _ in range(2)]
    may_end.set()
    await asyncio.gather(*attempts)

    assert [20.0, 20.0] == timeouts


async def test_room_is_given_back_by_attempts_that_fail_or_are_cancelled(
    participants: ScriptedParticipants, channel: grpc.aio.Channel
) -> None:
    gate = Gate()
    order = actions_on(channel, outstanding_max=1)
    participants.answers["ConfirmOrder"] = fails(grpc.StatusCode.UNAVAILABLE)
    await order["confirm_order"](CALL)
    participants.answers["ConfirmOrder"] = gate.before(METHODS["ConfirmOrder"][2])
    cancelled = asyncio.ensure_future(_as_coroutine(order["confirm_order"], CALL))
    await gate.arrived.wait()
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    await order["create_order"](replace(CALL, input={}))

    reply = await order["cancel_order"](replace(CALL, timeout_seconds=PATIENCE_SECONDS))

    assert Code.OK is reply.code


async def _as_coroutine(
    action: Callable[[ActionCall], Awaitable[ActionReply]], call: ActionCall
) -> ActionReply:
    return await action(call)
