"""OrderProcessAdminService: what operators do with processes that are PARKED, and the audit.

Invariant: what an operator decided on is what it is done to: a process that has moved on since is
left as it is. Who asked, and why, is in the history. This module must never touch a process that is
not parked.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, TypeAlias, assert_never

import grpc
from structlog.contextvars import bind_contextvars

from chassis import faults
from oms.orchestrator.v1 import order_process_admin_service_pb2 as pb
from oms.orchestrator.v1 import order_process_admin_service_pb2_grpc
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from orchestrator import requests, views
from orchestrator.audit import requests as audit_requests
from orchestrator.audit import views as audit_views
from orchestrator.audit.audits import Audits
from orchestrator.interventions import Interventions
from orchestrator.requests import Asked, ParkedFilter, Seen
from orchestrator.saga.events import ResolvedByHand, RetryRequested
from orchestrator.saga.evolve import replay
from orchestrator.saga.state import Parking, Phase, SagaState
from orchestrator.saga_log.protocol import ListQuery, ProcessRow, Stale
from orchestrator.saga_log.retirement import RetiringLog

SERVICE: Final = "oms.orchestrator.v1.OrderProcessAdminService"

# How many processes are in hand at once: histories are large.
PAGE_STRIDE: Final = 50

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class OrderProcessAdminServicer(
    order_process_admin_service_pb2_grpc.OrderProcessAdminServiceServicer
):
    """Answers the RPCs of oms.orchestrator.v1.OrderProcessAdminService."""

    def __init__(self, *, log: RetiringLog, interventions: Interventions, audits: Audits) -> None:
        self._log = log
        self._interventions = interventions
        self._audits = audits

    async def RetryOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.RetryOrderProcessRequest, _context: Context
    ) -> pb.RetryOrderProcessResponse:
        """Has parked undos tried afresh."""
        target, asked = requests.retry(request)
        match target:
            case Seen():
                bind_contextvars(process_id=target.process_id)
                messages = [await self._retry(target, asked)]
            case ParkedFilter():
                messages = await self._retry_all(target, asked)
            case _:
                assert_never(target)
        return pb.RetryOrderProcessResponse(processes=messages)

    async def ResolveOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.ResolveOrderProcessRequest, _context: Context
    ) -> pb.ResolveOrderProcessResponse:
        """Says that a person has done the parked undo by hand."""
        seen, asked = requests.resolve(request)
        bind_contextvars(process_id=seen.process_id)
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

    async def AuditOrderProcesses(  # noqa: N802 - the contract names it
        self, request: pb.AuditOrderProcessesRequest, _context: Context
    ) -> AsyncIterator[pb.AuditOrderProcessesResponse]:
        """Compares the log with what the participants keep."""
        async with aclosing(self._audits.pages(audit_requests.audit(request))) as pages:
            async for page in pages:
                yield audit_views.page_message(page)

    async def _retry(self, seen: Seen, asked: Asked) -> process_pb.OrderProcess:
        """Has one process tried afresh."""
        row, state, _ = await self._parked(seen)
        retried = RetryRequested(
            reason=asked.reason,
            requested_by=asked.requested_by,
            time_us=self._interventions.time_us(state),
        )
        try:
            after = await self._interventions.append(row.process_id, state, retried)
        except Stale:
            raise _moved_on() from None
        return views.process_message(row, after)

    async def _retry_all(self, parked: ParkedFilter, asked: Asked) -> list[process_pb.OrderProcess]:
        """Has all that a filter lets through tried afresh, a stride at a time."""
        messages: list[process_pb.OrderProcess] = []
        oldest = await self._oldest_parked(parked)
        for start in range(0, len(oldest), PAGE_STRIDE):
            retries = [self._retry(seen, asked) for seen in oldest[start : start + PAGE_STRIDE]]
            for retried in await asyncio.gather(*retries, return_exceptions=True):
                match retried:
                    case process_pb.OrderProcess():
                        messages.append(retried)
                    case faults.Refused() | faults.Rejected():
                        # It has moved on meanwhile: it is not tried afresh, not by this call.
                        pass
                    case _:
                        raise retried
        return messages

    async def _parked(self, seen: Seen) -> tuple[ProcessRow, SagaState, Parking]:
        """The process that was seen, if it is still as it was seen, and parked."""
        stored = await self._log.load(seen.process_id)
        if stored is None:
            if await self._log.retirement.find([seen.process_id]):
                raise faults.Rejected("NOT_PARKED", "the process was settled long ago")
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

    async def _oldest_parked(self, parked: ParkedFilter) -> list[Seen]:
        """The processes that a filter lets through, the longest parked first, up to its limit."""
        oldest: list[tuple[int, str, int]] = []
        query = ListQuery(limit=PAGE_STRIDE, phases=frozenset({Phase.PARKED}))
        while True:
            page = await self._log.list(query)
            for stored in page:
                parking = None if stored.unreadable else replay(stored.events).parking
                if parking is not None and _lets_through(parked, parking):
                    row = stored.row
                    oldest.append((parking.time_us, row.process_id, row.revision))
            oldest = heapq.nsmallest(parked.limit, oldest)
            if len(page) < PAGE_STRIDE:
                return [
                    Seen(process_id=process_id, revision=revision)
                    for _, process_id, revision in oldest
                ]
            last = page[-1].row
            query = replace(query, before=(last.create_time_us, last.process_id))


def _lets_through(parked: ParkedFilter, parking: Parking) -> bool:
    return (
        parked.step in {"", parking.action}
        and parked.reason in {"", parking.reason}
        and (parked.parked_before_us is None or parking.time_us < parked.parked_before_us)
    )


def _moved_on() -> faults.Refused:
    return faults.Refused(
        "REVISION_MISMATCH", "the process has moved on since that revision; look at it again"
    )
