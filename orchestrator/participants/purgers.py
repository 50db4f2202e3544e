"""The participants, asked to delete what they keep for processes that are retired.

Invariant: every call has a deadline; whatever it ends with, either the participant has said of each
process what it keeps, or it counts as away. One process that a participant cannot do with never
keeps it from deleting the others. This module must never be asked for a process that the log still
has.

A participant that knows no Purge, somebody else's, keeps its rows: that is said once.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

import grpc
import grpc.aio
import structlog

from chassis import faults
from oms.delivery.v1 import delivery_service_pb2, delivery_service_pb2_grpc
from oms.order.v1 import order_service_pb2, order_service_pb2_grpc
from oms.payment.v1 import payment_service_pb2, payment_service_pb2_grpc
from orchestrator.order_process import delivery_id_of, order_id_of, payment_id_of

CALL_SECONDS: Final = 10.0

# It may be the batch that it fails over, or one id of it: each is asked for by itself then.
_OVER_SOME: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DATA_LOSS,
    }
)

_log = structlog.get_logger(__name__)


class ParticipantPurger:
    """Asks one participant."""

    def __init__(
        self,
        participant: str,
        id_of: Callable[[str], str],
        ask: Callable[[Sequence[str]], Awaitable[Collection[str]]],
    ) -> None:
        """`id_of` is what a process has there; `ask` has such purged, and tells what is kept."""
        self.participant: Final = participant
        self._id_of = id_of
        self._ask = ask
        self._knows_no_purge = False

    async def purge(self, process_ids: Sequence[str]) -> Collection[str]:
        """Those of these processes for which something is kept nevertheless."""
        by_id: Mapping[str, str] = {self._id_of(it): it for it in process_ids}
        try:
            kept = await self._ask(list(by_id))
        except grpc.aio.AioRpcError as error:
            return await self._failed(process_ids, error)
        return {by_id[it] for it in kept if it in by_id}

    async def _failed(
        self, process_ids: Sequence[str], error: grpc.aio.AioRpcError
    ) -> Collection[str]:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            if not self._knows_no_purge:
                _log.warning("participant_knows_no_purge", participant=self.participant)
            self._knows_no_purge = True
            return ()
        if error.code() not in _OVER_SOME:
            raise faults.Unavailable(
                "PARTICIPANT_UNAVAILABLE",
                f"the {self.participant} service does not answer ({error.code().name})",
            )
        if len(process_ids) == 1:
            _log.error(
                "purge_refused",
                participant=self.participant,
                process_id=process_ids[0],
                code=error.code().name,
            )
            return process_ids
        kept: set[str] = set()
        for process_id in process_ids:
            kept.update(await self.purge([process_id]))
        return kept


def open_purgers(
    order: grpc.aio.Channel, payment: grpc.aio.Channel, delivery: grpc.aio.Channel
) -> tuple[ParticipantPurger, ParticipantPurger, ParticipantPurger]:
    """What the three participants keep, purged."""
    orders = order_service_pb2_grpc.OrderServiceStub(order)
    payments = payment_service_pb2_grpc.PaymentServiceStub(payment)
    deliveries = delivery_service_pb2_grpc.DeliveryServiceStub(delivery)

    async def purge_orders(ids: Sequence[str]) -> Collection[str]:
        request = order_service_pb2.PurgeOrdersRequest(order_ids=ids)
        answer = await orders.PurgeOrders(request, timeout=CALL_SECONDS)
        return [it.order_id for it in answer.kept]

    async def purge_payments(ids: Sequence[str]) -> Collection[str]:
        request = payment_service_pb2.PurgePaymentsRequest(payment_ids=ids)
        answer = await payments.PurgePayments(request, timeout=CALL_SECONDS)
        return [it.payment_id for it in answer.kept]

    async def purge_deliveries(ids: Sequence[str]) -> Collection[str]:
        request = delivery_service_pb2.PurgeDeliveriesRequest(delivery_ids=ids)
        answer = await deliveries.PurgeDeliveries(request, timeout=CALL_SECONDS)
        return [it.delivery_id for it in answer.kept]

    return (
        ParticipantPurger("order", order_id_of, purge_orders),
        ParticipantPurger("payment", payment_id_of, purge_payments),
        ParticipantPurger("delivery", delivery_id_of, purge_deliveries),
    )
