"""Callers of several replicas: whom they turn to, and what no caller should get."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from bench.chaos.callers import TRIED_AGAIN_IN_CALM, Callers
from bench.chaos.fleet import Fleet
from bench.chaos.orders import Fate, Order, draw
from bench.chaos.pace import Pace
from bench.chaos.service import dial
from oms.orchestrator.v1.order_process_pb2 import ORDER_PROCESS_STATE_COMPLETED, OrderProcess
from oms.orchestrator.v1.order_process_service_pb2 import (
    StartOrderProcessRequest,
    StartOrderProcessResponse,
)


class Replica:
    """An orchestrator that answers as it is told, and keeps who asked."""

    def __init__(self) -> None:
        self.code = grpc.StatusCode.OK
        self.asked: list[str] = []

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "oms.orchestrator.v1.OrderProcessService",
            {
                "StartOrderProcess": grpc.unary_unary_rpc_method_handler(
                    self.start,
                    request_deserializer=StartOrderProcessRequest.FromString,
                    response_serializer=StartOrderProcessResponse.SerializeToString,
                )
            },
        )

    async def start(
        self, request: StartOrderProcessRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> StartOrderProcessResponse:
        self.asked.append(request.request_id)
        if self.code is not grpc.StatusCode.OK:
            await context.abort(self.code, "as told")
        return StartOrderProcessResponse(
            process=OrderProcess(process_id="prc_1", state=ORDER_PROCESS_STATE_COMPLETED)
        )


@dataclass
class Replicas:
    """Two of them, as callers see a fleet."""

    servicers: tuple[Replica, Replica]
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    def of(self, service: str) -> tuple[Any, ...]:
        del service
        return tuple(_Dialled(it) for it in self.channels)

    def callers(self, **how: Any) -> Callers:
        return Callers(cast("Fleet", self), Pace([], ahead=1), seed=7, **how)


@dataclass(frozen=True)
class _Dialled:
    channel: grpc.aio.Channel


@pytest.fixture
async def replicas() -> AsyncIterator[Replicas]:
    it = Replicas((Replica(), Replica()))
    servers = []
    for servicer in it.servicers:
        server = grpc.aio.server(handlers=[servicer.handler()], options=[("grpc.so_reuseport", 0)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        it.channels.append(dial(f"127.0.0.1:{port}"))
    yield it
    for channel in it.channels:
        await channel.close()
    for server in servers:
        await server.stop(None)


def order(*, twin: bool = False) -> Order:
    drawn = next(it for it in (draw(7, n) for n in range(100)) if it.fate is Fate.GOOD)
    return replace(drawn, twin=twin, patience_seconds=60.0)


async def test_a_twin_is_sent_to_two_replicas(replicas: Replicas) -> None:
    await replicas.callers().run([order(twin=True)], concurrency=1)
    assert [1, 1] == [len(it.asked) for it in replicas.servicers]


async def test_who_is_told_unavailable_goes_to_another_under_the_same_id(
    replicas: Replicas,
) -> None:
    refusing, answering = replicas.servicers
    refusing.code = grpc.StatusCode.UNAVAILABLE
    callers = replicas.callers(tried_again=TRIED_AGAIN_IN_CALM)
    # Each begins at a replica that is drawn: of so many some begin at the one that refuses.
    await callers.run([order() for _ in range(20)], concurrency=1)
    assert refusing.asked
    assert 20 == len(answering.asked)
    assert 1 == len({*refusing.asked, *answering.asked})
    assert 20 == callers.answers[grpc.StatusCode.OK]
    assert len(refusing.asked) == callers.answers[grpc.StatusCode.UNAVAILABLE]
    assert [] == [it for account in callers.accounts for it in account.complaints]


@pytest.mark.parametrize(
    "code",
    [it for it in grpc.StatusCode if it not in {grpc.StatusCode.OK, *TRIED_AGAIN_IN_CALM}],
    ids=lambda it: it.name,
)
async def test_in_calm_anything_but_unavailable_is_a_complaint(
    replicas: Replicas, code: grpc.StatusCode
) -> None:
    for it in replicas.servicers:
        it.code = code
    callers = replicas.callers(tried_again=TRIED_AGAIN_IN_CALM)
    await callers.run([order()], concurrency=1)
    assert [[f"it was told {code.name}: as told"]] == [it.complaints for it in callers.accounts]
