"""The delivery service as a process of its own: killed, drained, misconfigured."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeAlias

from chassis.settings import describe
from delivery_svc.settings import DeliverySettings
from oms.delivery.v1 import delivery_service_pb2 as pb
from oms.delivery.v1 import delivery_service_pb2_grpc
from tests.chassis.refusal import refusal
from tests.delivery_svc.harness.deliveries import create_request
from tests.system.harness.command import grpcurl
from tests.system.harness.service import Service

# Only checkers know this class.
Stub: TypeAlias = "delivery_service_pb2_grpc.DeliveryServiceAsyncStub"


@asynccontextmanager
async def service(folder: Path, **settings: str) -> AsyncIterator[tuple[Service, Stub]]:
    delivery = Service("delivery", folder=folder, settings=settings)
    try:
        await delivery.start()
        yield delivery, delivery_service_pb2_grpc.DeliveryServiceStub(delivery.channel)
    finally:
        await delivery.close()


def rows(service: Service, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(service.database)) as connection:
        return connection.execute(query).fetchall()


LOADS = "SELECT courier_id, load FROM couriers WHERE load > 0 ORDER BY courier_id"
ASSIGNED = (
    "SELECT courier_id, count(*) FROM deliveries WHERE state = 'ASSIGNED' "
    "GROUP BY courier_id ORDER BY courier_id"
)


async def test_after_a_kill_couriers_carry_what_is_assigned_and_no_answer_is_lost(
    tmp_path: Path,
) -> None:
    async with service(tmp_path) as (delivery, stub):
        answered: set[str] = set()
        enough = asyncio.Event()

        async def work(number: int) -> None:
            for turn in range(1_000):
                delivery_id = f"dlv_{number}-{turn}"
                await stub.CreateDelivery(create_request(delivery_id))
                if turn % 3 == 0:
                    request = pb.CancelDeliveryRequest(delivery_id=f"dlv_{number}-{turn // 2}")
                    await stub.CancelDelivery(request)
                answered.add(delivery_id)
                if len(answered) >= 300:
                    enough.set()

        working = [asyncio.create_task(work(number)) for number in range(16)]
        await enough.wait()
        await delivery.kill()
        await asyncio.gather(*working, return_exceptions=True)
        await delivery.restart()
        assert rows(delivery, ASSIGNED) == rows(delivery, LOADS)
        stored = {row[0] for row in rows(delivery, "SELECT delivery_id FROM deliveries")}
        assert answered <= stored


async def test_the_courier_book_is_filled_at_the_first_start_alone(tmp_path: Path) -> None:
    settings = {"OMS_DELIVERY_COURIER_CAPACITY": "1"}
    async with service(tmp_path, **settings) as (delivery, stub):
        for number in range(3):
            await stub.CreateDelivery(create_request(f"dlv_{number}"))
        error = await refusal(stub.CreateDelivery(create_request("dlv_4")))
        assert "NO_COURIER_AVAILABLE" == error.reason
        assert 0 == await delivery.stop()
        before = rows(delivery, "SELECT * FROM couriers")
        delivery.settings["OMS_DELIVERY_COURIER_CAPACITY"] = "9"
        await delivery.restart()
        assert before == rows(delivery, "SELECT * FROM couriers")


async def test_grpcurl_needs_no_proto_files(tmp_path: Path) -> None:
    async with service(tmp_path) as (delivery, _):
        listed = await grpcurl(delivery.address, "list")
        assert "oms.delivery.v1.DeliveryService" in listed.out.split()
        described = await grpcurl(delivery.address, "describe", "oms.delivery.v1.DeliveryService")
        assert "NO_COURIER_AVAILABLE" in described.out
        cancelled = await grpcurl(
            "-d",
            '{"delivery_id":"dlv_never"}',
            delivery.address,
            "oms.delivery.v1.DeliveryService/CancelDelivery",
        )
        assert "DELIVERY_STATE_CANCELLED" == cancelled.json["delivery"]["state"]


async def test_help_lists_every_setting(tmp_path: Path) -> None:
    delivery = Service("delivery", folder=tmp_path, settings={})
    try:
        process = await delivery.spawn("--help")
        assert 0 == await process.ended()
        told = process.log.read_text()
        for setting in describe(DeliverySettings):
            assert setting.flag in told
            assert setting.env in told
    finally:
        await delivery.close()


async def test_a_database_of_a_newer_release_is_refused_in_one_line(tmp_path: Path) -> None:
    async with service(tmp_path) as (delivery, _):
        assert 0 == await delivery.stop()
        with closing(sqlite3.connect(delivery.database)) as connection, connection:
            connection.execute("UPDATE delivery_schema_version SET version_num = '9999'")
        process = await delivery.spawn()
        assert 78 == await process.ended()
        assert "delivery database is at revision 9999" in process.log.read_text().splitlines()[-1]
