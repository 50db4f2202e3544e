"""What to do next: a pure function of the definition, the folded history and the time.

Invariant: the same history at the same time leads to the same command, on whatever machine and
after however many crashes; a command's event is what the log then says of it. Asked while no call
of the process is under way, so an attempt without an end was cut short and may have been applied.
Must never: do anything.
"""

from typing import Final, TypeAlias

from chassis.record import record
from orchestrator.saga.code import Code
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import (
    AttemptBegan,
    Cancelled,
    CompensationBegan,
    Completed,
    Parked,
)
from orchestrator.saga.evolve import cancel_failure
from orchestrator.saga.outcome import Sequel, sequel_of
from orchestrator.saga.retry import MICROSECONDS_PER_SECOND, microseconds
from orchestrator.saga.state import ActionState, ActionStatus, Failure, Phase, SagaState
from orchestrator.saga.text import MESSAGE_LENGTH_MAX, bounded

PROCESS_DEADLINE_EXCEEDED: Final = "PROCESS_DEADLINE_EXCEEDED"
COMPENSATION_HORIZON_EXCEEDED: Final = "COMPENSATION_HORIZON_EXCEEDED"
UNKNOWN_DEFINITION: Final = "UNKNOWN_DEFINITION"

# Asked of its class it costs as much as a call, and it is asked for with every decision.
_RUNNING: Final = Phase.RUNNING


@record
class Call:
    """Make this attempt."""

    action: str
    attempt: int
    timeout_seconds: float

    def event(self, time_us: int) -> AttemptBegan:
        """What the log says of it before it leaves."""
        return AttemptBegan(action=self.action, attempt=self.attempt, time_us=time_us)


@record
class Wait:
    """Do nothing until then."""

    until_us: int


@record
class Compensate:
    """Turn back."""

    failure: Failure

    def event(self, time_us: int) -> CompensationBegan:
        """What the log says of it."""
        return CompensationBegan(
            step=self.failure.step,
            code_name=self.failure.code_name,
            reason=self.failure.reason,
            message=self.failure.message,
            time_us=time_us,
        )


@record
class Park:
    """Have a person look."""

    action: str
    code_name: str
    reason: str
    message: str

    def event(self, time_us: int) -> Parked:
        """What the log says of it."""
        return Parked(
            action=self.action,
            code_name=self.code_name,
            reason=self.reason,
            message=self.message,
            time_us=time_us,
        )


@record
class Complete:
    """Every step is done."""

    def event(self, time_us: int) -> Completed:
        """What the log says of it."""
        return Completed(time_us=time_us)


@record
class Cancel:
    """Everything is undone."""

    def event(self, time_us: int) -> Cancelled:
        """What the log says of it."""
        return Cancelled(time_us=time_us)


@record
class Rest:
    """There is nothing to do."""


Command: TypeAlias = Call | Wait | Compensate | Park | Complete | Cancel | Rest


def decide(definition: Definition | None, state: SagaState, now_us: int) -> Command:
    """What to do next with a process.

    Args:
        definition: What the process began on. None: this release does not know it.
        state: Its history, folded.
        now_us: The time. What the history says is never later: clocks differ, histories do not.
    """
    now_us = max(now_us, state.update_time_us)
    phase = state.phase
    if phase.at_rest:
        return Rest()
    if definition is None:
        return _park_unknown(state)
    if phase is _RUNNING:
        return _forward(definition, state, now_us)
    return _back(definition, state, now_us)


def put_off_until_us(definition: Definition, state: SagaState, call: Call) -> int:
    """Until when a call that was decided on may be put off.

    Then something else is decided; an undo is tried once more, before it is parked.
    """
    if state.phase is Phase.RUNNING:
        return state.deadline_us
    undo = state.action(call.action)
    since_us = state.update_time_us if undo is None else undo.since_us
    return _horizon_us(definition, since_us)


def _forward(definition: Definition, state: SagaState, now_us: int) -> Command:
    step, begun = _first_not_done(definition, state)
    if state.cancel is not None:
        under_way = begun.name if begun is not None else ""
        return Compensate(failure=cancel_failure(under_way, state.cancel))
    if step is None:
        return Complete()
    if begun is not None and begun.status is not ActionStatus.RUNNING:
        return Compensate(failure=_failure_of(begun))
    not_before_us = now_us
    if begun is not None:
        not_before_us = max(now_us, _not_before_us(begun))
    if not_before_us >= state.deadline_us:
        return Compensate(failure=_out_of_time(step, begun))
    if not_before_us > now_us:
        return Wait(until_us=not_before_us)
    seconds_left = (state.deadline_us - now_us) / MICROSECONDS_PER_SECOND
    return Call(
        action=step,
        attempt=_attempts(begun) + 1,
        timeout_seconds=min(definition.policy.attempt_timeout_seconds, seconds_left),
    )


def _first_not_done(
    definition: Definition, state: SagaState
) -> tuple[str | None, ActionState | None]:
    """The first step that is not done, and how far it is. None: all of them are done."""
    steps, begun = definition.steps, state.actions
    if not begun:
        return steps[0].name, None
    last, place = begun[-1], len(begun)
    if place <= len(steps) and steps[place - 1].name == last.name:
        # Nearly always: one is begun when those before it are done.
        if not last.status.done:
            return last.name, last
        return (steps[place].name if place < len(steps) else None), None
    for step in steps:
        action = state.action(step.name)
        if action is None or not action.status.done:
            return step.name, action
    return None, None


def _back(definition: Definition, state: SagaState, now_us: int) -> Command:
    for name in definition.undos_of(_may_be_applied(state)):
        undo = state.action(name)
        if undo is None or not undo.status.done:
            return _undo(definition, name, undo, now_us)
    return Cancel()


def _may_be_applied(state: SagaState) -> set[str]:
    """The steps that were done, or of which nobody knows."""
    return {
        action.name
        for action in state.actions
        if not action.undo and action.status in {ActionStatus.SUCCEEDED, ActionStatus.UNKNOWN}
    }


def _undo(definition: Definition, name: str, undo: ActionState | None, now_us: int) -> Command:
    if undo is not None and undo.attempts > 0 and not undo.in_flight:
        assert undo.code is not None, "an attempt that is not under way has ended"
        if sequel_of(undo.code, undo=True) is Sequel.PARK:
            return Park(
                action=name,
                code_name=undo.code.name,
                reason=undo.reason,
                message=undo.message,
            )
        not_before_us = _not_before_us(undo)
        if not_before_us >= _horizon_us(definition, undo.since_us):
            return Park(
                action=name,
                code_name=undo.code.name,
                reason=COMPENSATION_HORIZON_EXCEEDED,
                message=_bounded(f"tried for long enough; {_last_attempt(undo)}"),
            )
        if not_before_us > now_us:
            return Wait(until_us=not_before_us)
    return Call(
        action=name,
        attempt=_attempts(undo) + 1,
        timeout_seconds=definition.policy.attempt_timeout_seconds,
    )


def _horizon_us(definition: Definition, since_us: int) -> int:
    return since_us + microseconds(definition.policy.compensation_horizon_seconds)


def _attempts(action: ActionState | None) -> int:
    return 0 if action is None else action.attempts


def _not_before_us(action: ActionState | None) -> int:
    return 0 if action is None or action.not_before_us is None else action.not_before_us


def _failure_of(step: ActionState) -> Failure:
    assert step.code is not None, "a step that failed was answered"
    return Failure(
        step=step.name, code_name=step.code.name, reason=step.reason, message=step.message
    )


def _out_of_time(step: str, begun: ActionState | None) -> Failure:
    last = "this step was not begun" if begun is None else _last_attempt(begun)
    return Failure(
        step=step,
        code_name=Code.DEADLINE_EXCEEDED.name,
        reason=PROCESS_DEADLINE_EXCEEDED,
        message=_bounded(f"the process ran out of time; {last}"),
    )


def _last_attempt(action: ActionState) -> str:
    if action.code is None:
        return "no attempt was answered"
    said = " ".join(part for part in (action.code.name, action.reason, action.message) if part)
    return f"the last answer was {said}"


def _park_unknown(state: SagaState) -> Park:
    return Park(
        action="",
        code_name="",
        reason=UNKNOWN_DEFINITION,
        message=_bounded(
            f"this release does not know version {state.definition_version}"
            f" of {state.definition_name}"
        ),
    )


def _bounded(message: str) -> str:
    return bounded(message, MESSAGE_LENGTH_MAX)
