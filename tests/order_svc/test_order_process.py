"""The order service as a process of its own: killed, drained, doubled, misconfigured."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest

from chassis.settings import describe
from oms.order.v1 import order_pb2 as m
from oms.order.v1 import order_service_pb2 as pb
from oms.order.v1 import order_service_pb2_grpc
from order_svc.settings import OrderSettings
from tests.chassis.refusal import refusal
from tests.order_svc.harness.orders import create_request
from tests.system.harness.command import grpcurl
from tests.system.harness.service import Service

# Only checkers know this class.
Stub: TypeAlias = "order_service_pb2_grpc.OrderServiceAsyncStub"


@asynccontextmanager
async def service(folder: Path, **settings: str) -> AsyncIterator[tuple[Service, Stub]]:
    order = Service("order", folder=folder, settings=settings)
    try:
        await order.start()
        yield order, order_service_pb2_grpc.OrderServiceStub(order.channel)
    finally:
        await order.close()


async def get(stub: Stub, order_id: str) -> m.Order:
    request = pb.GetOrderRequest(order_id=order_id)
    return (await stub.GetOrder(request, wait_for_ready=True)).order


async def state(stub: Stub, order_id: str) -> int:
    return (await get(stub, order_id)).state


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    async with service(tmp_path) as (order, stub):
        answered: set[str] = set()
        enough = asyncio.Event()

        async def create(number: int) -> None:
            for turn in range(1_000):
                order_id = f"ord_{number}-{turn}"
                await stub.CreateOrder(create_request(order_id))
                answered.add(order_id)
                if len(answered) >= 300:
                    enough.set()

        creating = [asyncio.create_task(create(number)) for number in range(16)]
        await enough.wait()
        await order.kill()
        await asyncio.gather(*creating, return_exceptions=True)
        await order.restart()
        assert answered
        assert {m.ORDER_STATE_PENDING} == {await state(stub, it) for it in sorted(answered)}


async def test_told_to_stop_it_ends_well_and_what_it_answered_is_kept(tmp_path: Path) -> None:
    async with service(tmp_path) as (order, stub):
        ids = [f"ord_{number}" for number in range(200)]
        calls = [stub.CreateOrder(create_request(order_id)) for order_id in ids]
        await calls[0]
        assert 0 == await order.stop()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        await order.restart()
        for order_id, end in zip(ids, ends, strict=True):
            if isinstance(end, grpc.aio.AioRpcError):
                # It did not get as far as a handler any more.
                assert end.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
                assert "ORDER_NOT_FOUND" == (await refusal(get(stub, order_id))).reason
            else:
                assert m.ORDER_STATE_PENDING == await state(stub, order_id)


async def test_two_processes_may_share_one_database(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    url = f"sqlite:///{tmp_path}/order.db"
    async with (
        service(tmp_path) as (_, one),
        service(tmp_path / "other", OMS_ORDER_DATABASE_URL=url) as (_, other),
    ):
        ids = [f"ord_{number}" for number in range(100)]
        await asyncio.gather(
            *(stub.CreateOrder(create_request(it)) for it in ids for stub in (one, other))
        )
        await asyncio.gather(
            *(one.ConfirmOrder(pb.ConfirmOrderRequest(order_id=it)) for it in ids),
            *(other.CancelOrder(pb.CancelOrderRequest(order_id=it)) for it in ids),
            return_exceptions=True,
        )
        assert {m.ORDER_STATE_CANCELLED} == {await state(one, it) for it in ids}


async def test_grpcurl_needs_no_proto_files(tmp_path: Path) -> None:
    async with service(tmp_path) as (order, _):
        listed = await grpcurl(order.address, "list")
        assert "oms.order.v1.OrderService" in listed.out.split()
        described = await grpcurl(order.address, "describe", "oms.order.v1.OrderService")
        assert "ALREADY_CANCELLED" in described.out
        health = await grpcurl(
            "-d",
            '{"service":"oms.order.v1.OrderService"}',
            order.address,
            "grpc.health.v1.Health/Check",
        )
        assert {"status": "SERVING"} == health.json
        cancelled = await grpcurl(
            "-d",
            '{"order_id":"ord_never"}',
            order.address,
            "oms.order.v1.OrderService/CancelOrder",
        )
        assert "ORDER_STATE_CANCELLED" == cancelled.json["order"]["state"]


async def test_help_lists_every_setting(tmp_path: Path) -> None:
    order = Service("order", folder=tmp_path, settings={})
    try:
        process = await order.spawn("--help")
        assert 0 == await process.ended()
        told = process.log.read_text()
        for setting in describe(OrderSettings):
            assert setting.flag in told
            assert setting.env in told
    finally:
        await order.close()


async def test_a_database_of_a_newer_release_is_refused_in_one_line(tmp_path: Path) -> None:
    async with service(tmp_path) as (order, _):
        assert 0 == await order.stop()
        with closing(sqlite3.connect(order.database)) as connection, connection:
            connection.execute("UPDATE order_schema_version SET version_num = '9999'")
        process = await order.spawn()
        assert 78 == await process.ended()
        assert "order database is at revision 9999" in process.log.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value", "code", "told"),
    [
        ("OMS_ORDER_DATABASE_URL", "sqlite:////proc/nowhere/order.db", 78, "cannot be made"),
        ("OMS_ORDER_DATABASE_URL", "orders.txt", 2, "--order-database-url"),
        ("OMS_ORDER_LISTEN", "50052", 2, "--order-listen"),
    ],
)
async def test_what_cannot_be_is_told_in_one_line(
    tmp_path: Path, name: str, value: str, code: int, told: str
) -> None:
    order = Service("order", folder=tmp_path, settings={name: value})
    try:
        process = await order.spawn()
        assert code == await process.ended()
        (line,) = process.log.read_text().splitlines()
        assert told in line
    finally:
        await order.close()
