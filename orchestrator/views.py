"""What callers are shown: a process, and the events of its history.

Invariant: a view is made of the row and the folded history alone. This module must never decide
anything, nor touch the log.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, assert_never, cast

from chassis.timestamps import to_timestamp
from oms.common.v1 import money_pb2
from oms.orchestrator.v1 import order_process_pb2 as pb
from orchestrator.order_process import delivery_id_of, order_id_of, payment_id_of
from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CancelRequested,
    CompensationBegan,
    Completed,
    Event,
    Parked,
    ResolvedByHand,
    RetryRequested,
    Started,
)
from orchestrator.saga.evolve import replay
from orchestrator.saga.outcome import OUTCOMES
from orchestrator.saga.state import ActionState, ActionStatus, Phase, SagaState
from orchestrator.saga_log.protocol import ProcessRow, StoredProcess

_STATES: Final[Mapping[Phase, pb.OrderProcessState.ValueType]] = MappingProxyType(
    {
        Phase.RUNNING: pb.ORDER_PROCESS_STATE_RUNNING,
        Phase.COMPENSATING: pb.ORDER_PROCESS_STATE_COMPENSATING,
        Phase.COMPLETED: pb.ORDER_PROCESS_STATE_COMPLETED,
        Phase.CANCELLED: pb.ORDER_PROCESS_STATE_CANCELLED,
        Phase.PARKED: pb.ORDER_PROCESS_STATE_PARKED,
    }
)
_STEP_STATES: Final[Mapping[ActionStatus, pb.OrderProcessStepState.ValueType]] = MappingProxyType(
    {
        ActionStatus.RUNNING: pb.ORDER_PROCESS_STEP_STATE_RUNNING,
        ActionStatus.SUCCEEDED: pb.ORDER_PROCESS_STEP_STATE_SUCCEEDED,
        ActionStatus.REJECTED: pb.ORDER_PROCESS_STEP_STATE_REJECTED,
        ActionStatus.UNKNOWN: pb.ORDER_PROCESS_STEP_STATE_UNKNOWN,
        ActionStatus.RESOLVED_BY_HAND: pb.ORDER_PROCESS_STEP_STATE_RESOLVED_BY_HAND,
    }
)

# Asked of the enum itself a name is looked for anew.
_CODE_NAMES: Final[Mapping[Code, str]] = MappingProxyType({code: code.name for code in Code})


def process_message(row: ProcessRow, state: SagaState) -> pb.OrderProcess:
    """A process as a caller sees it.

    `row` says who it is, `state` where it is; they need not be of the same moment.
    """
    message = pb.OrderProcess(
        process_id=row.process_id,
        request_id=row.business_key,
        customer_id=row.subject,
        state=_STATES[state.phase],
        order_id=order_id_of(row.process_id),
        payment_id=payment_id_of(row.process_id),
        delivery_id=delivery_id_of(row.process_id),
        total=_total(state),
        steps=[_step_message(action) for action in state.actions],
        create_time=_time(state.create_time_us),
        update_time=_time(state.update_time_us),
        deadline=_time(state.deadline_us),
        end_time=_time_or_none(state.end_time_us),
        revision=state.revision,
    )
    if (failure := state.failure) is not None:
        message.failure.CopyFrom(
            pb.OrderProcessFailure(
                step=failure.step,
                code=failure.code_name,
                reason=failure.reason,
                message=failure.message,
            )
        )
    if (parking := state.parking) is not None:
        message.parking.CopyFrom(
            pb.OrderProcessParking(
                step=parking.action,
                code=parking.code_name,
                reason=parking.reason,
                message=parking.message,
                park_time=_time(parking.time_us),
            )
        )
    for resolution in state.resolutions:
        message.resolved_by_hand.add(
            step=resolution.action,
            requested_by=resolution.requested_by,
            reason=resolution.reason,
            resolve_time=_time(resolution.time_us),
        )
    if (waits_until_us := state.waits_until_us) is not None:
        message.next_attempt_time.CopyFrom(to_timestamp(waits_until_us))
    return message


def row_message(row: ProcessRow) -> pb.OrderProcess:
    """A process of which only the row can be shown: its history cannot be read, or is gone."""
    message = pb.OrderProcess(
        process_id=row.process_id,
        request_id=row.business_key,
        customer_id=row.subject,
        state=_STATES[row.phase],
        order_id=order_id_of(row.process_id),
        payment_id=payment_id_of(row.process_id),
        delivery_id=delivery_id_of(row.process_id),
        create_time=_time(row.create_time_us),
        update_time=_time(row.update_time_us),
        revision=row.revision,
    )
    if row.end_time_us is not None:
        message.end_time.CopyFrom(to_timestamp(row.end_time_us))
    return message


def stored_message(stored: StoredProcess) -> pb.OrderProcess:
    """A process, as much of it as can be read. Its whole history must be there."""
    if stored.unreadable:
        return row_message(stored.row)
    return process_message(stored.row, replay(stored.events))


def last_event_message(row: ProcessRow) -> pb.OrderProcessEvent:
    """The event that a settled process ended with, whether its history is still there or not."""
    assert row.end_time_us is not None, "what is settled has an end"
    completed = row.phase is Phase.COMPLETED
    return pb.OrderProcessEvent(
        revision=row.revision,
        event_time=_time(row.end_time_us),
        kind=(
            pb.ORDER_PROCESS_EVENT_KIND_COMPLETED
            if completed
            else pb.ORDER_PROCESS_EVENT_KIND_CANCELLED
        ),
    )


def event_message(  # noqa: C901 - flat: one case for each kind
    revision: int, event: Event
) -> pb.OrderProcessEvent:
    """An event as a caller sees it. `revision` is its place in the history."""
    message = pb.OrderProcessEvent(revision=revision, event_time=_time(event.time_us))
    match event:
        case Started():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_STARTED
        case AttemptBegan():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_ATTEMPT_BEGAN
            message.step = event.action
            message.attempt = event.attempt
        case AttemptEnded():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_ATTEMPT_ENDED
            message.step = event.action
            message.attempt = event.attempt
            message.code = event.code.name
            message.reason = event.reason
            message.message = event.message
            message.outcome = OUTCOMES[event.code].value
        case CancelRequested():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_CANCEL_REQUESTED
            message.message = event.reason
            message.requested_by = event.requested_by
        case CompensationBegan():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_COMPENSATION_BEGAN
            message.step = event.step
            message.code = event.code_name
            message.reason = event.reason
            message.message = event.message
        case Parked():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_PARKED
            message.step = event.action
            message.code = event.code_name
            message.reason = event.reason
            message.message = event.message
        case RetryRequested():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_RETRY_REQUESTED
            message.message = event.reason
            message.requested_by = event.requested_by
        case ResolvedByHand():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_RESOLVED_BY_HAND
            message.step = event.action
            message.message = event.reason
            message.requested_by = event.requested_by
        case Completed():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_COMPLETED
        case Cancelled():
            message.kind = pb.ORDER_PROCESS_EVENT_KIND_CANCELLED
        case _:
            assert_never(event)
    return message


def _step_message(action: ActionState) -> pb.OrderProcessStep:
    return pb.OrderProcessStep(
        name=action.name,
        state=_STEP_STATES[action.status],
        attempts=action.attempts,
        start_time=_time(action.start_us),
        end_time=_time_or_none(action.end_us),
        code="" if action.code is None else _CODE_NAMES[action.code],
        reason=action.reason,
        message=action.message,
        undo=action.undo,
    )


def _time(time_us: int) -> Any:  # noqa: ANN401 - a message may be given as what it is made from
    """A time on the wire, where it is a field of a message that is being made.

    There the values alone are taken in half the time of a message of its own, which is copied.
    """
    seconds, micros = divmod(time_us, 1_000_000)
    return {"seconds": seconds, "nanos": micros * 1_000}


def _time_or_none(time_us: int | None) -> Any:  # noqa: ANN401 - as _time
    return None if time_us is None else _time(time_us)


def _total(state: SagaState) -> money_pb2.Money:
    """What the order costs: as the order service added it up, or until then as it was placed."""
    created = cast("Mapping[str, Any]", state.results.get("create_order") or state.input)
    return money_pb2.Money(**created["total"])
