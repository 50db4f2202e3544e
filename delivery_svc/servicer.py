"""The delivery service's RPCs: proto in, domain, proto out.

Invariant: one RPC is one transaction, and a caller is answered after it has committed; a refusal
that is stored is told only then, too. It must never decide what may happen to a delivery: the
domain does.
"""

from types import MappingProxyType
from typing import Any, Final, TypeAlias

import grpc

from chassis import faults
from chassis.clock import Clock
from chassis.database import Database
from chassis.ids import IdSource
from chassis.purging import purge
from delivery_svc import domain, requests, store, views
from delivery_svc.couriers import CourierBook
from delivery_svc.domain import Delivery, Refusal, State
from oms.delivery.v1 import delivery_service_pb2 as pb
from oms.delivery.v1 import delivery_service_pb2_grpc

SERVICE: Final = "oms.delivery.v1.DeliveryService"
ID_PREFIX: Final = "dlv"

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_FAULTS: Final = MappingProxyType(
    {
        Refusal.NOT_FOUND: (faults.NotFound, "DELIVERY_NOT_FOUND", "there is no such delivery"),
        Refusal.REJECTED: (
            faults.Rejected,
            domain.NO_COURIER_AVAILABLE,
            "no courier was to be had in the country of the address",
        ),
        Refusal.ALREADY_CANCELLED: (
            faults.Rejected,
            "ALREADY_CANCELLED",
            "the delivery was cancelled",
        ),
        Refusal.ID_REUSED: (
            faults.Conflict,
            "DELIVERY_ID_REUSED",
            "the delivery_id belongs to a delivery with other content",
        ),
    }
)


class DeliveryServicer(delivery_service_pb2_grpc.DeliveryServiceServicer):
    """Answers oms.delivery.v1.DeliveryService. Started before and closed after the server."""

    def __init__(
        self, database: Database, clock: Clock, ids: IdSource, couriers: CourierBook
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._table = store.table()
        self._writer = store.open_writer(database.engine, self._table, couriers)

    async def start(self) -> None:
        """Starts the writer."""
        await self._writer.start()

    async def close(self) -> None:
        """Writes everything that was asked for, then ends. The database is closed by its owner."""
        await self._writer.close()

    async def failed(self) -> None:
        """Returns if the writer dies of a defect."""
        await self._writer.failed()

    async def CreateDelivery(  # noqa: N802 - the contract names it
        self, request: pb.CreateDeliveryRequest, _context: Context
    ) -> pb.CreateDeliveryResponse:
        """Assigns the least loaded courier of the address's country."""
        delivery_id, content = requests.read_create(request)
        delivery_id = delivery_id or self._ids.draw(ID_PREFIX)
        now_us = self._clock.now_us()
        delivery = await self._change(
            delivery_id,
            content.address.country_code,
            lambda it, couriers: domain.create(it, delivery_id, content, couriers, now_us),
        )
        if delivery.state is State.REJECTED:
            raise _fault(Refusal.REJECTED, delivery_id)
        return pb.CreateDeliveryResponse(delivery=views.delivery_message(delivery))

    async def CancelDelivery(  # noqa: N802 - the contract names it
        self, request: pb.CancelDeliveryRequest, _context: Context
    ) -> pb.CancelDeliveryResponse:
        """Cancels a delivery and frees its courier, whatever its state."""
        delivery_id = requests.read_delivery_id(request.delivery_id)
        now_us = self._clock.now_us()
        delivery = await self._change(
            delivery_id,
            None,
            lambda it, couriers: domain.cancel(it, delivery_id, couriers, now_us),
        )
        return pb.CancelDeliveryResponse(delivery=views.delivery_message(delivery))

    async def GetDelivery(  # noqa: N802 - the contract names it
        self, request: pb.GetDeliveryRequest, _context: Context
    ) -> pb.GetDeliveryResponse:
        """Reads one delivery."""
        delivery_id = requests.read_delivery_id(request.delivery_id)
        found = await self._database.read(lambda it: self._table.load(it, [delivery_id]))
        if delivery_id not in found:
            raise _fault(Refusal.NOT_FOUND, delivery_id)
        return pb.GetDeliveryResponse(delivery=views.delivery_message(found[delivery_id]))

    async def ListDeliveries(  # noqa: N802 - the contract names it
        self, request: pb.ListDeliveriesRequest, _context: Context
    ) -> pb.ListDeliveriesResponse:
        """Lists deliveries, newest first."""
        listing = requests.read_list(request)
        page, more = await self._database.read(lambda it: store.select_deliveries(it, listing))
        token = listing.token((page[-1].create_time_us, page[-1].delivery_id)) if more else ""
        return pb.ListDeliveriesResponse(
            deliveries=[views.delivery_message(delivery) for delivery in page],
            next_page_token=token,
        )

    async def PurgeDeliveries(  # noqa: N802 - the contract names it
        self, request: pb.PurgeDeliveriesRequest, _context: Context
    ) -> pb.PurgeDeliveriesResponse:
        """Deletes deliveries, and frees their couriers."""

        async def remove(delivery_id: str) -> Delivery | None:
            change = store.Change(
                delivery_id=delivery_id, country_code=None, transition=domain.forget
            )
            return await self._writer.submit(change)

        kept = await purge(requests.read_purge(request), remove)
        return pb.PurgeDeliveriesResponse(kept=map(views.kept_message, kept))

    async def _change(
        self, delivery_id: str, country_code: str | None, transition: store.Transition
    ) -> Delivery:
        change = store.Change(
            delivery_id=delivery_id, country_code=country_code, transition=transition
        )
        try:
            delivery = await self._writer.submit(change)
        except domain.Refused as refused:
            raise _fault(refused.refusal, refused.delivery_id) from refused
        assert delivery is not None, "but for a purge, something is left"
        return delivery


def build(
    database: Database, clock: Clock, ids: IdSource, couriers: CourierBook
) -> DeliveryServicer:
    """The servicer, not started yet."""
    return DeliveryServicer(database, clock, ids, couriers)


def _fault(refusal: Refusal, delivery_id: str) -> faults.Fault:
    fault, reason, message = _FAULTS[refusal]
    return fault(reason, message, metadata={"delivery_id": delivery_id})
