"""What `decide` says where a played process does not get to easily."""

from dataclasses import replace

import pytest

from orchestrator.saga.advance import advance
from orchestrator.saga.code import Code
from orchestrator.saga.decide import (
    Call,
    Cancel,
    Command,
    Compensate,
    Complete,
    Park,
    Rest,
    Wait,
    decide,
)
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CancelRequested,
    CompensationBegan,
    Event,
    Parked,
    RetryRequested,
    Started,
)
from orchestrator.saga.evolve import evolve, replay
from orchestrator.saga.replay_check import divergence
from orchestrator.saga.state import SagaState
from tests.orchestrator.sagas.journey import JOURNEY

SECOND = 1_000_000
DEADLINE = 60 * SECOND
STARTED = Started(definition="journey", version=3, input={}, deadline_us=DEADLINE, time_us=0)


def began(action: str = "reserve_seat", attempt: int = 1, *, time_us: int = 0) -> AttemptBegan:
    return AttemptBegan(action=action, attempt=attempt, time_us=time_us)


def ended(
    code: Code,
    action: str = "reserve_seat",
    attempt: int = 1,
    *,
    not_before_us: int | None = None,
    time_us: int = 0,
) -> AttemptEnded:
    return AttemptEnded(
        action=action, attempt=attempt, code=code, not_before_us=not_before_us, time_us=time_us
    )


def decided(*events: Event, now_us: int = 0) -> Command:
    return decide(JOURNEY, replay([STARTED, *events]), now_us)


def call(action: str, attempt: int = 1, timeout_seconds: float = 10.0) -> Call:
    return Call(action=action, attempt=attempt, timeout_seconds=timeout_seconds)


def reason(command: Command) -> str:
    match command:
        case Compensate(failure=failure):
            return failure.reason
        case Park():
            return command.reason
        case _:
            pytest.fail(f"{command} gives no reason")


def test_it_begins_with_the_first_step() -> None:
    assert call("reserve_seat") == decided()


def test_an_attempt_that_was_cut_short_is_made_again_at_once() -> None:
    assert call("reserve_seat", 2) == decided(began())


def test_a_pause_is_waited_for_to_the_microsecond() -> None:
    paused: list[Event] = [began(), ended(Code.ABORTED, not_before_us=3 * SECOND)]
    assert Wait(until_us=3 * SECOND) == decided(*paused, now_us=3 * SECOND - 1)
    assert call("reserve_seat", 2) == decided(*paused, now_us=3 * SECOND)


def test_no_attempt_begins_at_the_deadline() -> None:
    paused: list[Event] = [began(), ended(Code.ABORTED, not_before_us=3 * SECOND)]
    assert call("reserve_seat", 2, timeout_seconds=0.000001) == decided(
        *paused, now_us=DEADLINE - 1
    )
    assert "PROCESS_DEADLINE_EXCEEDED" == reason(decided(*paused, now_us=DEADLINE))


def test_a_pause_that_ends_at_the_deadline_is_not_begun() -> None:
    paused: list[Event] = [began(), ended(Code.ABORTED, not_before_us=DEADLINE)]
    assert "PROCESS_DEADLINE_EXCEEDED" == reason(decided(*paused))


def test_out_of_time_between_two_steps_it_names_the_one_that_was_not_begun() -> None:
    command = decided(began(), ended(Code.OK), now_us=DEADLINE)
    assert isinstance(command, Compensate)
    assert ("book_room", "DEADLINE_EXCEEDED") == (command.failure.step, command.failure.code_name)
    assert "not begun" in command.failure.message


def test_out_of_time_with_an_attempt_cut_short_it_says_that_none_was_answered() -> None:
    command = decided(began(), now_us=DEADLINE)
    assert isinstance(command, Compensate)
    assert "no attempt was answered" in command.failure.message
    back = replay([STARTED, began(), command.event(DEADLINE)])
    assert call("give_seat_back") == decide(JOURNEY, back, DEADLINE)


def test_with_every_step_done_it_is_completed_also_after_the_deadline() -> None:
    steps = [step.name for step in JOURNEY.steps]
    events = [event for step in steps for event in (began(step), ended(Code.OK, step))]
    assert Complete() == decided(*events, now_us=DEADLINE)


def test_the_message_of_a_failure_is_bounded() -> None:
    long = replace(ended(Code.ABORTED, not_before_us=DEADLINE), message="x" * 1_000)
    command = decided(began(), long)
    assert isinstance(command, Compensate)
    assert 1_000 == len(command.failure.message)


def test_the_history_s_time_is_never_behind_itself() -> None:
    paused: list[Event] = [
        began(),
        ended(Code.ABORTED, not_before_us=3 * SECOND, time_us=2 * SECOND),
    ]
    wish_from_the_future = CancelRequested(reason="", requested_by="", time_us=DEADLINE)
    # A clock that is behind does not make anything early, nor late.
    assert Wait(until_us=3 * SECOND) == decided(*paused, now_us=-DEADLINE)
    assert isinstance(decided(*paused, wish_from_the_future), Compensate)


TURNED = CompensationBegan(
    step="book_room", code_name="NOT_FOUND", reason="", message="", time_us=0
)
BACK: list[Event] = [
    began(),
    ended(Code.OK),
    began("book_room"),
    ended(Code.NOT_FOUND, "book_room"),
    TURNED,
]
HORIZON = 60 * SECOND


def test_an_undo_that_was_cut_short_is_made_again_even_beyond_the_horizon() -> None:
    events: list[Event] = [*BACK, began("give_seat_back")]
    assert call("give_seat_back", 2) == decided(*events, now_us=10 * HORIZON)


def test_an_undo_whose_pause_is_over_is_made_even_beyond_the_horizon() -> None:
    """As after a long night without any orchestrator: it gets its chance, and then it is parked."""
    events: list[Event] = [
        *BACK,
        began("give_seat_back"),
        ended(Code.ABORTED, "give_seat_back", not_before_us=HORIZON - 1),
    ]
    assert call("give_seat_back", 2) == decided(*events, now_us=10 * HORIZON)
    last: list[Event] = [
        *events,
        began("give_seat_back", 2, time_us=10 * HORIZON),
        ended(
            Code.ABORTED,
            "give_seat_back",
            2,
            not_before_us=10 * HORIZON + SECOND,
            time_us=10 * HORIZON,
        ),
    ]
    assert "COMPENSATION_HORIZON_EXCEEDED" == reason(decided(*last))


def test_the_horizon_counts_from_the_first_attempt_at_that_undo() -> None:
    late = 5 * HORIZON
    events: list[Event] = [*BACK, began("give_seat_back", time_us=late)]
    within = ended(Code.ABORTED, "give_seat_back", not_before_us=late + HORIZON - 1, time_us=late)
    assert Wait(until_us=late + HORIZON - 1) == decided(*events, within)
    beyond = replace(within, not_before_us=late + HORIZON)
    assert "COMPENSATION_HORIZON_EXCEEDED" == reason(decided(*events, beyond))


def test_with_everything_undone_it_is_cancelled() -> None:
    events: list[Event] = [*BACK, began("give_seat_back"), ended(Code.OK, "give_seat_back")]
    assert Cancel() == decided(*events)


@pytest.mark.parametrize("known", [True, False])
def test_at_rest_nothing_is_to_be_done(*, known: bool) -> None:
    for rest in (
        [*BACK, Parked(action="", code_name="", reason="", message="", time_us=0)],
        [*BACK, Cancelled(time_us=0)],
    ):
        state = replay([STARTED, *rest])
        assert Rest() == decide(JOURNEY if known else None, state, 0)


@pytest.mark.parametrize("events", [[], [began()], BACK])
def test_without_its_definition_a_process_is_parked_as_a_whole(events: list[Event]) -> None:
    state = replay([STARTED, *events])
    command = decide(None, state, 0)
    assert isinstance(command, Park)
    assert ("", "", "UNKNOWN_DEFINITION") == (command.action, command.code_name, command.reason)
    assert "version 3 of journey" in command.message


def test_what_was_decided_and_logged_is_not_decided_again() -> None:
    """Fold the event of a command and ask again: something else follows, until it rests."""
    state: SagaState = replay([STARTED, *BACK])
    ahead = advance(JOURNEY, state, 0)
    assert () == ahead.events
    assert call("give_seat_back") == ahead.command
    rejected = advance(
        JOURNEY,
        evolve(state, began("give_seat_back")),
        0,
        happened=[ended(Code.NOT_FOUND, "give_seat_back")],
    )
    assert ["AttemptEnded", "Parked"] == [type(event).__name__ for event in rejected.events]
    assert Rest() == rejected.command


# Whether a history is what the decisions make of it.


GOOD: list[Event] = [
    STARTED,
    began(),
    ended(Code.ABORTED, not_before_us=SECOND),
    began(attempt=2, time_us=SECOND),
    ended(Code.NOT_FOUND, attempt=2, time_us=2 * SECOND),
    CompensationBegan(
        step="reserve_seat", code_name="NOT_FOUND", reason="", message="", time_us=2 * SECOND
    ),
    Cancelled(time_us=2 * SECOND),
]


def test_a_history_that_the_decisions_made_diverges_nowhere() -> None:
    assert "" == divergence(JOURNEY, GOOD)
    for length in range(len(GOOD)):
        assert "" == divergence(JOURNEY, GOOD[:length])


@pytest.mark.parametrize(
    ("place", "forged"),
    [
        (1, began("book_room")),
        (3, began(attempt=2, time_us=SECOND - 1)),
        (3, began(attempt=3, time_us=SECOND)),
        (4, ended(Code.NOT_FOUND, attempt=1)),
        (4, ended(Code.OK, attempt=2)),
        (4, ended(Code.UNAVAILABLE, attempt=2)),
        (5, replace(TURNED, step="reserve_seat", reason="MADE_UP")),
        (5, Cancelled(time_us=2 * SECOND)),
        (6, began("give_seat_back", time_us=2 * SECOND)),
        (6, Parked(action="", code_name="", reason="R", message="", time_us=2 * SECOND)),
        (6, RetryRequested(reason="", requested_by="", time_us=2 * SECOND)),
    ],
)
def test_a_history_that_was_tampered_with_is_found_out(place: int, forged: Event) -> None:
    assert "" != divergence(JOURNEY, [*GOOD[:place], forged, *GOOD[place + 1 :]])


def test_a_history_without_its_beginning_is_found_out() -> None:
    assert "" != divergence(JOURNEY, GOOD[1:])
