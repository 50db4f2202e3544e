"""What callers are shown: a process, and the events of its history.

Invariant: a view is made of the row and the folded history alone. This module must never decide
anything, nor touch the log.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, assert_never

from chassis.timestamps import set_time, to_timestamp
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
    """A process as a caller sees it: as `set_process` says."""
    message = pb.OrderProcess()
    set_process(message, row, state)
    return message


def set_process(message: pb.OrderProcess, row: ProcessRow, state: SagaState) -> None:
    """Says in an empty message, which may be part of another, what a caller sees of a process.

    `row` says who it is, `state` where it is; they need not be of the same moment.
    """
    # Field by field: given as values, or as messages to be copied, it is twice the work.
    message.process_id = row.process_id
    message.request_id = row.business_key
    message.customer_id = row.subject
    message.state = _STATES[state.phase]
    message.order_id = order_id_of(row.process_id)
    message.payment_id = payment_id_of(row.process_id)
    message.delivery_id = delivery_id_of(row.process_id)
    # What the order costs: as the order service added it up, or until then as it was placed.
    created: Any = state.results.get("create_order") or state.input
    message.total.currency_code = created["total"]["currency_code"]
    message.total.minor_units = created["total"]["minor_units"]
    set_time(message.create_time, state.create_time_us)
    set_time(message.update_time, state.update_time_us)
    set_time(message.deadline, state.deadline_us)
    if state.end_time_us is not None:
        set_time(message.end_time, state.end_time_us)
    message.revision = state.revision
    steps = message.steps
    for action in state.actions:
        _set_step(steps.add(), action)
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
                park_time=to_timestamp(parking.time_us),
            )
        )
    for resolution in state.resolutions:
        message.resolved_by_hand.add(
            step=resolution.action,
            requested_by=resolution.requested_by,
            reason=resolution.reason,
            resolve_time=to_timestamp(resolution.time_us),
        )
    if (waits_until_us := state.waits_until_us) is not None:
        set_time(message.next_attempt_time, waits_until_us)


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
        create_time=to_timestamp(row.create_time_us),
        update_time=to_timestamp(row.update_time_us),
        revision=row.revision,
    )
    if row.end_time_us is not None:
        set_time(message.end_time, row.end_time_us)
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
        event_time=to_timestamp(row.end_time_us),
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
    message = pb.OrderProcessEvent(revision=revision, event_time=to_timestamp(event.time_us))
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


def _set_step(step: pb.OrderProcessStep, action: ActionState) -> None:
    step.name = action.name
    step.state = _STEP_STATES[action.status]
    step.attempts = action.attempts
    set_time(step.start_time, action.start_us)
    if action.end_us is not None:
        set_time(step.end_time, action.end_us)
    if action.code is not None:
        step.code = _CODE_NAMES[action.code]
    if action.reason:
        step.reason = action.reason
    if action.message:
        step.message = action.message
    if action.undo:
        step.undo = True
