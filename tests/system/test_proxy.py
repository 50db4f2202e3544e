"""The network between a caller and a server: what it changes, and what it leaves alone."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from bench.chaos.proxy import Proxy
from oms.order.v1.order_service_pb2 import CancelOrderRequest, CreateOrderRequest
from oms.order.v1.order_service_pb2_grpc import OrderServiceStub
from tests.system.harness.requests import fresh, order
from tests.system.harness.scripted import Fails, Scripted, telling
from tests.system.harness.service import dial


@pytest.fixture(scope="module")
async def proxy(scripted: Scripted) -> AsyncIterator[Proxy]:
    between = await Proxy(scripted.address).start()
    yield between
    await between.close()


@pytest.fixture(scope="module")
async def channel(proxy: Proxy) -> AsyncIterator[grpc.aio.Channel]:
    async with dial(proxy.address) as opened:
        yield opened


def creation(customer_id: str) -> CreateOrderRequest:
    placed = order()
    return CreateOrderRequest(
        order_id=fresh("ord").replace("-", "_"),
        customer_id=customer_id,
        items=placed.items,
        delivery_address=placed.delivery_address,
    )


async def test_a_call_and_its_answer_go_through_unchanged(channel: grpc.aio.Channel) -> None:
    asked = creation(fresh("cust"))
    answer = await OrderServiceStub(channel).CreateOrder(asked)
    assert asked.order_id == answer.order.order_id
    assert 2_500 == answer.order.total.minor_units


async def test_an_error_goes_through_unchanged(
    channel: grpc.aio.Channel, scripted: Scripted
) -> None:
    customer = fresh("cust")
    failure = Fails(code=grpc.StatusCode.DATA_LOSS, message="lost for good")
    scripted.script(customer, {"CreateOrder": [failure]})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await OrderServiceStub(channel).CreateOrder(creation(customer))
    assert (grpc.StatusCode.DATA_LOSS, "lost for good") == (
        caught.value.code(),
        caught.value.details(),
    )


async def test_a_held_request_reaches_the_server_only_when_released_even_if_its_caller_has_left(
    channel: grpc.aio.Channel, proxy: Proxy, scripted: Scripted
) -> None:
    customer = fresh("cust")
    hold = proxy.hold_request(lambda it: it.name == "CreateOrder")
    seen = asyncio.Event()
    scripted.script(customer, {"CreateOrder": [telling(seen)]})
    call = OrderServiceStub(channel).CreateOrder(creation(customer))
    await hold.reached()
    call.cancel()
    assert [] == scripted.calls(customer)
    hold.release()
    await seen.wait()
    assert ["CreateOrder"] == scripted.calls(customer)


async def test_a_reply_that_is_lost_leaves_its_effect_behind(
    channel: grpc.aio.Channel, proxy: Proxy, scripted: Scripted
) -> None:
    customer = fresh("cust")
    hold = proxy.hold_reply(lambda it: it.name == "CreateOrder")
    call = OrderServiceStub(channel).CreateOrder(creation(customer))
    await hold.reached()
    assert ["CreateOrder"] == scripted.calls(customer)
    hold.lose()
    assert grpc.StatusCode.UNAVAILABLE == await call.code()


async def test_a_doubled_request_is_seen_twice_and_answered_once(
    channel: grpc.aio.Channel, proxy: Proxy, scripted: Scripted
) -> None:
    asked = creation(fresh("cust"))
    stub = OrderServiceStub(channel)
    await stub.CreateOrder(asked)
    proxy.double(lambda it: it.name == "CancelOrder")
    await stub.CancelOrder(CancelOrderRequest(order_id=asked.order_id))
    assert ["CreateOrder", "CancelOrder", "CancelOrder"] == scripted.calls(asked.customer_id)
