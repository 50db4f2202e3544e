"""The payment service's RPCs: proto in, payments, proto out.

Invariant: a caller is answered with what is stored, or with the fault that says what to do. It must
never run an ask in a handler: a caller that leaves would take it along.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import grpc

from chassis import faults
from chassis.clock import Clock
from chassis.database import Database
from chassis.ids import IdSource
from oms.payment.v1 import payment_service_pb2 as pb
from oms.payment.v1 import payment_service_pb2_grpc
from payment_svc import requests, views
from payment_svc.domain import Refusal, Refused
from payment_svc.gateway import PaymentGateway
from payment_svc.payments import Payments
from payment_svc.records import DatabaseRecords
from payment_svc.settler import Settler

SERVICE: Final = "oms.payment.v1.PaymentService"
ID_PREFIX: Final = "pay"

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

# Reason and message of a decline are the gateway's; these stand in should it have given none.
_FAULTS: Final = MappingProxyType(
    {
        Refusal.NOT_FOUND: (faults.NotFound, "PAYMENT_NOT_FOUND", "there is no such payment"),
        Refusal.IN_PROGRESS: (
            faults.Refused,
            "IN_PROGRESS",
            "the gateway is being asked and has not answered yet; ask again",
        ),
        Refusal.DECLINED: (faults.Rejected, "PAYMENT_DECLINED", "the gateway declined"),
        Refusal.ALREADY_CANCELLED: (
            faults.Rejected,
            "ALREADY_CANCELLED",
            "the payment was cancelled",
        ),
        Refusal.ID_REUSED: (
            faults.Conflict,
            "PAYMENT_ID_REUSED",
            "the payment_id belongs to a payment with other content",
        ),
    }
)


class PaymentServicer(payment_service_pb2_grpc.PaymentServiceServicer):
    """Answers the RPCs of oms.payment.v1.PaymentService. Started before, closed after the server.

    Between the two it also settles what was asked of the gateway and never answered.
    """

    def __init__(
        self,
        payments: Payments,
        settler: Settler,
        ids: IdSource,
        knows: Callable[[str], bool],
    ) -> None:
        self._payments = payments
        self._settler = settler
        self._ids = ids
        self._knows = knows
        self._settling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the writer and the settling loop."""
        await self._payments.start()
        self._settling = asyncio.create_task(self._settler.run(), name="settler")

    async def stop_settling(self) -> None:
        """Ends the settling loop: what is half asked from now on is for the next start."""
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.wait({self._settling})

    async def drain(self, grace_seconds: float) -> None:
        """Lets the asks under way end within the grace. No call comes in any more."""
        await self._payments.drain(grace_seconds)

    async def close(self) -> None:
        """Writes everything that was asked for, then ends. The database is closed by its owner."""
        await self.stop_settling()
        await self._payments.close()

    async def failed(self) -> None:
        """Returns if the writer dies of a defect."""
        await self._payments.failed()

    async def CreatePayment(  # noqa: N802 - the contract names it
        self, request: pb.CreatePaymentRequest, _context: Context
    ) -> pb.CreatePaymentResponse:
        """Holds an amount."""
        payment_id, content = requests.read_create(request, self._knows)
        with _told():
            payment = await self._payments.create(payment_id or self._ids.draw(ID_PREFIX), content)
        return pb.CreatePaymentResponse(payment=views.payment_message(payment))

    async def ConfirmPayment(  # noqa: N802 - the contract names it
        self, request: pb.ConfirmPaymentRequest, _context: Context
    ) -> pb.ConfirmPaymentResponse:
        """Takes the amount that is held."""
        payment_id = requests.read_payment_id(request.payment_id)
        with _told():
            payment = await self._payments.confirm(payment_id)
        return pb.ConfirmPaymentResponse(payment=views.payment_message(payment))

    async def CancelPayment(  # noqa: N802 - the contract names it
        self, request: pb.CancelPaymentRequest, _context: Context
    ) -> pb.CancelPaymentResponse:
        """Cancels a payment, whatever its state."""
        payment_id = requests.read_payment_id(request.payment_id)
        with _told():
            payment = await self._payments.cancel(payment_id)
        return pb.CancelPaymentResponse(payment=views.payment_message(payment))

    async def GetPayment(  # noqa: N802 - the contract names it
        self, request: pb.GetPaymentRequest, _context: Context
    ) -> pb.GetPaymentResponse:
        """Reads one payment."""
        payment_id = requests.read_payment_id(request.payment_id)
        with _told():
            payment = await self._payments.get(payment_id)
        return pb.GetPaymentResponse(payment=views.payment_message(payment))

    async def ListPayments(  # noqa: N802 - the contract names it
        self, request: pb.ListPaymentsRequest, _context: Context
    ) -> pb.ListPaymentsResponse:
        """Lists payments, newest first."""
        listing = requests.read_list(request)
        page, more = await self._payments.list(listing)
        token = listing.token((page[-1].create_time_us, page[-1].payment_id)) if more else ""
        return pb.ListPaymentsResponse(
            payments=[views.payment_message(payment) for payment in page], next_page_token=token
        )

    async def PurgePayments(  # noqa: N802 - the contract names it
        self, request: pb.PurgePaymentsRequest, _context: Context
    ) -> pb.PurgePaymentsResponse:
        """Deletes payments that are over."""
        kept = await self._payments.purge(requests.read_purge(request))
        return pb.PurgePaymentsResponse(kept=map(views.kept_message, kept))


def build(
    database: Database,
    clock: Clock,
    ids: IdSource,
    gateway: PaymentGateway,
    *,
    random: Callable[[], float],
    gateway_timeout_seconds: float,
    settle_interval_seconds: float,
) -> PaymentServicer:
    """The servicer, not started yet.

    Args:
        database: The payments.
        clock: The time.
        ids: Draws an id for a payment that comes without one.
        gateway: Whoever moves the money.
        random: Draws from [0, 1): spreads the pauses after which the gateway is asked again.
        gateway_timeout_seconds: How long one question to it may take.
        settle_interval_seconds: How often questions without an answer are looked for.
    """
    records = DatabaseRecords(database)
    payments = Payments(
        records, clock, gateway, random=random, gateway_timeout_seconds=gateway_timeout_seconds
    )
    settler = Settler(
        asks=payments.asks,
        records=records,
        clock=clock,
        interval_seconds=settle_interval_seconds,
    )
    return PaymentServicer(payments, settler, ids, gateway.knows)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A refusal of the domain leaves as the fault that tells the caller of it."""
    try:
        yield
    except Refused as refused:
        fault, reason, message = _FAULTS[refused.refusal]
        if refused.decline is not None:
            reason, message = refused.decline.reason, refused.decline.message or message
        raise fault(reason, message, metadata={"payment_id": refused.payment_id}) from refused
