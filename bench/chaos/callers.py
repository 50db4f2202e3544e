"""The callers: each sends its order until it is acknowledged, and some call it off or return it.

Invariant: an order is offered again under its request id until it is known to be accepted; every
answer goes into its account. Each call goes to one replica of the orchestrator, drawn for it, and
to the next one where it has to be made again. Must never: have more than `concurrency` callers at
once, nor take an answer that no caller should get for a reason to try again.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
import grpc.aio

from bench.chaos.account import Account
from bench.chaos.fleet import Fleet
from bench.chaos.layout import ORCHESTRATOR
from bench.chaos.orders import Fate, Order
from bench.chaos.pace import Pace
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_CANCELLED,
    ORDER_PROCESS_STATE_COMPLETED,
    ORDER_PROCESS_STATE_PARKED,
    OrderProcess,
)
from oms.orchestrator.v1.order_process_service_pb2 import (
    CancelOrderProcessRequest,
    StartOrderProcessRequest,
)
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub

if TYPE_CHECKING:
    from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceAsyncStub

T = TypeVar("T")

TRIED_AGAIN: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    }
)
TRIED_AGAIN_IN_CALM: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
"""By callers who are in no hurry while nothing is struck: replicas are drained, at the most."""
AT_REST: Final = frozenset(
    {
        ORDER_PROCESS_STATE_COMPLETED,
        ORDER_PROCESS_STATE_CANCELLED,
        ORDER_PROCESS_STATE_PARKED,
    }
)
# However it goes, a caller is answered within this, or it counts as never.
ANSWERED_SECONDS_MAX: Final = 120.0
_CALL_SECONDS: Final = 20.0
_PAUSE_SECONDS_MIN: Final = 0.05
_PAUSE_SECONDS_MAX: Final = 1.0


class Callers:
    """All callers of a run."""

    def __init__(
        self,
        fleet: Fleet,
        pace: Pace,
        *,
        seed: int,
        tried_again: frozenset[grpc.StatusCode] = TRIED_AGAIN,
    ) -> None:
        self._fleet = fleet
        self._pace = pace
        self._random = random.Random(f"{seed}/callers")
        self._tried_again = tried_again
        self._processes = [OrderProcessServiceStub(it.channel) for it in fleet.of(ORCHESTRATOR)]
        self.accounts: list[Account] = []
        self.answers: Counter[grpc.StatusCode] = Counter()

    async def run(self, orders: Iterable[Order], *, concurrency: int) -> None:
        """Has every order placed. Returns when the last caller has what it wanted."""
        waiting = iter(orders)
        async with asyncio.TaskGroup() as callers:
            for _ in range(concurrency):
                callers.create_task(self._work(waiting))

    async def _work(self, waiting: Iterator[Order]) -> None:
        for order in waiting:
            await self._pace.may_offer(order.number)
            account = Account.of(order)
            self.accounts.append(account)
            try:
                async with asyncio.timeout(ANSWERED_SECONDS_MAX):
                    process = await self._offer(order, account)
            except TimeoutError:
                account.complaints.append("it was never acknowledged")
                process = None
            finally:
                await self._pace.was_accepted()
            if process is not None:
                await self._follow_up(order, process, account)

    async def _follow_up(self, order: Order, process: OrderProcess, account: Account) -> None:
        """What the caller still does once its order is accepted."""
        try:
            async with asyncio.timeout(ANSWERED_SECONDS_MAX):
                if order.fate is Fate.CALLED_OFF:
                    await self._until_call(process, order.called_off_at_call)
                    await self._cancel(process.process_id, account)
                elif order.fate is Fate.RETURNED and await self._is_completed(order, account):
                    await self._cancel(process.process_id, account)
        except TimeoutError:
            account.complaints.append("it was not answered any more")

    async def _offer(self, order: Order, account: Account) -> OrderProcess | None:
        """The process as the first acknowledgement shows it; None where the caller is refused."""
        at = self._draw_replica()
        answers = await asyncio.gather(
            *(
                self._place(order.request, account, order.patience_seconds, first=at + n)
                for n in range(2 if order.twin else 1)
            )
        )
        return answers[0]

    async def _place(
        self,
        request: StartOrderProcessRequest,
        account: Account,
        patience_seconds: float,
        *,
        first: int,
    ) -> OrderProcess | None:
        return await self._told(
            account,
            lambda processes, seconds: processes.StartOrderProcess(request, timeout=seconds),
            lambda answer: answer.process,
            patience_seconds=patience_seconds,
            first=first,
        )

    async def _cancel(self, process_id: str, account: Account) -> None:
        request = CancelOrderProcessRequest(process_id=process_id, reason="chaos")
        account.cancel_asked = True
        answered = await self._told(
            account,
            lambda processes, seconds: processes.CancelOrderProcess(request, timeout=seconds),
            lambda answer: answer.process,
            patience_seconds=_CALL_SECONDS,
            first=self._draw_replica(),
        )
        account.cancel_accepted = answered is not None

    async def _is_completed(self, order: Order, account: Account) -> bool:
        """Waits until the process is at rest, by sending its request again."""
        request = StartOrderProcessRequest()
        request.CopyFrom(order.request)
        request.return_immediately = False
        while True:
            process = await self._place(request, account, _CALL_SECONDS, first=self._draw_replica())
            if process is None or process.state in AT_REST:
                return process is not None and process.state == ORDER_PROCESS_STATE_COMPLETED

    async def _until_call(self, process: OrderProcess, number: int) -> None:
        """Waits until a process makes that call; one that turned back before may never make it."""
        if process.state in AT_REST:
            return
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                await self._fleet.called(process.process_id, number)
        except TimeoutError:
            return

    async def _told(
        self,
        account: Account,
        send: Callable[["OrderProcessServiceAsyncStub", float], "grpc.aio.UnaryUnaryCall[Any, T]"],
        process_of: Callable[[T], OrderProcess],
        *,
        patience_seconds: float,
        first: int,
    ) -> OrderProcess | None:
        """Sends until there is an answer, and keeps it; None: it is one that nobody should get."""
        pause_seconds = _PAUSE_SECONDS_MIN
        for replica in itertools.count(first):
            call = send(self._processes[replica % len(self._processes)], patience_seconds)
            try:
                # The code first: the library takes a server's CANCELLED for our own.
                code = await call.code()
                self.answers[code] += 1
                if code is grpc.StatusCode.OK:
                    process = process_of(await call)
                    account.told(process)
                    return process
                if code not in self._tried_again:
                    account.complaints.append(f"it was told {code.name}: {await call.details()}")
                    return None
            finally:
                call.cancel()
            await asyncio.sleep(self._random.uniform(0, pause_seconds))
            pause_seconds = min(2 * pause_seconds, _PAUSE_SECONDS_MAX)
            # Who is in a hurry learns to wait, or a slow machine would never answer it.
            patience_seconds = max(patience_seconds, min(2 * patience_seconds, _CALL_SECONDS))
        raise AssertionError("it is sent for as long as it takes")

    def _draw_replica(self) -> int:
        return self._random.randrange(len(self._processes))
