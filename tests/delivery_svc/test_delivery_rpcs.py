"""The contract of oms.delivery.v1.DeliveryService, over gRPC."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import grpc
import grpc.aio
import pytest

from chassis.database import Database
from chassis.ids import suffix_of
from oms.delivery.v1 import delivery_pb2 as m
from oms.delivery.v1 import delivery_service_pb2 as pb
from oms.delivery.v1 import delivery_service_pb2_grpc
from tests.chassis.refusal import fields, refusal
from tests.delivery_svc.harness.book import hire, loads
from tests.delivery_svc.harness.deliveries import address, create_request, new_id

# Only checkers know this class.
Stub: TypeAlias = "delivery_service_pb2_grpc.DeliveryServiceAsyncStub"

Code = grpc.StatusCode


async def create(stub: Stub, request: pb.CreateDeliveryRequest) -> m.Delivery:
    return (await stub.CreateDelivery(request)).delivery


async def cancel(stub: Stub, delivery_id: str) -> m.Delivery:
    request = pb.CancelDeliveryRequest(delivery_id=delivery_id)
    return (await stub.CancelDelivery(request)).delivery


async def get(stub: Stub, delivery_id: str) -> m.Delivery:
    request = pb.GetDeliveryRequest(delivery_id=delivery_id)
    return (await stub.GetDelivery(request)).delivery


def employ(database: Database, country_code: str, *capacities: int) -> None:
    with database.engine.begin() as connection:
        hire(connection, country_code, list(capacities))


async def test_a_created_delivery_has_a_courier_of_the_country(grpc_stub: Stub) -> None:
    delivery_id = new_id()
    delivery = await create(grpc_stub, create_request(delivery_id, country_code="DE"))
    assert m.DELIVERY_STATE_ASSIGNED == delivery.state
    assert delivery.courier_id.startswith("crr_de_")
    assert (delivery_id, "ord_1", "") == (
        delivery.delivery_id,
        delivery.order_id,
        delivery.reject_reason,
    )
    assert address("DE") == delivery.address
    assert delivery.create_time == delivery.update_time
    assert delivery == await get(grpc_stub, delivery_id)


async def test_a_delivery_without_an_id_is_given_one(grpc_stub: Stub) -> None:
    delivery = await create(grpc_stub, create_request())
    assert delivery.delivery_id.startswith("dlv_")
    assert 26 == len(suffix_of(delivery.delivery_id))


async def test_the_same_create_again_takes_no_second_courier(
    grpc_stub: Stub, database: Database
) -> None:
    employ(database, "SE", 5, 5)
    delivery_id = new_id()
    request = create_request(delivery_id, country_code="SE")
    deliveries = await asyncio.gather(*(create(grpc_stub, request) for _ in range(20)))
    assert all(deliveries[0] == it for it in deliveries)
    assert {"crr_se_1": 1, "crr_se_2": 0} == await loads(database, "SE")


async def test_deliveries_made_at_once_are_shared_out_evenly(
    grpc_stub: Stub, database: Database
) -> None:
    employ(database, "NO", 100, 100, 100)
    await asyncio.gather(*(create(grpc_stub, create_request(country_code="NO")) for _ in range(60)))
    assert {20} == set((await loads(database, "NO")).values())


async def test_no_courier_is_given_more_than_capacity(grpc_stub: Stub, database: Database) -> None:
    employ(database, "DK", 3, 1, 2)
    ends = await asyncio.gather(
        *(create(grpc_stub, create_request(country_code="DK")) for _ in range(30)),
        return_exceptions=True,
    )
    assert 6 == sum(isinstance(it, m.Delivery) for it in ends)
    assert {"crr_dk_1": 3, "crr_dk_2": 1, "crr_dk_3": 2} == await loads(database, "DK")


@pytest.mark.parametrize("full", [False, True])
async def test_where_no_courier_is_to_be_had_the_refusal_is_kept(
    grpc_stub: Stub, database: Database, full: bool
) -> None:
    country_code = "FI" if full else "AQ"
    delivery_id = new_id()
    if full:
        employ(database, "FI", 1)
        await create(grpc_stub, create_request(country_code="FI"))
    request = create_request(delivery_id, country_code=country_code)
    first = await refusal(grpc_stub.CreateDelivery(request))
    assert (Code.FAILED_PRECONDITION, "NO_COURIER_AVAILABLE") == (first.code, first.reason)
    stored = await get(grpc_stub, delivery_id)
    assert m.DELIVERY_STATE_REJECTED == stored.state
    assert ("NO_COURIER_AVAILABLE", "") == (stored.reject_reason, stored.courier_id)
    # Even if somebody could take it now.
    employ(database, country_code, 9)
    assert first == await refusal(grpc_stub.CreateDelivery(request))
    assert stored == await get(grpc_stub, delivery_id)
    assert stored == await cancel(grpc_stub, delivery_id)
    assert first == await refusal(grpc_stub.CreateDelivery(request))
    employ(database, "AQ")


async def test_cancelling_frees_the_courier_once(grpc_stub: Stub, database: Database) -> None:
    employ(database, "PL", 2)
    kept = await create(grpc_stub, create_request(country_code="PL"))
    gone = await create(grpc_stub, create_request(country_code="PL"))
    assert {"crr_pl_1": 2} == await loads(database, "PL")
    cancelled = await asyncio.gather(*(cancel(grpc_stub, gone.delivery_id) for _ in range(20)))
    assert {"crr_pl_1": 1} == await loads(database, "PL")
    assert m.DELIVERY_STATE_CANCELLED == cancelled[0].state
    assert all(cancelled[0] == it for it in cancelled)
    assert gone.courier_id == cancelled[0].courier_id
    assert kept == await get(grpc_stub, kept.delivery_id)


async def test_a_place_that_came_free_is_given_away_again(
    grpc_stub: Stub, database: Database
) -> None:
    employ(database, "CZ", 1)
    first = await create(grpc_stub, create_request(country_code="CZ"))
    error = await refusal(grpc_stub.CreateDelivery(create_request(country_code="CZ")))
    assert "NO_COURIER_AVAILABLE" == error.reason
    await cancel(grpc_stub, first.delivery_id)
    assert "crr_cz_1" == (await create(grpc_stub, create_request(country_code="CZ"))).courier_id


@pytest.mark.parametrize(
    "spoil",
    [
        lambda it: setattr(it, "order_id", "ord_2"),
        lambda it: setattr(it.address, "recipient", "Bob"),
        lambda it: setattr(it.address, "country_code", "DE"),
        lambda it: it.address.lines.pop(),
        lambda it: it.address.ClearField("region"),
    ],
)
@pytest.mark.parametrize("country_code", ["US", "AQ"])
async def test_the_same_id_with_other_content_is_refused(
    grpc_stub: Stub, spoil: Callable[[pb.CreateDeliveryRequest], None], country_code: str
) -> None:
    request = create_request(new_id(), country_code=country_code)
    await asyncio.gather(create(grpc_stub, request), return_exceptions=True)
    spoil(request)
    error = await refusal(grpc_stub.CreateDelivery(request))
    assert (Code.ALREADY_EXISTS, "DELIVERY_ID_REUSED") == (error.code, error.reason)


@pytest.mark.parametrize("created", [False, True])
async def test_nothing_brings_a_cancelled_id_back(grpc_stub: Stub, created: bool) -> None:
    delivery_id = new_id()
    if created:
        await create(grpc_stub, create_request(delivery_id))
    cancelled = await cancel(grpc_stub, delivery_id)
    for request in (create_request(delivery_id), create_request(delivery_id, order_id="ord_2")):
        error = await refusal(grpc_stub.CreateDelivery(request))
        assert (Code.FAILED_PRECONDITION, "ALREADY_CANCELLED") == (error.code, error.reason)
    assert cancelled == await get(grpc_stub, delivery_id) == await cancel(grpc_stub, delivery_id)


async def test_a_cancel_of_an_unknown_delivery_leaves_a_tombstone(grpc_stub: Stub) -> None:
    delivery_id = new_id()
    delivery = await cancel(grpc_stub, delivery_id)
    assert (delivery_id, m.DELIVERY_STATE_CANCELLED) == (delivery.delivery_id, delivery.state)
    assert not delivery.HasField("address")
    assert delivery.HasField("create_time")
    assert ("", "") == (delivery.order_id, delivery.courier_id)


async def test_creates_and_cancels_that_race_leave_no_courier_burdened(
    grpc_stub: Stub, database: Database
) -> None:
    employ(database, "AT", 7, 7, 7)
    ids = [new_id() for _ in range(60)]
    await asyncio.gather(
        *(grpc_stub.CreateDelivery(create_request(it, country_code="AT")) for it in ids),
        *(cancel(grpc_stub, it) for it in ids),
        return_exceptions=True,
    )
    # Those that were rejected before their cancel came stay so; nobody carries anything.
    assert {0} == set((await loads(database, "AT")).values())
    assert {m.DELIVERY_STATE_CANCELLED, m.DELIVERY_STATE_REJECTED} >= {
        (await get(grpc_stub, it)).state for it in ids
    }


async def test_what_never_was_is_not_found(grpc_stub: Stub) -> None:
    error = await refusal(grpc_stub.GetDelivery(pb.GetDeliveryRequest(delivery_id=new_id())))
    assert (Code.NOT_FOUND, "DELIVERY_NOT_FOUND") == (error.code, error.reason)


async def test_every_offending_field_is_named(grpc_stub: Stub) -> None:
    request = create_request("a b", country_code="XX", order_id="\n")
    request.address.recipient = ""
    request.address.postal_code = "x" * 21
    error = await refusal(grpc_stub.CreateDelivery(request))
    assert (Code.INVALID_ARGUMENT, "INVALID_REQUEST") == (error.code, error.reason)
    assert [
        "delivery_id",
        "order_id",
        "address.recipient",
        "address.postal_code",
        "address.country_code",
    ] == fields(error)
    error = await refusal(grpc_stub.CreateDelivery(pb.CreateDeliveryRequest()))
    assert ["order_id", "address"] == fields(error)


@pytest.mark.parametrize("delivery_id", ["", "a b", "é", "x" * 129, "a\0"])
async def test_a_delivery_is_asked_for_by_an_id(grpc_stub: Stub, delivery_id: str) -> None:
    for call in (
        grpc_stub.CancelDelivery(pb.CancelDeliveryRequest(delivery_id=delivery_id)),
        grpc_stub.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id)),
    ):
        error = await refusal(call)
        assert (Code.INVALID_ARGUMENT, ["delivery_id"]) == (error.code, fields(error))
