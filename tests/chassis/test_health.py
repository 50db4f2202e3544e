from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.channels import open_channel
from chassis.handlers import Handlers
from chassis.health import LIVENESS, Health

NAME = "oms.order.v1.OrderService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
TIMEOUT_SECONDS = 10

Watch = grpc.aio.UnaryStreamCall[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]


class Setup:
    def __init__(self, health: Health, channel: grpc.aio.Channel) -> None:
        self.health = health
        self.stub: Any = health_pb2_grpc.HealthStub(channel)

    async def check(self, name: str) -> int:
        request = health_pb2.HealthCheckRequest(service=name)
        return int((await self.stub.Check(request, timeout=TIMEOUT_SECONDS)).status)

    def watch(self, name: str) -> Watch:
        request = health_pb2.HealthCheckRequest(service=name)
        watch: Watch = self.stub.Watch(request, timeout=TIMEOUT_SECONDS)
        return watch


async def following(watch: Watch) -> int:
    message = await watch.read()
    assert isinstance(message, health_pb2.HealthCheckResponse)
    return message.status


@pytest_asyncio.fixture
async def setup() -> AsyncIterator[Setup]:
    health = Health([NAME])
    server, handlers = grpc.aio.server(), Handlers()
    handlers.host(lambda it: health_pb2_grpc.add_HealthServicer_to_server(health, it))
    server.add_generic_rpc_handlers([handlers])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        yield Setup(health, channel)
    await server.stop(None)


async def test_a_service_is_not_serving_until_it_says_so(setup: Setup) -> None:
    assert await setup.check(NAME) == await setup.check("") == NOT_SERVING
    setup.health.set_serving(True)
    assert await setup.check(NAME) == await setup.check("") == SERVING
    setup.health.set_serving(False)
    assert await setup.check(NAME) == NOT_SERVING


async def test_a_service_that_is_not_here_is_not_found(setup: Setup) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await setup.check("oms.order.v1.Nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_drain_is_for_good(setup: Setup) -> None:
    setup.health.set_serving(True)
    setup.health.drain()
    setup.health.set_serving(True)
    assert await setup.check(NAME) == NOT_SERVING


async def test_a_watch_tells_each_change_and_ends_with_the_drain(setup: Setup) -> None:
    watch = setup.watch(NAME)
    assert await following(watch) == NOT_SERVING
    setup.health.set_serving(True)
    assert await following(watch) == SERVING
    setup.health.drain()
    assert await following(watch) == NOT_SERVING
    assert await watch.read() is grpc.aio.EOF
    assert await watch.code() is grpc.StatusCode.OK


async def test_a_watch_of_what_is_not_here_goes_on_until_the_drain(setup: Setup) -> None:
    watch = setup.watch("oms.order.v1.Nobody")
    assert await following(watch) == SERVICE_UNKNOWN
    setup.health.set_serving(True)
    setup.health.drain()
    assert await watch.read() is grpc.aio.EOF


async def test_a_watch_begun_during_the_drain_is_told_nothing(setup: Setup) -> None:
    setup.health.drain()
    watch = setup.watch(NAME)
    with pytest.raises(grpc.aio.AioRpcError):
        await watch.read()
    assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_answers_is_alive_whatever_its_services_do(setup: Setup) -> None:
    assert await setup.check(LIVENESS) == SERVING
    setup.health.set_serving(True)
    setup.health.set_serving(False)
    assert await setup.check(LIVENESS) == SERVING
    setup.health.drain()
    assert await setup.check(LIVENESS) == SERVING


async def test_a_watch_of_the_liveness_ends_with_the_drain_all_the_same(setup: Setup) -> None:
    watch = setup.watch(LIVENESS)
    assert await following(watch) == SERVING
    setup.health.drain()
    assert await watch.read() is grpc.aio.EOF
