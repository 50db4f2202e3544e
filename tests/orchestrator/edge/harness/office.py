"""A whole orchestrator inside the test's process: its own log on a file, served over real gRPC.

Invariant: after `crash` nothing of it runs any more, as if its process had died there; the file
stays, and another office may open it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Self

from chassis.channels import open_channel
from chassis.clock import Clock, SystemClock
from chassis.ids import IdSource
from chassis.server import Server
from oms.common.v1.address_pb2 import Address
from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1 import order_process_admin_service_pb2 as admin_pb
from oms.orchestrator.v1 import (
    order_process_admin_service_pb2_grpc,
    order_process_service_pb2_grpc,
)
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from oms.order.v1.order_pb2 import OrderItem
from orchestrator.assembly import Orchestrator, Sharing
from orchestrator.gate import Gate
from orchestrator.order_process import ORDER_PROCESSES
from orchestrator.participants.books import open_books
from orchestrator.participants.delivery import DeliveryParticipant
from orchestrator.participants.order import OrderParticipant
from orchestrator.participants.payment import PaymentParticipant
from orchestrator.runner import NO_GATES
from orchestrator.saga.definition import Policy, Versions
from orchestrator.saga.retry import RetryPolicy
from orchestrator.saga_log.sql import SqlSagaLog, is_shared

# No test waits this long: it is where one that would never end fails.
PATIENCE_SECONDS = 30.0

QUICK = Policy(
    attempt_timeout_seconds=5.0,
    step_retries=RetryPolicy(floor_seconds=0.001, cap_seconds=0.01),
    undo_retries=RetryPolicy(floor_seconds=0.001, cap_seconds=0.01),
)


class Office:
    """An orchestrator on a file in `folder`, dialling `targets`.

    With a `url` it is on that database instead, and shares it with whoever else is.
    """

    def __init__(
        self,
        folder: Path | None,
        targets: Mapping[str, str],
        *,
        policy: Policy = QUICK,
        clock: Clock | None = None,
        process_deadline_seconds: float = 60.0,
        return_window_seconds: float = 3_600.0,
        in_flight_max: int = 1_000,
        url: str | None = None,
        lease_seconds: float = 600.0,
        open_log: Callable[[str], Awaitable[SqlSagaLog]] | None = None,
        versions: Versions = ORDER_PROCESSES,
        gates: Mapping[str, Gate] = NO_GATES,
    ) -> None:
        self.url = url or f"sqlite:///{folder}/orchestrator.db"
        self._lease_seconds = lease_seconds
        self._targets = targets
        self._policy = policy
        self._clock = clock or SystemClock()
        self._process_deadline_seconds = process_deadline_seconds
        self._return_window_seconds = return_window_seconds
        self._in_flight_max = in_flight_max
        self._open_log = open_log or partial(SqlSagaLog.open, newest=versions.newest)
        self._versions = versions
        self._gates = gates
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def open(self) -> None:
        self.log = await self._open_log(self.url)
        self._open.push_async_callback(self.log.close)
        channels = {
            name: await self._open.enter_async_context(open_channel(target))
            for name, target in self._targets.items()
        }
        self.orchestrator = Orchestrator(
            log=self.log,
            actions={
                **OrderParticipant(channels["order"]).actions(),
                **PaymentParticipant(channels["payment"]).actions(),
                **DeliveryParticipant(channels["delivery"]).actions(),
            },
            books=open_books(channels["order"], channels["payment"], channels["delivery"]),
            clock=self._clock,
            ids=IdSource(self._clock),
            random=random.SystemRandom().random,
            policy=self._policy,
            process_deadline_seconds=self._process_deadline_seconds,
            return_window_seconds=self._return_window_seconds,
            in_flight_max=self._in_flight_max,
            sharing=(
                Sharing(log=self.log, lease_seconds=self._lease_seconds)
                if is_shared(self.url)
                else None
            ),
            versions=self._versions,
            gates=self._gates,
        )
        self.server = Server(
            listen="127.0.0.1:0",
            hosted=self.orchestrator.hosted(),
            drain_grace_seconds=5.0,
            message_bytes_max=4 * 1024 * 1024,
        )
        self.orchestrator.start()
        self._open.push_async_callback(self.orchestrator.drain, 0)
        await self.server.start()
        self._open.push_async_callback(self.server.stop)
        self.channel = open_channel(self.server.address)
        self._open.push_async_callback(self.channel.close)
        self.service = order_process_service_pb2_grpc.OrderProcessServiceStub(self.channel)
        self.admin = order_process_admin_service_pb2_grpc.OrderProcessAdminServiceStub(self.channel)

    async def drain(self, grace_seconds: float = 5.0) -> None:
        await self.server.drain(before_stop=lambda: self.orchestrator.drain(grace_seconds))

    async def crash(self) -> None:
        """Ends everything where it is. Nothing is logged any more, and nothing given back."""
        it = self.orchestrator
        loops = (it._recovering, it._beating, *it._looking)
        tasks = [*it.runner._tasks, *(loop for loop in loops if loop is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        it._recovering = it._beating = None
        it._looking = ()
        await self._open.aclose()

    async def start(self, request_id: str, /, **changes: object) -> process_pb.OrderProcess:
        """Starts a process and waits until it is at rest."""
        response = await self.service.StartOrderProcess(
            order(request_id, **changes), timeout=PATIENCE_SECONDS
        )
        return response.process

    async def accept(self, request_id: str, /, **changes: object) -> process_pb.OrderProcess:
        """Starts a process and does not wait for it."""
        response = await self.service.StartOrderProcess(
            order(request_id, return_immediately=True, **changes), timeout=PATIENCE_SECONDS
        )
        return response.process

    async def get(self, process_id: str) -> process_pb.OrderProcess:
        response = await self.service.GetOrderProcess(
            pb.GetOrderProcessRequest(process_id=process_id), timeout=PATIENCE_SECONDS
        )
        return response.process

    async def reaches(
        self, process_id: str, *states: "process_pb.OrderProcessState.ValueType"
    ) -> process_pb.OrderProcess:
        """Follows a process until it is in one of these states."""
        return await self.follow(process_id, lambda process: process.state in states)

    async def waits(self, process_id: str) -> process_pb.OrderProcess:
        """Follows a process until it pauses between two attempts."""
        return await self.follow(process_id, lambda it: it.HasField("next_attempt_time"))

    async def follow(
        self, process_id: str, until: Callable[[process_pb.OrderProcess], bool]
    ) -> process_pb.OrderProcess:
        call = self.service.WatchOrderProcess(
            pb.WatchOrderProcessRequest(process_id=process_id), timeout=PATIENCE_SECONDS
        )
        try:
            async for message in call:
                if until(message.process) and not await self._is_behind(message):
                    return message.process
        finally:
            call.cancel()
        raise AssertionError(f"{process_id} was settled before")

    async def _is_behind(self, message: pb.WatchOrderProcessResponse) -> bool:
        """Whether the history goes on already after this message."""
        now = await self.get(message.process.process_id)
        return now.revision > message.process.revision

    async def cancel(self, process_id: str, reason: str = "") -> process_pb.OrderProcess:
        response = await self.service.CancelOrderProcess(
            pb.CancelOrderProcessRequest(process_id=process_id, reason=reason),
            timeout=PATIENCE_SECONDS,
        )
        return response.process

    async def retry(
        self, process: process_pb.OrderProcess, *, requested_by: str = "grace"
    ) -> process_pb.OrderProcess:
        """Has a parked process tried afresh, as it was seen."""
        response = await self.admin.RetryOrderProcess(
            admin_pb.RetryOrderProcessRequest(
                process=seen(process), reason="it is well again", requested_by=requested_by
            ),
            timeout=PATIENCE_SECONDS,
        )
        [retried] = response.processes
        return retried

    async def resolve(
        self, process: process_pb.OrderProcess, *, requested_by: str = "grace"
    ) -> process_pb.OrderProcess:
        """Says that a person has done the parked undo, as it was seen."""
        response = await self.admin.ResolveOrderProcess(
            admin_pb.ResolveOrderProcessRequest(
                process=seen(process), reason="done by phone", requested_by=requested_by
            ),
            timeout=PATIENCE_SECONDS,
        )
        return response.process


def seen(process: process_pb.OrderProcess) -> admin_pb.OrderProcessRevision:
    return admin_pb.OrderProcessRevision(process_id=process.process_id, revision=process.revision)


def order(request_id: str, /, **changes: object) -> pb.StartOrderProcessRequest:
    """An order that goes through, but for the changes."""
    request = pb.StartOrderProcessRequest(
        request_id=request_id,
        customer_id="ada",
        items=[
            OrderItem(
                sku="BOOK", quantity=2, unit_price=Money(currency_code="USD", minor_units=1_250)
            )
        ],
        payment_method="pm_card_visa",
        delivery_address=address(),
    )
    for field in changes:
        request.ClearField(field)  # type: ignore[arg-type]  # fields by name
    request.MergeFrom(pb.StartOrderProcessRequest(**changes))  # type: ignore[arg-type]  # fields by name
    return request


def address(country_code: str = "US") -> Address:
    return Address(
        recipient="Ada",
        lines=["1 Market St"],
        locality="San Francisco",
        postal_code="94105",
        country_code=country_code,
    )
