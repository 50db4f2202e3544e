"""An orchestrator without sagas: it accepts what it is sent and ends it as its payment method says.

What it keeps outlives `stop`, as a log would; so a test can kill it and start it again.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from oms.common.v1.money_pb2 import Money
from oms.orchestrator.v1 import order_process_admin_service_pb2 as admin_pb
from oms.orchestrator.v1 import order_process_pb2 as pb
from oms.orchestrator.v1 import order_process_service_pb2 as service_pb
from oms.orchestrator.v1.order_process_admin_service_pb2_grpc import (
    OrderProcessAdminServiceServicer,
    add_OrderProcessAdminServiceServicer_to_server,
)
from oms.orchestrator.v1.order_process_service_pb2_grpc import (
    OrderProcessServiceServicer,
    add_OrderProcessServiceServicer_to_server,
)
from tests.console.harness.faults import AWAY, Fault, invalid, refused

FATES = {
    "pm_card_visa": pb.ORDER_PROCESS_STATE_COMPLETED,
    "pm_card_chargeDeclined": pb.ORDER_PROCESS_STATE_CANCELLED,
    "pm_parks": pb.ORDER_PROCESS_STATE_PARKED,
    "pm_waits": pb.ORDER_PROCESS_STATE_RUNNING,
}
EPOCH_SECONDS = 1_790_000_000
RESTING = {
    pb.ORDER_PROCESS_STATE_COMPLETED,
    pb.ORDER_PROCESS_STATE_CANCELLED,
    pb.ORDER_PROCESS_STATE_PARKED,
}


@dataclass(slots=True)
class Kept:
    """A process, what it was begun with, and what happened to it."""

    content: bytes
    process: pb.OrderProcess
    told: list[service_pb.WatchOrderProcessResponse] = field(default_factory=list)


class FakeOrchestrator(OrderProcessServiceServicer, OrderProcessAdminServiceServicer):
    """The two services of an orchestrator, on a free port; with `log_of`, a replica of another."""

    def __init__(self, *, log_of: "FakeOrchestrator | None" = None) -> None:
        self.port = 0
        self.kept: dict[str, Kept] = {} if log_of is None else log_of.kept
        self.calls: Counter[str] = Counter()
        self.requests: defaultdict[str, list[Message]] = defaultdict(list)
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.audits: deque[list[admin_pb.AuditOrderProcessesResponse | Fault]] = deque()
        self.every_nth_away = 0
        self.holds_seconds_max = float("inf")
        self.changed: threading.Condition = log_of.changed if log_of else threading.Condition()
        self.health = HealthServicer()
        self._server: grpc.Server | None = None
        self.start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=80), options=[("grpc.so_reuseport", 0)]
        )
        add_OrderProcessServiceServicer_to_server(self, self._server)
        add_OrderProcessAdminServiceServicer_to_server(self, self._server)
        add_HealthServicer_to_server(self.health, self._server)
        self.set_serving(True)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def AuditOrderProcesses(  # noqa: N802 - the contract's name
        self, request: admin_pb.AuditOrderProcessesRequest, context: grpc.ServicerContext
    ) -> Iterator[admin_pb.AuditOrderProcessesResponse]:
        """The next of `audits`: pages, and maybe the fault that it ends with."""
        self._called("AuditOrderProcesses", request, context)
        for page in self.audits.popleft():
            if isinstance(page, Fault):
                self._abort(context, page)
            else:
                yield page

    def stop(self) -> None:
        """Drops every call that is under way, as a crash does."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def set_serving(self, serving: bool) -> None:
        """What its health says."""
        status = HealthCheckResponse.ServingStatus.Value("SERVING" if serving else "NOT_SERVING")
        self.health.set("oms.orchestrator.v1.OrderProcessService", status)

    def fail(self, method: str, *faults: Fault) -> None:
        """The next calls of a method are answered so, one each."""
        self.faults[method].extend(faults)

    def wait_for_calls(self, method: str, count: int) -> None:
        """Waits until a method was called so often."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.calls[method] >= count, timeout=30)

    def settle(self, request_id: str, state: pb.OrderProcessState.ValueType) -> None:
        """Ends a process that waits."""
        with self.changed:
            self._add(self.kept[request_id], pb.ORDER_PROCESS_EVENT_KIND_COMPLETED, state=state)
            self.changed.notify_all()

    def process(self, request_id: str) -> pb.OrderProcess:
        return self.kept[request_id].process

    # The services.

    def StartOrderProcess(  # noqa: N802 - the contract's name
        self, request: service_pb.StartOrderProcessRequest, context: grpc.ServicerContext
    ) -> service_pb.StartOrderProcessResponse:
        self._called("StartOrderProcess", request, context)
        if not request.customer_id:
            required = (("customer_id", "is required"), ("items", "must be 1 to 1,000"))
            self._abort(context, invalid(*required))
        at_once = request.return_immediately
        order = service_pb.StartOrderProcessRequest()
        order.CopyFrom(request)
        order.ClearField("return_immediately")
        content = order.SerializeToString(deterministic=True)
        with self.changed:
            kept = self.kept.get(request.request_id)
            if kept is None:
                kept = self.kept[request.request_id] = self._begin(request, content)
            if kept.content != content:
                reused = "the request_id began a process with other content"
                self._abort(
                    context,
                    Fault(
                        code=grpc.StatusCode.ALREADY_EXISTS,
                        reason="REQUEST_ID_REUSED",
                        message=reused,
                    ),
                )
            if not at_once:
                left = min((context.time_remaining() or 0) - 0.2, self.holds_seconds_max)
                rests = lambda: kept.process.state in RESTING  # noqa: E731 - named for the reader
                self.changed.wait_for(rests, timeout=max(0, left))
            return service_pb.StartOrderProcessResponse(process=kept.process)

    def GetOrderProcess(  # noqa: N802 - the contract's name
        self, request: service_pb.GetOrderProcessRequest, context: grpc.ServicerContext
    ) -> service_pb.GetOrderProcessResponse:
        self._called("GetOrderProcess", request, context)
        return service_pb.GetOrderProcessResponse(process=self._find(request, context).process)

    def ListOrderProcesses(  # noqa: N802 - the contract's name
        self, request: service_pb.ListOrderProcessesRequest, context: grpc.ServicerContext
    ) -> service_pb.ListOrderProcessesResponse:
        self._called("ListOrderProcesses", request, context)
        found = [
            kept.process
            for kept in reversed(self.kept.values())
            if not request.states or kept.process.state in request.states
            if request.customer_id in ("", kept.process.customer_id)
        ]
        begin = int(request.page_token or 0)
        end = begin + request.page_size
        return service_pb.ListOrderProcessesResponse(
            processes=found[begin:end], next_page_token=str(end) if end < len(found) else ""
        )

    def WatchOrderProcess(  # noqa: N802 - the contract's name
        self, request: service_pb.WatchOrderProcessRequest, context: grpc.ServicerContext
    ) -> Iterator[service_pb.WatchOrderProcessResponse]:
        self._called("WatchOrderProcess", request, context)
        kept = self._find(service_pb.GetOrderProcessRequest(process_id=request.process_id), context)
        seen = request.after_revision
        while context.is_active():
            with self.changed:
                if len(kept.told) <= seen:
                    self.changed.wait(timeout=0.2)
                fresh = kept.told[seen:]
            for told in fresh:
                yield told
                seen = told.event.revision
                if self.faults["WatchOrderProcess.after"]:
                    self._abort(context, self.faults["WatchOrderProcess.after"].popleft())
                if told.process.state in RESTING - {pb.ORDER_PROCESS_STATE_PARKED}:
                    return

    def CancelOrderProcess(  # noqa: N802 - the contract's name
        self, request: service_pb.CancelOrderProcessRequest, context: grpc.ServicerContext
    ) -> service_pb.CancelOrderProcessResponse:
        self._called("CancelOrderProcess", request, context)
        kept = self._find(service_pb.GetOrderProcessRequest(process_id=request.process_id), context)
        with self.changed:
            self._add(kept, pb.ORDER_PROCESS_EVENT_KIND_CANCEL_REQUESTED)
            answer = service_pb.CancelOrderProcessResponse(process=kept.process)
            self._undo(kept)
            self.changed.notify_all()
        return answer

    def RetryOrderProcess(  # noqa: N802 - the contract's name
        self, request: admin_pb.RetryOrderProcessRequest, context: grpc.ServicerContext
    ) -> admin_pb.RetryOrderProcessResponse:
        self._called("RetryOrderProcess", request, context)
        if request.HasField("process"):
            chosen = [self._parked(request.process, context)]
        else:
            chosen = [
                kept
                for kept in self.kept.values()
                if kept.process.state == pb.ORDER_PROCESS_STATE_PARKED
                if request.filter.step in ("", kept.process.parking.step)
                if request.filter.reason in ("", kept.process.parking.reason)
                if kept.process.parking.park_time.ToMicroseconds()
                < request.filter.parked_before.ToMicroseconds()
            ][: request.filter.limit]
        with self.changed:
            for kept in chosen:
                kept.process.ClearField("parking")
                self._undo(kept)
        return admin_pb.RetryOrderProcessResponse(processes=[it.process for it in chosen])

    def ResolveOrderProcess(  # noqa: N802 - the contract's name
        self, request: admin_pb.ResolveOrderProcessRequest, context: grpc.ServicerContext
    ) -> admin_pb.ResolveOrderProcessResponse:
        self._called("ResolveOrderProcess", request, context)
        kept = self._parked(request.process, context)
        with self.changed:
            kept.process.resolved_by_hand.add(
                step=kept.process.parking.step,
                requested_by=request.requested_by,
                reason=request.reason,
            )
            kept.process.ClearField("parking")
            self._undo(kept)
        return admin_pb.ResolveOrderProcessResponse(process=kept.process)

    # What is behind them.

    def _called(self, method: str, request: Message, context: grpc.ServicerContext) -> None:
        with self.changed:
            self.calls[method] += 1
            self.requests[method].append(request)
            count = self.calls[method]
            fault = self.faults[method].popleft() if self.faults[method] else None
            self.changed.notify_all()
        if fault is None and self.every_nth_away and count % self.every_nth_away == 0:
            fault = AWAY
        if fault is not None:
            self._abort(context, fault)

    def _abort(self, context: grpc.ServicerContext, fault: Fault) -> None:
        context.abort_with_status(fault.status())

    def _find(
        self, request: service_pb.GetOrderProcessRequest, context: grpc.ServicerContext
    ) -> Kept:
        for kept in self.kept.values():
            process = kept.process
            if (
                process.process_id == request.process_id
                or process.request_id == request.request_id
                or process.order_id == request.order_id
            ):
                return kept
        missing = Fault(
            code=grpc.StatusCode.NOT_FOUND, reason="PROCESS_NOT_FOUND", message="no such process"
        )
        self._abort(context, missing)
        raise AssertionError("an abort raises")

    def _parked(self, seen: admin_pb.OrderProcessRevision, context: grpc.ServicerContext) -> Kept:
        kept = self._find(service_pb.GetOrderProcessRequest(process_id=seen.process_id), context)
        if kept.process.state != pb.ORDER_PROCESS_STATE_PARKED:
            self._abort(context, refused("NOT_PARKED", "the process is not PARKED"))
        if kept.process.revision != seen.revision:
            self._abort(
                context,
                Fault(
                    code=grpc.StatusCode.ABORTED, reason="REVISION_MISMATCH", message="it moved on"
                ),
            )
        return kept

    def _begin(self, request: service_pb.StartOrderProcessRequest, content: bytes) -> Kept:
        suffix = f"{len(self.kept):026d}"
        process = pb.OrderProcess(
            process_id=f"prc_{suffix}",
            request_id=request.request_id,
            customer_id=request.customer_id,
            state=pb.ORDER_PROCESS_STATE_RUNNING,
            order_id=f"ord_{suffix}",
            payment_id=f"pay_{suffix}",
            delivery_id=f"dlv_{suffix}",
            total=Money(
                currency_code=request.items[0].unit_price.currency_code,
                minor_units=sum(it.quantity * it.unit_price.minor_units for it in request.items),
            )
            if request.items
            else None,
            create_time=at(0),
            deadline=at(60_000),
        )
        kept = Kept(content, process)
        self._add(kept, pb.ORDER_PROCESS_EVENT_KIND_STARTED)
        self._step(kept, "create_order", pb.ORDER_PROCESS_STEP_STATE_SUCCEEDED)
        fate = FATES.get(request.payment_method, pb.ORDER_PROCESS_STATE_CANCELLED)
        match fate:
            case pb.ORDER_PROCESS_STATE_COMPLETED:
                self._step(kept, "process_payment", pb.ORDER_PROCESS_STEP_STATE_SUCCEEDED)
                self._add(kept, pb.ORDER_PROCESS_EVENT_KIND_COMPLETED, state=fate)
            case pb.ORDER_PROCESS_STATE_CANCELLED:
                rejected = pb.ORDER_PROCESS_STEP_STATE_REJECTED
                self._step(kept, "process_payment", rejected, reason="PAYMENT_DECLINED")
                self._undo(kept)
            case pb.ORDER_PROCESS_STATE_PARKED:
                rejected = pb.ORDER_PROCESS_STEP_STATE_REJECTED
                self._step(kept, "cancel_payment", rejected, reason="NOT_TODAY")
                parking = process.parking
                parking.step, parking.reason, parking.code = (
                    "cancel_payment",
                    "NOT_TODAY",
                    "ABORTED",
                )
                parking.park_time.CopyFrom(at(5_000 + len(self.kept)))
                self._add(kept, pb.ORDER_PROCESS_EVENT_KIND_PARKED, state=fate)
            case _:
                running = pb.ORDER_PROCESS_STEP_STATE_RUNNING
                self._step(kept, "process_payment", running)
        return kept

    def _undo(self, kept: Kept) -> None:
        kept.process.steps.add(
            name="cancel_order",
            state=pb.ORDER_PROCESS_STEP_STATE_SUCCEEDED,
            attempts=1,
            undo=True,
            code="OK",
            start_time=at(7),
            end_time=at(9),
        )
        cancelled = pb.ORDER_PROCESS_STATE_CANCELLED
        self._add(kept, pb.ORDER_PROCESS_EVENT_KIND_CANCELLED, state=cancelled)

    def _step(
        self,
        kept: Kept,
        name: str,
        state: pb.OrderProcessStepState.ValueType,
        *,
        reason: str = "",
    ) -> None:
        step = kept.process.steps.add(
            name=name, state=state, attempts=1, reason=reason, start_time=at(1)
        )
        if state != pb.ORDER_PROCESS_STEP_STATE_RUNNING:
            step.code = "FAILED_PRECONDITION" if reason else "OK"
            step.end_time.CopyFrom(at(6))
        self._add(kept, pb.ORDER_PROCESS_EVENT_KIND_ATTEMPT_ENDED, step=name)

    def _add(
        self,
        kept: Kept,
        kind: pb.OrderProcessEventKind.ValueType,
        *,
        step: str = "",
        state: pb.OrderProcessState.ValueType | None = None,
    ) -> None:
        process = kept.process
        process.revision += 1
        process.update_time.CopyFrom(at(process.revision))
        if state is not None:
            process.state = state
            if state in RESTING - {pb.ORDER_PROCESS_STATE_PARKED}:
                process.end_time.CopyFrom(at(process.revision))
        event = pb.OrderProcessEvent(
            revision=process.revision, kind=kind, event_time=process.update_time, step=step
        )
        kept.told.append(service_pb.WatchOrderProcessResponse(event=event, process=process))


def at(milliseconds: int) -> Timestamp:
    """A time, so long after the beginning of all tests."""
    stamp = Timestamp()
    stamp.FromMilliseconds(EPOCH_SECONDS * 1_000 + milliseconds)
    return stamp
