"""OrderProcessService: what callers can do with order processes.

Invariant: nothing is told to a caller before it is committed, and no process runs in a caller's
RPC: a caller that leaves stops nothing. This module must never decide what a process does next.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final, TypeAlias, assert_never

import grpc
from structlog.contextvars import bind_contextvars

from chassis import faults
from chassis.clock import MICROSECONDS_PER_SECOND, Clock
from chassis.ids import IdSource
from chassis.validation import INT64_MAX
from oms.orchestrator.v1 import order_process_pb2 as process_pb
from oms.orchestrator.v1 import order_process_service_pb2 as pb
from oms.orchestrator.v1 import order_process_service_pb2_grpc
from orchestrator import requests, views
from orchestrator.admission import PATIENCE_SHARE, Admission
from orchestrator.feed import Feed, Subscription
from orchestrator.interventions import Interventions
from orchestrator.order_process import PROCESS_PREFIX, process_id_of, start_order_process
from orchestrator.placed_order import PlacedOrder
from orchestrator.requests import ByOrderId, ByProcessId, ByRequestId
from orchestrator.run import Run
from orchestrator.runner import Runner
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import CancelRequested
from orchestrator.saga.evolve import evolve, replay
from orchestrator.saga.retry import microseconds
from orchestrator.saga.state import Phase, SagaState
from orchestrator.saga_log.protocol import ListQuery, ProcessRow, Stale, StoredProcess
from orchestrator.saga_log.retirement import RetiredProcess, RetiringLog

SERVICE: Final = "oms.orchestrator.v1.OrderProcessService"

OVERLOADED_RETRY_SECONDS: Final = 1.0
# How long before its deadline a caller is answered: a share of the time it gave, within bounds.
MARGIN_SHARE: Final = 0.1
MARGIN_SECONDS_MIN: Final = 0.005
MARGIN_SECONDS_MAX: Final = 0.25
# How often the log is looked into where another orchestrator may have written: by who watches, by
# who waits for a process that is run elsewhere, and by who waits for one that is run here, for it
# may have been taken over.
WATCH_LOOK_SECONDS: Final = 1.0
ELSEWHERE_LOOK_SECONDS: Final = 0.5
WAIT_LOOK_SECONDS: Final = 5.0
# How often a cancel is decided again because the process moved on meanwhile.
CANCEL_TRIES_MAX: Final = 50
# How many processes of a page are read at once.
PAGE_STRIDE: Final = 50

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class OrderProcessServicer(order_process_service_pb2_grpc.OrderProcessServiceServicer):
    """Answers the RPCs of oms.orchestrator.v1.OrderProcessService."""

    def __init__(
        self,
        *,
        log: RetiringLog,
        runner: Runner,
        interventions: Interventions,
        feed: Feed,
        rests: Feed,
        clock: Clock,
        ids: IdSource,
        definition: Definition,
        process_deadline_seconds: float,
        return_window_seconds: float,
        admission: Admission,
    ) -> None:
        """`feed` notices of all that happens to a process, `rests` only of its coming to rest."""
        self._log = log
        self._runner = runner
        self._interventions = interventions
        self._feed = feed
        self._rests = rests
        self._clock = clock
        self._ids = ids
        self._definition = definition
        self._process_deadline_us = microseconds(process_deadline_seconds)
        self._return_window_us = microseconds(return_window_seconds)
        self._admission = admission
        self._draining = False

    def drain(self) -> None:
        """Admits nothing more, ends watches, and has callers that wait answered."""
        self._draining = True
        self._admission.close()
        self._feed.notify_all()
        self._rests.notify_all()

    async def StartOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.StartOrderProcessRequest, context: Context
    ) -> pb.StartOrderProcessResponse:
        """Accepts an order and drives it; answers when it is at rest, or before the deadline."""
        answer_at = _answer_at(context)
        patience_seconds = self._patience_seconds(answer_at)
        before: ProcessRow | None = None
        turned_away = self._admission.turns_away(patience_seconds=patience_seconds)
        if turned_away and requests.names_itself(request):
            # Of an order for which there is no room nothing else is read: that would cost most.
            before = await self._begun_before(request.request_id)
        request_id, order = requests.start(request)
        if before is None and not await self._admission.admits(patience_seconds=patience_seconds):
            before = await self._begun_before(request_id)
        if before is not None:
            _check_same(before, order.fingerprint())
            return await self._answer_late(before, request, until=answer_at)
        process_id = self._ids.draw(PROCESS_PREFIX)
        with self._rests.subscribe(process_id) as rest:
            row = await self._started(request_id, order, process_id=process_id)
            if row.process_id == process_id:
                bind_contextvars(process_id=process_id)
                run = self._runner.run_of(process_id)
                rested = not request.return_immediately and await self._rested(
                    process_id, rest, until=answer_at
                )
                state = None if run is None else self._known(run)
                # Its run may be told later than the log says so.
                if state is not None and (state.phase.at_rest or not rested):
                    response = pb.StartOrderProcessResponse()
                    views.set_process(response.process, row, state)
                    return response
                return pb.StartOrderProcessResponse(process=await self._shown(process_id))
        return await self._answer_late(row, request, until=answer_at)

    async def GetOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.GetOrderProcessRequest, _context: Context
    ) -> pb.GetOrderProcessResponse:
        """Reads one process, by any of its keys."""
        process_id: str | None
        match requests.process_key(request):
            case ByProcessId(process_id=process_id):
                pass
            case ByRequestId(request_id=request_id):
                row = await self._log.find(request_id)
                process_id = None if row is None else row.process_id
            case ByOrderId(order_id=order_id):
                process_id = process_id_of(order_id)
        if process_id is None:
            raise _not_found()
        return pb.GetOrderProcessResponse(process=await self._shown(process_id))

    async def ListOrderProcesses(  # noqa: N802 - the contract names it
        self, request: pb.ListOrderProcessesRequest, _context: Context
    ) -> pb.ListOrderProcessesResponse:
        """Lists processes, newest first."""
        listing = requests.listing(request)
        query = ListQuery(
            limit=PAGE_STRIDE + 1,
            before=listing.after,
            phases=frozenset(Phase(state) for state in listing.states),
            subject=listing.subject,
            create_time_after_us=listing.created_from_us,
            create_time_before_us=listing.created_before_us,
        )
        response = pb.ListOrderProcessesResponse()
        # In strides: histories are large next to what is shown of them.
        while (room := listing.limit - len(response.processes)) > 0:
            stride = min(room, PAGE_STRIDE)
            found = await self._log.list(replace(query, limit=stride + 1))
            response.processes.extend(map(views.stored_message, found[:stride]))
            if len(found) <= stride:
                return response
            last = found[stride - 1].row
            query = replace(query, before=(last.create_time_us, last.process_id))
        assert query.before is not None, "a page that is full has a last process"
        response.next_page_token = listing.token(query.before)
        return response

    async def WatchOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.WatchOrderProcessRequest, _context: Context
    ) -> AsyncIterator[pb.WatchOrderProcessResponse]:
        """Replays the history of a process, then follows it until it is settled.

        What was not sent yet stays in the log: however slow the caller is, nothing heaps up here.
        """
        seen = requests.watch(request)
        bind_contextvars(process_id=seen.process_id)
        with self._feed.subscribe(seen.process_id) as news:
            state: SagaState | None = None
            while True:
                after = 0 if state is None else state.revision
                stored = await self._log.load(seen.process_id, after=after)
                if stored is None:
                    row = (await self._retired(seen.process_id)).row
                    if row.revision > seen.revision:
                        yield pb.WatchOrderProcessResponse(
                            event=views.last_event_message(row), process=views.row_message(row)
                        )
                    return
                if stored.unreadable:
                    raise faults.Defect("HISTORY_UNREADABLE", stored.unreadable)
                for event in stored.events:
                    state = evolve(state, event)
                    if state.revision > seen.revision:
                        yield pb.WatchOrderProcessResponse(
                            event=views.event_message(state.revision, event),
                            process=views.process_message(stored.row, state),
                        )
                assert state is not None, "a history begins with an event"
                if state.phase.settled:
                    return
                if self._draining:
                    raise _draining()
                await news.changed(WATCH_LOOK_SECONDS)

    async def CancelOrderProcess(  # noqa: N802 - the contract names it
        self, request: pb.CancelOrderProcessRequest, _context: Context
    ) -> pb.CancelOrderProcessResponse:
        """Stops a process from going forward and has it undone."""
        process_id, reason = requests.cancel(request)
        bind_contextvars(process_id=process_id)
        for _ in range(CANCEL_TRIES_MAX):
            stored = await self._log.load(process_id)
            if stored is None:
                row = (await self._retired(process_id)).row
                if row.phase is Phase.COMPLETED:
                    raise _return_window_closed()
                return pb.CancelOrderProcessResponse(process=views.row_message(row))
            if stored.unreadable:
                raise faults.Defect("HISTORY_UNREADABLE", stored.unreadable)
            state = replay(stored.events)
            if not self._to_be_cancelled(state):
                break
            wish = CancelRequested(
                reason=reason, requested_by="", time_us=self._interventions.time_us(state)
            )
            try:
                state = await self._interventions.append(process_id, state, wish)
                break
            except Stale:
                continue
        else:
            raise faults.Refused("CONTENDED", "the process moves on too fast; ask again")
        return pb.CancelOrderProcessResponse(process=views.process_message(stored.row, state))

    def _patience_seconds(self, answer_at: float | None) -> float:
        """For how long a process may wait until it begins, by the time that the caller has."""
        seconds = self._process_deadline_us / MICROSECONDS_PER_SECOND
        if answer_at is not None:
            seconds = answer_at - asyncio.get_running_loop().time()
        return PATIENCE_SHARE * seconds

    async def _begun_before(self, request_id: str) -> ProcessRow:
        """The process that this request began before; nothing begins."""
        row = await self._log.find(request_id)
        if row is None:
            raise _draining() if self._draining else _overloaded()
        return row

    async def _started(self, request_id: str, order: PlacedOrder, *, process_id: str) -> ProcessRow:
        """The process of this request: the one that it began before, or one that begins now."""
        row, is_new = await start_order_process(
            self._runner,
            order,
            definition=self._definition,
            process_id=process_id,
            request_id=request_id,
            deadline_us=self._clock.now_us() + self._process_deadline_us,
        )
        if not is_new:
            _check_same(row, order.fingerprint())
        return row

    async def _answer_late(
        self, row: ProcessRow, request: pb.StartOrderProcessRequest, *, until: float | None
    ) -> pb.StartOrderProcessResponse:
        """The answer to a request that began its process before."""
        bind_contextvars(process_id=row.process_id)
        if not request.return_immediately:
            with self._rests.subscribe(row.process_id) as rest:
                if not await self._is_at_rest(row.process_id):
                    await self._rested(row.process_id, rest, until=until)
        return pb.StartOrderProcessResponse(process=await self._shown(row.process_id))

    async def _rested(self, process_id: str, rest: Subscription, *, until: float | None) -> bool:
        """Whether the process is at rest, once it is, the time has come or the server drains."""
        now = asyncio.get_running_loop().time
        while not self._draining:
            left = None if until is None else until - now()
            if left is not None and left <= 0:
                return False
            here = self._runner.runs(process_id)
            look_seconds = WAIT_LOOK_SECONDS if here else ELSEWHERE_LOOK_SECONDS
            if left is not None:
                look_seconds = min(left, look_seconds)
            if await rest.changed(look_seconds) or await self._is_at_rest(process_id):
                return True
        return False

    def _known(self, run: Run) -> SagaState | None:
        """How the process of a run that was begun here is now, where the run can tell.

        It can while it is run here, and where it was brought to rest here. Otherwise it was given
        back or taken over: only the log knows how it goes on.
        """
        state = run.state
        if state is None or state.phase.at_rest or self._runner.run_of(run.process_id) is run:
            return state
        return None

    async def _is_at_rest(self, process_id: str) -> bool:
        stored = await self._log.load(process_id, after=INT64_MAX)
        if stored is None:
            return (await self._retired(process_id)).phase.at_rest
        return stored.row.phase.at_rest

    async def _shown(self, process_id: str) -> process_pb.OrderProcess:
        """A process as it is now."""
        stored: StoredProcess | None = await self._log.load(process_id)
        if stored is not None:
            return views.stored_message(stored)
        return views.row_message((await self._retired(process_id)).row)

    async def _retired(self, process_id: str) -> RetiredProcess:
        """A process that is not in the log. It leaves it to be retired: so this is asked second.

        Raises:
            faults.NotFound: Nor is it retired, or it is forgotten by now.
        """
        retired = (await self._log.retirement.find([process_id])).get(process_id)
        if retired is None:
            raise _not_found()
        return retired

    def _to_be_cancelled(self, state: SagaState) -> bool:
        """Whether a wish to cancel it still has to be stored."""
        match state.phase:
            case Phase.RUNNING:
                return state.cancel is None
            case Phase.COMPENSATING | Phase.CANCELLED:
                return False
            case Phase.PARKED:
                assert state.parking is not None, "what is parked says why"
                # Parked before it turned back: once it is retried it would go forward again.
                return state.parking.phase is Phase.RUNNING and state.cancel is None
            case Phase.COMPLETED:
                assert state.end_time_us is not None, "what is settled has an end"
                if self._clock.now_us() - state.end_time_us > self._return_window_us:
                    raise _return_window_closed()
                return True
            case _:
                assert_never(state.phase)


def _answer_at(context: Context) -> float | None:
    """When to answer at the latest, in the loop's time: a little before the caller's deadline."""
    remaining: float | None = context.time_remaining()
    if remaining is None:
        return None
    margin = min(max(MARGIN_SHARE * remaining, MARGIN_SECONDS_MIN), MARGIN_SECONDS_MAX)
    return asyncio.get_running_loop().time() + remaining - margin


def _check_same(row: ProcessRow, fingerprint: str) -> None:
    """Sees to it that a request asks for what its process was begun with."""
    if row.fingerprint != fingerprint:
        raise faults.Conflict(
            "REQUEST_ID_REUSED",
            "the request_id began a process with other content; draw another request_id",
            metadata={"process_id": row.process_id},
        )


def _not_found() -> faults.NotFound:
    return faults.NotFound("PROCESS_NOT_FOUND", "there is no such process")


def _return_window_closed() -> faults.Rejected:
    return faults.Rejected("RETURN_WINDOW_CLOSED", "the process was completed too long ago")


def _draining() -> faults.Unavailable:
    return faults.Unavailable("DRAINING", "the server is stopping; ask again")


def _overloaded() -> faults.Overloaded:
    return faults.Overloaded(
        "OVERLOADED",
        "too many processes are in flight; send it again later",
        retry_after_seconds=OVERLOADED_RETRY_SECONDS,
    )
