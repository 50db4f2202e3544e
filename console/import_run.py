"""Sending the orders of an import and following them until they rest.

Invariant: an order is sent again, with the same request id, until a server has answered for it;
so that this run, the server or both may break off anywhere and a later run makes no second
process of any order. What is in hand is bounded: so many calls at once, so many processes waited
for. It must never give an order up because of an error that may pass while anything moves.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import grpc

from console.following import RESTING
from console.import_file import Entry, Order, Rejection
from console.patience import Backoff
from console.terminal import BadInput
from console.wire import CallFailed, Connection
from oms.orchestrator.v1 import order_process_pb2 as pb
from oms.orchestrator.v1.order_process_service_pb2 import GetOrderProcessRequest

# Long enough that hardly any process outlasts the call that began it, and a server gone without a
# word is noticed.
_START_SECONDS: Final = 20.0
_FIRST_LOOK_SECONDS: Final = 1.0
_LAST_LOOK_SECONDS: Final = 15.0
_WAITED_FOR_MAX: Final = 10_000
# Errors that a sound server does not make; one that makes them for this order again and again
# will go on doing so.
_DEFECT_TRIES_MAX: Final = 8

_REFUSED: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
_BARRED: Final = frozenset(
    {
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_REUSED: Final = "REQUEST_ID_REUSED"
# For somebody who has a file with keys, and never saw a request id.
_KEY_REUSED: Final = (
    "an order with other content was sent under this key before, and stays as it was sent; "
    "give this one another key, or import the file under another --name"
)
_ENDINGS: Final = {
    pb.ORDER_PROCESS_STATE_COMPLETED: "completed",
    pb.ORDER_PROCESS_STATE_CANCELLED: "cancelled",
    pb.ORDER_PROCESS_STATE_PARKED: "parked",
}


class GaveUp(Exception):  # noqa: N818 - named by what happened
    """Nothing moved for as long as patience allows."""


@dataclass(slots=True)
class Tally:
    """How many orders have come how far."""

    accepted: int = 0
    completed: int = 0
    cancelled: int = 0
    parked: int = 0
    rejected: int = 0
    in_hand: int = 0
    read_all: bool = False

    @property
    def still_going(self) -> int:
        """Accepted, and neither settled nor PARKED as far as is known."""
        return self.accepted - self.completed - self.cancelled - self.parked

    @property
    def settled(self) -> int:
        """COMPLETED or CANCELLED."""
        return self.completed + self.cancelled


class Run:
    """One run of an import."""

    def __init__(
        self,
        *,
        connection: Connection,
        entries: Iterator[Entry],
        reject: Callable[[Rejection], None],
        concurrency: int,
        patience_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self.trouble: CallFailed | None = None
        self._connection = connection
        self._entries = entries
        self._reject = reject
        self._concurrency = concurrency
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._moved_at = monotonic()
        # (when to look, a tie breaker, which process, how long to wait after that)
        self._waited_for: list[tuple[float, int, str, float]] = []
        self._ties = itertools.count()

    @property
    def patience_left_seconds(self) -> float:
        """How long it may still be that nothing moves."""
        return self._patience_seconds - (self._monotonic() - self._moved_at)

    async def run(self) -> None:
        """Everything, to its end.

        Raises `GaveUp`, the `CallFailed` that no order will get past, or what is wrong with the
        file.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._work())
        except* (GaveUp, CallFailed, BadInput, OSError) as several:
            # All of them met the same wall; one tells of it.
            raise _first(several) from None

    async def _work(self) -> None:
        """Looks after what is due first, then takes a new order; ends when there is neither."""
        while True:
            now = self._monotonic()
            if self._waited_for and self._waited_for[0][0] <= now:
                _, _, process_id, pause = heapq.heappop(self._waited_for)
                await self._look(process_id, pause)
            elif not self.tally.read_all and len(self._waited_for) < _WAITED_FOR_MAX:
                await self._take()
            elif self._waited_for:
                self._check_patience()
                await asyncio.sleep(min(self._waited_for[0][0] - now, _FIRST_LOOK_SECONDS))
            else:
                return

    async def _take(self) -> None:
        match next(self._entries, None):
            case None:
                self.tally.read_all = True
            case Rejection() as rejection:
                self._refuse(rejection)
                await asyncio.sleep(0)
            case Order() as order:
                await self._send(order)

    async def _send(self, order: Order) -> None:
        backoff = Backoff()
        defects = 0
        self.tally.in_hand += 1
        while True:
            try:
                reply = await self._connection.call(
                    self._connection.processes.StartOrderProcess,
                    order.request,
                    timeout=_START_SECONDS,
                )
            except CallFailed as failed:
                if failed.code in _BARRED:
                    raise
                defects += not failed.passing
                if failed.code in _REFUSED or defects >= _DEFECT_TRIES_MAX:
                    self.tally.in_hand -= 1
                    self._refuse(_rejection(order, failed))
                    return
                await self._wait_out(failed, backoff)
                continue
            break
        self.tally.in_hand -= 1
        self.tally.accepted += 1
        self._moved()
        if not self._rests(reply.process):
            self._look_later(reply.process.process_id, _FIRST_LOOK_SECONDS)

    async def _look(self, process_id: str, pause: float) -> None:
        """Asks how a process is; puts it back among the waited for while it goes on."""
        request = GetOrderProcessRequest(process_id=process_id)
        try:
            reply = await self._connection.call(self._connection.processes.GetOrderProcess, request)
        except CallFailed as failed:
            if failed.code in _BARRED:
                raise
            self._look_later(process_id, pause)
            self._trouble(failed)
            return
        self.trouble = None
        if not self._rests(reply.process):
            self._look_later(process_id, min(2 * pause, _LAST_LOOK_SECONDS))

    def _rests(self, process: pb.OrderProcess) -> bool:
        if process.state not in RESTING:
            return False
        ending = _ENDINGS[process.state]
        setattr(self.tally, ending, getattr(self.tally, ending) + 1)
        self._moved()
        return True

    def _look_later(self, process_id: str, pause: float) -> None:
        due = self._monotonic() + pause
        heapq.heappush(self._waited_for, (due, next(self._ties), process_id, pause))

    def _refuse(self, rejection: Rejection) -> None:
        self.tally.rejected += 1
        self._reject(rejection)
        self._moved()

    async def _wait_out(self, failed: CallFailed, backoff: Backoff) -> None:
        self._trouble(failed)
        pause = backoff.pause_seconds(asked_seconds=failed.retry_after_seconds)
        # However long the server asks for: patience is ours.
        await asyncio.sleep(min(pause, max(0.0, self.patience_left_seconds)))

    def _trouble(self, failed: CallFailed) -> None:
        self.trouble = failed
        self._check_patience()

    def _check_patience(self) -> None:
        if self.patience_left_seconds <= 0:
            raise GaveUp

    def _moved(self) -> None:
        self.trouble = None
        self._moved_at = self._monotonic()


def _rejection(order: Order, failed: CallFailed) -> Rejection:
    violations = "; ".join(f"{it.field}: {it.description}" for it in failed.violations)
    told = _KEY_REUSED if failed.reason == _REUSED else failed.message
    return Rejection(
        rows=order.rows, reason=failed.reason or failed.code.name, details=violations or told
    )


def _first(several: BaseExceptionGroup[Exception]) -> Exception:
    error = several.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
