"""What the log lines say of a process, once its history does.

Invariant: loud is what a person must act on, and what goes well makes no line at all, unless one
asks for debugging: a line costs as much as a call, and there would be millions. Must never: change
anything; the loop runs the same without it.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from orchestrator.saga.code import OK, Code
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CompensationBegan,
    Completed,
    Event,
    Parked,
    Started,
)
from orchestrator.saga.outcome import OUTCOMES, Outcome
from orchestrator.saga.state import SagaState

_GO_WELL: Final = frozenset({Started, AttemptBegan, Completed})

_log: FilteringBoundLogger = structlog.get_logger(__name__)


def is_in_detail() -> bool:
    """Whether the log takes what goes well, as things are."""
    return _log.is_enabled_for(logging.DEBUG)


def tell(state: SagaState, events: Iterable[Event], *, in_detail: bool) -> None:
    """Tells of what was just committed.

    Args:
        state: The process, with these events.
        events: What was committed, oldest first.
        in_detail: Whether to tell of what goes well, too.
    """
    for event in events:
        if in_detail or not _goes_well(event):
            _tell_event(state, event)


def _tell_event(state: SagaState, event: Event) -> None:
    match event:
        case AttemptBegan():
            pass
        case AttemptEnded(code=Code.OK):
            _log.debug("attempt_ended", action=event.action, attempt=event.attempt, code="OK")
        case Started():
            _log.debug("process_started", definition=event.definition)
        case AttemptEnded():
            _tell_attempt(state, event)
        case CompensationBegan():
            _log.info(
                "compensation_began",
                step=event.step,
                code=event.code_name,
                reason=event.reason,
                message=event.message,
            )
        case Parked():
            _log.error(
                "process_parked",
                action=event.action,
                code=event.code_name,
                reason=event.reason,
                message=event.message,
            )
        case Completed():
            _tell_settled(_log.debug, state)
        case Cancelled():
            _tell_settled(_log.info, state)
        case _:
            pass


def _goes_well(event: Event) -> bool:
    return type(event) in _GO_WELL or (type(event) is AttemptEnded and event.code is OK)


def _tell_settled(say: Callable[..., object], state: SagaState) -> None:
    seconds = (state.update_time_us - state.create_time_us) / 1_000_000
    say("process_settled", phase=state.phase.value, seconds=seconds)


def _tell_attempt(state: SagaState, event: AttemptEnded) -> None:
    outcome = OUTCOMES[event.code]
    # Only an undo is tried again behind a closed door, and nobody but a person can open it.
    action = state.action(event.action)
    loud = action is not None and action.undo and outcome is Outcome.BARRED
    say = _log.error if loud else _log.debug
    say(
        "attempt_ended",
        action=event.action,
        attempt=event.attempt,
        code=event.code.name,
        outcome=outcome.value,
        reason=event.reason,
        message=event.message,
    )
