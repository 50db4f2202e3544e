"""The order service's RPCs: proto in, domain, proto out.

Invariant: one RPC is one transaction, and a caller is answered after it has committed. It must
never decide what may happen to an order: the domain does.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import grpc

from chassis import faults
from chassis.clock import Clock
from chassis.database import Database
from chassis.entities import EntityWriter
from chassis.ids import IdSource
from chassis.purging import purge
from oms.order.v1 import order_service_pb2 as pb
from oms.order.v1 import order_service_pb2_grpc
from order_svc import domain, requests, store, views
from order_svc.domain import Order, Refusal

SERVICE: Final = "oms.order.v1.OrderService"
ID_PREFIX: Final = "ord"

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

_FAULTS: Final = MappingProxyType(
    {
        Refusal.NOT_FOUND: (faults.NotFound, "ORDER_NOT_FOUND", "there is no such order"),
        Refusal.ALREADY_CANCELLED: (
            faults.Rejected,
            "ALREADY_CANCELLED",
            "the order was cancelled",
        ),
        Refusal.ID_REUSED: (
            faults.Conflict,
            "ORDER_ID_REUSED",
            "the order_id belongs to an order with other content",
        ),
    }
)


class OrderServicer(order_service_pb2_grpc.OrderServiceServicer):
    """Answers the RPCs of oms.order.v1.OrderService. Started before and closed after the server."""

    def __init__(self, database: Database, clock: Clock, ids: IdSource) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._table = store.table()
        self._writer = EntityWriter(database.engine, self._table, name="order")

    async def start(self) -> None:
        """Starts the writer."""
        await self._writer.start()

    async def close(self) -> None:
        """Writes everything that was asked for, then ends. The database is closed by its owner."""
        await self._writer.close()

    async def failed(self) -> None:
        """Returns if the writer dies of a defect."""
        await self._writer.failed()

    async def CreateOrder(  # noqa: N802 - the contract names it
        self, request: pb.CreateOrderRequest, _context: Context
    ) -> pb.CreateOrderResponse:
        """Creates an order in state PENDING and adds up its total."""
        order_id, content = requests.read_create(request)
        order_id = order_id or self._ids.draw(ID_PREFIX)
        now_us = self._clock.now_us()
        order = await self._change(
            order_id, lambda order: domain.create(order, order_id, content, now_us)
        )
        return pb.CreateOrderResponse(order=views.order_message(order))

    async def ConfirmOrder(  # noqa: N802 - the contract names it
        self, request: pb.ConfirmOrderRequest, _context: Context
    ) -> pb.ConfirmOrderResponse:
        """Moves an order from PENDING to CONFIRMED."""
        order_id = requests.read_order_id(request.order_id)
        now_us = self._clock.now_us()
        order = await self._change(order_id, lambda order: domain.confirm(order, order_id, now_us))
        return pb.ConfirmOrderResponse(order=views.order_message(order))

    async def CancelOrder(  # noqa: N802 - the contract names it
        self, request: pb.CancelOrderRequest, _context: Context
    ) -> pb.CancelOrderResponse:
        """Cancels an order, whatever its state."""
        order_id = requests.read_order_id(request.order_id)
        now_us = self._clock.now_us()
        order = await self._change(order_id, lambda order: domain.cancel(order, order_id, now_us))
        return pb.CancelOrderResponse(order=views.order_message(order))

    async def GetOrder(  # noqa: N802 - the contract names it
        self, request: pb.GetOrderRequest, _context: Context
    ) -> pb.GetOrderResponse:
        """Reads one order, items included."""
        order_id = requests.read_order_id(request.order_id)
        found = await self._database.read(lambda it: self._table.load(it, [order_id]))
        if order_id not in found:
            raise _fault(Refusal.NOT_FOUND, order_id)
        return pb.GetOrderResponse(order=views.order_message(found[order_id]))

    async def ListOrders(  # noqa: N802 - the contract names it
        self, request: pb.ListOrdersRequest, _context: Context
    ) -> pb.ListOrdersResponse:
        """Lists orders, newest first, without their items."""
        listing = requests.read_list(request)
        page, more = await self._database.read(lambda it: store.select_summaries(it, listing))
        token = listing.token((page[-1].create_time_us, page[-1].order_id)) if more else ""
        return pb.ListOrdersResponse(
            orders=[views.summary_message(summary) for summary in page], next_page_token=token
        )

    async def PurgeOrders(  # noqa: N802 - the contract names it
        self, request: pb.PurgeOrdersRequest, _context: Context
    ) -> pb.PurgeOrdersResponse:
        """Deletes orders that are over."""
        order_ids = requests.read_purge(request)
        kept = await purge(order_ids, lambda it: self._writer.remove(it, domain.forget))
        return pb.PurgeOrdersResponse(kept=map(views.kept_message, kept))

    async def _change(self, order_id: str, transition: Callable[[Order | None], Order]) -> Order:
        try:
            return await self._writer.change(order_id, transition)
        except domain.Refused as refused:
            raise _fault(refused.refusal, refused.order_id) from refused


def build(database: Database, clock: Clock, ids: IdSource) -> OrderServicer:
    """The servicer, not started yet."""
    return OrderServicer(database, clock, ids)


def _fault(refusal: Refusal, order_id: str) -> faults.Fault:
    fault, reason, message = _FAULTS[refusal]
    return fault(reason, message, metadata={"order_id": order_id})
