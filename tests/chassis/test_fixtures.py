"""The fixtures that every test of a service builds on (tests/conftest.py)."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.health import Health

TIMEOUT_SECONDS = 10


@pytest.fixture(scope="module")
def grpc_add_to_server() -> Callable[[Health, grpc.aio.Server], None]:
    return health_pb2_grpc.add_HealthServicer_to_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grpc_servicer() -> AsyncIterator[Health]:
    health = Health(["here"])
    health.set_serving(True)
    yield health
    health.drain()


@pytest.fixture(scope="module")
def grpc_stub_cls() -> type[health_pb2_grpc.HealthStub]:
    return health_pb2_grpc.HealthStub


async def test_a_stub_reaches_the_servicer(grpc_stub: Any) -> None:
    request = health_pb2.HealthCheckRequest(service="here")
    response = await grpc_stub.Check(request, timeout=TIMEOUT_SECONDS)
    assert response.status == health_pb2.HealthCheckResponse.SERVING


async def test_what_the_servicer_raises_is_a_status(grpc_stub: Any) -> None:
    request = health_pb2.HealthCheckRequest(service="nowhere")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grpc_stub.Check(request, timeout=TIMEOUT_SECONDS)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_channel_of_ones_own_reaches_the_same_server(
    grpc_create_channel: Callable[[], grpc.aio.Channel], grpc_addr: str
) -> None:
    stub: Any = health_pb2_grpc.HealthStub(grpc_create_channel())
    await stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
    assert grpc_addr.startswith("127.0.0.1:")
