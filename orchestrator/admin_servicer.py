"""OrderProcessAdminService: what operators do with processes that are PARKED.

Invariant: what an operator decided on is what it is done to: a process that has moved on since is
left as it is. Who asked, and why, is in the history. This module must never touch a process that is
not parked.
"""

import asyncio
import heapq
from typing import Any, Final, TypeAlias, assert_never

import grpc

from chassis import faults
from oms.orchestrator.v1 import order_process_admin_service_pb2 as pb
from oms.orchestrator.v1 import order_process_admin_service_pb2_grpc
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator import requests, views
from orchestrator.interventions import Interventions
from orchestrator.requests import Asked, ParkedFilter, Seen
from orchestrator.saga.events import ResolvedByHand, RetryRequested
from orchestrator.saga.evolve import replay
from orchestrator.saga.state import Parking, Phase, SagaState
from orchestrator.saga_log.protocol import ListQuery, ProcessRow, SagaLog, Stale

SERVICE: Final = "oms.orchestrator.v1.OrderProcessAdminService"

PAGE_SIZE: Final = 200

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class OrderProcessAdminServicer(
    order_process_admin_service_pb2_grpc.OrderProcessAdminServiceServicer
):
    """Answers the RPCs of oms.orchestrator.v1.OrderProcessAdminService."""

    def __init__(self, *, log: SagaLog, interventions: Interventions) -> None:
        self._log = log
        self._interventions = interventions

    async def RetryOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.RetryOrderProcessRequest, _context: Context
    ) -> pb.RetryOrderProcessResponse:
        """Has parked undos tried afresh."""
        target, asked = requests.retry(request)
        match target:
            case Seen():
                row, state, _ = await self._parked(target)
                message = await self._retry(row, state, asked)
                if message is None:
                    raise _moved_on()
                return pb.RetryOrderProcessResponse(processes=[message])
            case ParkedFilter():
                found = await self._oldest_parked(target)
                messages = await asyncio.gather(
                    *(self._retry(row, state, asked) for row, state in found)
                )
                # One that has moved on meanwhile is not being tried afresh, not by this call.
                return pb.RetryOrderProcessResponse(
                    processes=[message for message in messages if message is not None]
                )
            case _:
                assert_never(target)

    async def ResolveOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.ResolveOrderProcessRequest, _context: Context
    ) -> pb.ResolveOrderProcessResponse:
        """Says that a person has done the parked undo by hand."""
        seen, asked = requests.resolve(request)
        row, state, parking = await self._parked(seen)
        if not parking.action:
            raise faults.Rejected("NOT_PARKED", "the process is parked, but not on an undo")
        resolved = ResolvedByHand(
            action=parking.action,
            reason=asked.reason,
            requested_by=asked.requested_by,
            time_us=self._interventions.time_us(state),
        )
        try:
            after = await self._interventions.append(row.process_id, state, resolved)
        except Stale:
            raise _moved_on() from None
        return pb.ResolveOrderProcessResponse(process=views.process_message(row, after))

    async def _retry(
        self, row: ProcessRow, state: SagaState, asked: Asked
    ) -> process_pb.OrderProcess | None:
        """Has one process tried afresh; None if it has moved on since it was seen."""
        retried = RetryRequested(
            reason=asked.reason,
            requested_by=asked.requested_by,
            time_us=self._interventions.time_us(state),
        )
        try:
            after = await self._interventions.append(row.process_id, state, retried)
        except Stale:
            return None
        return views.process_message(row, after)

    async def _parked(self, seen: Seen) -> tuple[ProcessRow, SagaState, Parking]:
        """The process that was seen, if it is still as it was seen, and parked."""
        stored = await self._log.load(seen.process_id)
        if stored is None:
            raise faults.NotFound("PROCESS_NOT_FOUND", "there is no such process")
        if stored.row.revision != seen.revision:
            raise _moved_on()
        if stored.row.phase is not Phase.PARKED:
            raise faults.Rejected("NOT_PARKED", "the process is not parked")
        if stored.unreadable:
            raise faults.Defect("HISTORY_UNREADABLE", stored.unreadable)
        state = replay(stored.events)
        assert state.parking is not None, "what is parked says why"
        return stored.row, state, state.parking

    async def _oldest_parked(self, parked: ParkedFilter) -> list[tuple[ProcessRow, SagaState]]:
        """The processes that a filter lets through, the longest parked first, up to its limit."""
        oldest: list[tuple[ProcessRow, SagaState]] = []
        before: tuple[int, str] | None = None
        while True:
            page = await self._log.list(
                ListQuery(limit=PAGE_SIZE, before=before, phases=frozenset({Phase.PARKED}))
            )
            found = ((it.row, replay(it.events)) for it in page if not it.unreadable)
            chosen = [(row, state) for row, state in found if _lets_through(parked, state)]
            oldest = heapq.nsmallest(parked.limit, [*oldest, *chosen], key=_parked_since)
            if len(page) < PAGE_SIZE:
                return oldest
            before = (page[-1].row.create_time_us, page[-1].row.process_id)


def _lets_through(parked: ParkedFilter, state: SagaState) -> bool:
    parking = state.parking
    assert parking is not None, "what is parked says why"
    return (
        parked.step in {"", parking.action}
        and parked.reason in {"", parking.reason}
        and (parked.parked_before_us is None or parking.time_us < parked.parked_before_us)
    )


def _parked_since(process: tuple[ProcessRow, SagaState]) -> tuple[int, str]:
    row, state = process
    assert state.parking is not None, "what is parked says why"
    return state.parking.time_us, row.process_id


def _moved_on() -> faults.Refused:
    return faults.Refused(
        "REVISION_MISMATCH", "the process has moved on since that revision; look at it again"
    )
