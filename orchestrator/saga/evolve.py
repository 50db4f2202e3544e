"""How one event moves a process on: the fold over its history.

Invariant: the state is a function of the history alone, and a move that is not in MOVES raises.
Must never: need the definition, so that every history can be shown, also by a release that no
longer knows the saga.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias, TypedDict, assert_never

from chassis.record import replace
from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    JSON,
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
from orchestrator.saga.outcome import OUTCOMES, Outcome, Sequel, sequel_of
from orchestrator.saga.state import (
    ActionState,
    ActionStatus,
    CancelWish,
    Failure,
    Parking,
    Phase,
    Resolution,
    SagaState,
)

CANCEL_REQUESTED: Final = "CANCEL_REQUESTED"


class IllegalMove(Exception):  # noqa: N818 - a move is what it is
    """This event cannot follow that history."""


MOVES: Final[Mapping[tuple[Phase | None, type[Event]], tuple[Phase, ...]]] = MappingProxyType(
    {
        (None, Started): (Phase.RUNNING,),
        (Phase.RUNNING, AttemptBegan): (Phase.RUNNING,),
        (Phase.RUNNING, AttemptEnded): (Phase.RUNNING,),
        (Phase.RUNNING, CancelRequested): (Phase.RUNNING,),
        (Phase.RUNNING, CompensationBegan): (Phase.COMPENSATING,),
        (Phase.RUNNING, Completed): (Phase.COMPLETED,),
        (Phase.RUNNING, Parked): (Phase.PARKED,),
        (Phase.COMPENSATING, AttemptBegan): (Phase.COMPENSATING,),
        (Phase.COMPENSATING, AttemptEnded): (Phase.COMPENSATING,),
        (Phase.COMPENSATING, CancelRequested): (Phase.COMPENSATING,),
        (Phase.COMPENSATING, Cancelled): (Phase.CANCELLED,),
        (Phase.COMPENSATING, Parked): (Phase.PARKED,),
        (Phase.COMPLETED, CancelRequested): (Phase.COMPENSATING,),
        (Phase.CANCELLED, CancelRequested): (Phase.CANCELLED,),
        (Phase.PARKED, CancelRequested): (Phase.PARKED,),
        # Back to where it was parked from: RUNNING only if the definition was not known then.
        (Phase.PARKED, RetryRequested): (Phase.COMPENSATING, Phase.RUNNING),
        (Phase.PARKED, ResolvedByHand): (Phase.COMPENSATING,),
    }
)

# Asked of their classes each costs as much as a call, and they are asked for with every event.
_COMPENSATING: Final = Phase.COMPENSATING
_RUNNING: Final = ActionStatus.RUNNING
_UNKNOWN: Final = Outcome.UNKNOWN
_BARRED: Final = Outcome.BARRED
_TURN_BACK: Final = Sequel.TURN_BACK

_STATUSES: Final[Mapping[Sequel, ActionStatus]] = {
    Sequel.GO_ON: ActionStatus.SUCCEEDED,
    Sequel.TRY_AGAIN: ActionStatus.RUNNING,
    Sequel.PARK: ActionStatus.REJECTED,
}
"""How an action stands, by what follows. Where a step turns back it is UNKNOWN, if in doubt."""

_ONLY_MOVES: Final[Mapping[tuple[Phase | None, type[Event]], Phase]] = {
    move: choices[0] for move, choices in MOVES.items() if len(choices) == 1
}


def replay(events: Iterable[Event], state: SagaState | None = None) -> SagaState:
    """Folds a history, or what follows a state that was folded before.

    Raises:
        IllegalMove: This is no history.
    """
    for event in events:
        state = evolve(state, event)
    if state is None:
        raise IllegalMove("a history begins with Started")
    return state


def evolve(state: SagaState | None, event: Event) -> SagaState:
    """The state after one more event.

    Raises:
        IllegalMove: The event cannot follow.
    """
    move = (None if state is None else state.phase, type(event))
    phase = _ONLY_MOVES.get(move) or _one_of_several(state, event, MOVES.get(move))
    if state is None:
        assert isinstance(event, Started), "MOVES lets a history begin with nothing else"
        return SagaState(
            definition_name=event.definition,
            definition_version=event.version,
            input=event.input,
            phase=phase,
            deadline_us=event.deadline_us,
            create_time_us=event.time_us,
            update_time_us=event.time_us,
        )
    # Whoever asks from outside may have a clock that is behind; the history's time never goes back.
    time_us = max(state.update_time_us, event.time_us)
    match event:
        # What happens to every process, again and again. It leaves the phase as it is.
        case AttemptEnded():
            actions, results = _attempt_ended(state, event)
        case AttemptBegan():
            actions, results = _attempt_began(state, event), state.results
        case _:
            change = _change(state, event)
            if phase is not state.phase:
                change["phase"] = phase
                change["end_time_us"] = time_us if phase.settled else None
            return replace(state, update_time_us=time_us, revision=state.revision + 1, **change)
    return replace(
        state,
        actions=actions,
        results=results,
        update_time_us=time_us,
        revision=state.revision + 1,
    )


_Actions: TypeAlias = tuple[ActionState, ...]
_Ended: TypeAlias = tuple[_Actions, Mapping[str, JSON]]
_Rarer: TypeAlias = (
    Started
    | CancelRequested
    | CompensationBegan
    | Parked
    | RetryRequested
    | ResolvedByHand
    | Completed
    | Cancelled
)


class _Change(TypedDict, total=False):
    """What an event of the rarer kinds changes besides the time and the revision."""

    phase: Phase
    end_time_us: int | None
    actions: tuple[ActionState, ...]
    failure: Failure
    parking: Parking | None
    resolutions: tuple[Resolution, ...]
    cancel: CancelWish


def _change(state: SagaState, event: _Rarer) -> _Change:
    change: _Change = {}
    match event:
        case CancelRequested():
            change = _cancel_requested(state, event)
        case CompensationBegan():
            change = _compensation_began(state, event)
        case Parked():
            change = _parked(state, event)
        case RetryRequested():
            change = _retry_requested(state, event)
        case ResolvedByHand():
            change = _resolved_by_hand(state, event)
        case Completed() | Cancelled():
            pass
        case Started():
            raise AssertionError("MOVES lets a history begin only once")
        case _:
            assert_never(event)
    return change


def _one_of_several(
    state: SagaState | None, event: Event, choices: Sequence[Phase] | None
) -> Phase:
    """The phase that follows, where it is not the only one that may."""
    if choices is None:
        before = None if state is None else state.phase
        raise IllegalMove(f"{type(event).__name__} cannot happen in {before}")
    assert state is not None, "a history begins in one way"
    assert state.parking is not None, "only what is parked has a choice: it goes back"
    assert state.parking.phase in choices, "it was parked from a phase that it can go back to"
    return state.parking.phase


def _attempt_began(state: SagaState, event: AttemptBegan) -> _Actions:
    before = state.action(event.action)
    if event.attempt != (before.attempts if before else 0) + 1:
        raise IllegalMove(f"attempt {event.attempt} of {event.action} is not the next")
    if before is None:
        began = ActionState(
            name=event.action,
            # Once compensation has begun nothing goes forward: what begins then is an undo.
            undo=state.phase is _COMPENSATING,
            status=_RUNNING,
            attempts=1,
            start_us=event.time_us,
            since_us=event.time_us,
            in_flight=True,
        )
        return (*state.actions, began)
    if before.status is not _RUNNING:
        raise IllegalMove(f"{event.action} is {before.status}: it is not tried again")
    again = replace(
        before,
        attempts=event.attempt,
        not_before_us=None,
        in_flight=True,
        # What began and did not end before may be under way still.
        in_doubt=before.in_doubt or before.in_flight,
    )
    return _with(state.actions, again)


def _attempt_ended(state: SagaState, event: AttemptEnded) -> _Ended:
    """The actions and the results then."""
    before = state.action(event.action)
    if before is None or not before.in_flight or before.attempts != event.attempt:
        raise IllegalMove(f"attempt {event.attempt} of {event.action} is not under way")
    outcome = OUTCOMES[event.code]
    # What may be under way is not settled by what another attempt is told. What was refused is, by
    # a participant that looks again; but not at the door, where nobody looks.
    in_doubt = before.in_doubt or outcome is _UNKNOWN or (outcome is _BARRED and event.attempt > 1)
    sequel = sequel_of(event.code, undo=before.undo)
    if sequel is _TURN_BACK:
        status = ActionStatus.UNKNOWN if in_doubt else ActionStatus.REJECTED
    else:
        status = _STATUSES[sequel]
    ended = replace(
        before,
        status=status,
        end_us=None if status is _RUNNING else event.time_us,
        code=event.code,
        reason=event.reason,
        message=event.message,
        not_before_us=event.not_before_us,
        in_flight=False,
        in_doubt=in_doubt,
    )
    actions = _with(state.actions, ended)
    if event.result is None:
        return actions, state.results
    return actions, {**state.results, event.action: event.result}


def _cancel_requested(state: SagaState, event: CancelRequested) -> _Change:
    if state.cancel is not None or state.failure is not None:
        return {}
    wish = CancelWish(reason=event.reason, requested_by=event.requested_by, time_us=event.time_us)
    if state.phase is Phase.COMPLETED:
        # There is nothing to wait for: the wish itself turns it back.
        return {"cancel": wish, "failure": cancel_failure("", wish)}
    return {"cancel": wish}


def _compensation_began(state: SagaState, event: CompensationBegan) -> _Change:
    failure = Failure(
        step=event.step, code_name=event.code_name, reason=event.reason, message=event.message
    )
    return {"failure": failure, "actions": _given_up(state.actions, event.time_us)}


def _parked(state: SagaState, event: Parked) -> _Change:
    parking = Parking(
        action=event.action,
        code_name=event.code_name,
        reason=event.reason,
        message=event.message,
        time_us=event.time_us,
        phase=state.phase,
    )
    if not event.action:
        # It is the whole process that cannot go on: nothing was given up.
        return {"parking": parking}
    return {"parking": parking, "actions": _given_up(state.actions, event.time_us)}


def _retry_requested(state: SagaState, event: RetryRequested) -> _Change:
    """The undo that is not done, if there is one, is to be tried as if for the first time."""
    afresh = tuple(
        replace(
            action,
            status=ActionStatus.RUNNING,
            attempts=0,
            since_us=event.time_us,
            end_us=None,
            not_before_us=None,
            in_flight=False,
        )
        if action.undo and not action.status.done
        else action
        for action in state.actions
    )
    return {"parking": None, "actions": afresh}


def _resolved_by_hand(state: SagaState, event: ResolvedByHand) -> _Change:
    undo = state.action(event.action)
    if undo is None or state.parking is None or state.parking.action != event.action:
        raise IllegalMove(f"{event.action} is not what the process is parked on")
    resolution = Resolution(
        action=event.action,
        reason=event.reason,
        requested_by=event.requested_by,
        time_us=event.time_us,
    )
    resolved = replace(undo, status=ActionStatus.RESOLVED_BY_HAND, end_us=event.time_us)
    return {
        "parking": None,
        "actions": _with(state.actions, resolved),
        "resolutions": (*state.resolutions, resolution),
    }


def _given_up(actions: Sequence[ActionState], time_us: int) -> tuple[ActionState, ...]:
    """What was being tried is not tried any more, and nobody knows whether it was done."""
    return tuple(
        replace(action, status=ActionStatus.UNKNOWN, end_us=time_us, in_flight=False)
        if action.status is ActionStatus.RUNNING
        else action
        for action in actions
    )


def _with(actions: Sequence[ActionState], changed: ActionState) -> tuple[ActionState, ...]:
    if actions and actions[-1].name == changed.name:
        # Nearly always.
        return (*actions[:-1], changed)
    return tuple([changed if action.name == changed.name else action for action in actions])


def cancel_failure(step: str, wish: CancelWish) -> Failure:
    """The failure of a process that turned back because somebody wished it."""
    return Failure(
        step=step,
        code_name=Code.CANCELLED.name,
        reason=CANCEL_REQUESTED,
        message=wish.reason,
    )
