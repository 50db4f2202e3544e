"""A whole payment service inside the test's process, which can crash and start again.

Invariant: after `crash` nothing of the service runs any more, as if its process had died there; the
databases stay, and `restart` opens them anew.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio

from chassis.channels import open_channel
from chassis.clock import Clock, SystemClock
from chassis.database import Database
from chassis.ids import IdSource
from chassis.server import Hosted, Server
from chassis.statuses import WireError, read_error
from oms.common.v1 import money_pb2
from oms.payment.v1 import payment_pb2, payment_service_pb2_grpc
from oms.payment.v1 import payment_service_pb2 as pb
from payment_svc.asks import Asks
from payment_svc.payments import Payments
from payment_svc.sandbox.gateway import SandboxGateway
from payment_svc.sandbox.ledger import Balance
from payment_svc.sandbox.store import LedgerView, open_ledger_view
from payment_svc.servicer import SERVICE, build
from payment_svc.store import MIGRATIONS, select_half_asked
from tests.payment_svc.harness.gates import GatedGateway

AMOUNT = 2_500
# No test waits this long: it is where one that would never end fails.
PATIENCE_SECONDS = 30.0


def files(folder: Path) -> Callable[[], str]:
    """SQLite files in `folder`: the payments first, then the ledger."""
    names = iter(("payment", "gateway"))
    return lambda: f"sqlite:///{folder}/{next(names)}.db"


class Desk:
    """The service on two databases of its own. Calls go over real gRPC."""

    def __init__(
        self,
        new_url: Callable[[], str],
        *,
        clock: Clock | None = None,
        slow_seconds: float = 90.0,
        gateway_timeout_seconds: float = 30.0,
        settle_interval_seconds: float = 0.01,
        serve: bool = True,
    ) -> None:
        self.database_url = new_url()
        self.ledger_url = new_url()
        self.clock = clock or SystemClock()
        self._slow_seconds = slow_seconds
        self._gateway_timeout_seconds = gateway_timeout_seconds
        self._settle_interval_seconds = settle_interval_seconds
        self._serves = serve
        self._running: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        await self.restart()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running is not None:
            await self.crash()

    async def restart(self) -> None:
        """Starts the service on the databases as they are, with every gate open."""
        assert self._running is None
        async with AsyncExitStack() as stack:
            self.database = Database.open(self.database_url, name="payment", migrations=MIGRATIONS)
            stack.push_async_callback(self.database.close)
            sandbox = await SandboxGateway.open(
                self.ledger_url, self.clock, slow_seconds=self._slow_seconds
            )
            stack.push_async_callback(sandbox.close)
            self.gateway = GatedGateway(sandbox)
            self.servicer = build(
                self.database,
                self.clock,
                IdSource(self.clock),
                self.gateway,
                random=lambda: 0.5,
                gateway_timeout_seconds=self._gateway_timeout_seconds,
                settle_interval_seconds=self._settle_interval_seconds,
            )
            await self.servicer.start()
            stack.push_async_callback(self.servicer.close)
            if self._serves:
                await self._serve(stack)
            self._running = stack.pop_all()

    async def _serve(self, stack: AsyncExitStack) -> None:
        self.server = Server(
            listen="127.0.0.1:0",
            hosted=[Hosted(name=SERVICE, add=self._add)],
            drain_grace_seconds=0.0,
            message_bytes_max=4 * 1024 * 1024,
        )
        await self.server.start()
        self.channel = open_channel(self.server.address)
        stack.push_async_callback(self.channel.close)
        # Before the channel: callers learn it from the server.
        stack.push_async_callback(self.server.stop)
        self.stub = payment_service_pb2_grpc.PaymentServiceStub(self.channel)

    async def crash(self) -> None:
        """Ends everything where it is: callers, handlers, asks, writers."""
        assert self._running is not None
        running, self._running = self._running, None
        await running.aclose()

    async def until_idle(self) -> None:
        """Waits until no handler runs: every call has been answered, or was noticed to be gone."""
        await self.server._handlers.idle()

    @property
    def payments(self) -> Payments:
        """The use cases, for whoever calls without gRPC."""
        return self.servicer._payments

    @property
    def asks(self) -> Asks:
        return self.payments.asks

    async def until_nothing_is_asked(self) -> None:
        """Has all that is half asked settled, as the loop does, and waits until it is."""
        while True:
            while self.asks.under_way:
                await asyncio.wait(set(self.asks._running.values()))
            every = partial(select_half_asked, due_by_us=2**63 - 1, after="", limit=1)
            if not await self.database.read(every):
                return
            await self.servicer._settler.walk(due_by_us=2**63 - 1)

    def _add(self, server: grpc.aio.Server) -> None:
        payment_service_pb2_grpc.add_PaymentServiceServicer_to_server(self.servicer, server)

    async def create(
        self, payment_id: str, *, method: str = "pm_card_visa", minor_units: int = AMOUNT
    ) -> payment_pb2.Payment:
        request = pb.CreatePaymentRequest(
            payment_id=payment_id,
            order_id="ord_1",
            amount=money_pb2.Money(currency_code="USD", minor_units=minor_units),
            payment_method=method,
        )
        return (await self.stub.CreatePayment(request, timeout=PATIENCE_SECONDS)).payment

    async def confirm(self, payment_id: str) -> payment_pb2.Payment:
        request = pb.ConfirmPaymentRequest(payment_id=payment_id)
        return (await self.stub.ConfirmPayment(request, timeout=PATIENCE_SECONDS)).payment

    async def cancel(self, payment_id: str) -> payment_pb2.Payment:
        request = pb.CancelPaymentRequest(payment_id=payment_id)
        return (await self.stub.CancelPayment(request, timeout=PATIENCE_SECONDS)).payment

    async def get(self, payment_id: str) -> payment_pb2.Payment:
        request = pb.GetPaymentRequest(payment_id=payment_id)
        return (await self.stub.GetPayment(request, timeout=PATIENCE_SECONDS)).payment

    async def cancel_until_done(self, payment_id: str) -> payment_pb2.Payment:
        """Cancels as a patient caller does: while it is IN_PROGRESS, again."""
        while True:
            try:
                return await self.cancel(payment_id)
            except grpc.aio.AioRpcError as error:
                if read_error(error).reason not in {"IN_PROGRESS", "GATEWAY_UNAVAILABLE"}:
                    raise

    def balance(self, payment_id: str) -> Balance:
        """What the gateway's own ledger says."""
        with self.ledger() as view:
            return view.balance(payment_id)

    @contextmanager
    def ledger(self) -> Iterator[LedgerView]:
        with open_ledger_view(self.ledger_url) as view:
            yield view


def beside(desk: Desk) -> Callable[[], str]:
    """The databases of a desk, for a replica of it."""
    urls = iter((desk.database_url, desk.ledger_url))
    return lambda: next(urls)


async def refusal(call: Any) -> WireError:
    """The error that an RPC ends with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return read_error(error)
    raise AssertionError(f"it was not refused: {answer}")
