"""ListDeliveries: every delivery once, newest first, through whatever filters."""

import json
from dataclasses import replace
from typing import TypeAlias

import grpc
import pytest
import pytest_asyncio

from chassis.database import Database
from chassis.timestamps import to_timestamp
from delivery_svc import store
from delivery_svc.domain import Delivery, State, cancel, create
from delivery_svc.requests import read_create
from oms.delivery.v1 import delivery_pb2 as m
from oms.delivery.v1 import delivery_service_pb2 as pb
from oms.delivery.v1 import delivery_service_pb2_grpc
from tests.chassis.refusal import fields, refusal
from tests.delivery_svc.harness.deliveries import address, create_request

# Only checkers know this class.
Stub: TypeAlias = "delivery_service_pb2_grpc.DeliveryServiceAsyncStub"

FIRST_US = 1_700_000_000_000_000


class Couriers:
    """Every fourth time nobody is to be had."""

    def __init__(self) -> None:
        self.asked = 0

    def take(self, country_code: str) -> str | None:
        self.asked += 1
        return f"crr_{country_code}" if self.asked % 4 else None

    def free(self, courier_id: str) -> None:
        assert courier_id


def deliveries() -> list[Delivery]:
    """Deliveries of three orders in all states, and tombstones, three to a microsecond."""
    couriers = Couriers()
    _, content = read_create(create_request("dlv_0"))
    made = []
    for number in range(80):
        delivery_id, time_us = f"dlv_{number * 7919 % 1000:03}", FIRST_US + number // 3
        if number % 10 == 9:
            made.append(cancel(None, delivery_id, couriers, time_us))
            continue
        of_order = replace(content, order_id=f"ord_{number % 3}")
        delivery = create(None, delivery_id, of_order, couriers, time_us)
        if number % 5 == 1:
            delivery = replace(cancel(delivery, delivery_id, couriers, time_us), version=1)
        made.append(delivery)
    return sorted(made, key=lambda it: (it.create_time_us, it.delivery_id), reverse=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def stored(database: Database) -> list[Delivery]:
    made = deliveries()
    assert set(State) == {it.state for it in made}
    with database.engine.begin() as connection:
        store.table().insert(connection, made)
    return made


async def listed(stub: Stub, request: pb.ListDeliveriesRequest) -> list[m.Delivery]:
    """All there is, page by page."""
    found: list[m.Delivery] = []
    while True:
        answer = await stub.ListDeliveries(request)
        found += answer.deliveries
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


@pytest.mark.parametrize("page_size", [1, 3, 79, 80, 81, 0])
async def test_every_delivery_is_listed_once_newest_first(
    grpc_stub: Stub, stored: list[Delivery], page_size: int
) -> None:
    found = await listed(grpc_stub, pb.ListDeliveriesRequest(page_size=page_size))
    assert [it.delivery_id for it in stored] == [it.delivery_id for it in found]


async def test_a_listed_delivery_is_whole(grpc_stub: Stub, stored: list[Delivery]) -> None:
    found = await listed(grpc_stub, pb.ListDeliveriesRequest())
    for shown, delivery in zip(found, stored, strict=True):
        assert m.DeliveryState.Value(f"DELIVERY_STATE_{delivery.state}") == shown.state
        assert (delivery.courier_id or "") == shown.courier_id
        assert (delivery.reject_reason or "") == shown.reject_reason
        assert (delivery.content is not None) == shown.HasField("address")
        if delivery.content is not None:
            assert delivery.content.order_id == shown.order_id
            assert address() == shown.address


@pytest.mark.parametrize("states", [[], [State.REJECTED], [State.REJECTED, State.CANCELLED]])
@pytest.mark.parametrize("order_id", ["", "ord_1", "ord_none"])
@pytest.mark.parametrize("times", [(0, 99), (5, 20), (7, 7)])
async def test_filters_are_all_held_at_once(
    grpc_stub: Stub,
    stored: list[Delivery],
    states: list[State],
    order_id: str,
    times: tuple[int, int],
) -> None:
    from_us, before_us = FIRST_US + times[0], FIRST_US + times[1]
    request = pb.ListDeliveriesRequest(
        page_size=4,
        states=[m.DeliveryState.Value(f"DELIVERY_STATE_{it}") for it in states],
        order_id=order_id,
        create_time_after=to_timestamp(from_us),
        create_time_before=to_timestamp(before_us),
    )
    expected = [
        it.delivery_id
        for it in stored
        if (not states or it.state in states)
        and (not order_id or (it.content is not None and it.content.order_id == order_id))
        and from_us <= it.create_time_us < before_us
    ]
    assert expected == [it.delivery_id for it in await listed(grpc_stub, request)]


async def test_every_malformed_filter_is_named(grpc_stub: Stub) -> None:
    request = pb.ListDeliveriesRequest(page_size=-1, page_token="?", order_id="a b")
    request.states.append(m.DELIVERY_STATE_UNSPECIFIED)
    error = await refusal(grpc_stub.ListDeliveries(request))
    assert grpc.StatusCode.INVALID_ARGUMENT is error.code
    assert ["order_id", "page_size", "states[0]", "page_token"] == fields(error)


def test_an_address_is_stored_as_json_text_that_a_person_can_read(
    stored: list[Delivery], database: Database
) -> None:
    with database.engine.connect() as connection:
        query = "SELECT address FROM deliveries WHERE address IS NOT NULL LIMIT 1"
        text = connection.exec_driver_sql(query).scalar_one()
    assert "San Francisco" == json.loads(text)["locality"]
    assert stored
