"""The orchestrator is killed at every point in turn; the next one finishes what it began."""

import pytest

from orchestrator.saga.code import Code
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import always
from tests.orchestrator.harness.incidents import crash
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import play

STEPS = ["create_order", "process_payment", "confirm_payment", "confirm_order", "process_delivery"]

POINTS_OF_A_CALL = [
    "before call {}",
    "after call {}",
    "before commit append",
    "after commit append",
]


def points_of(calls: list[str]) -> list[str]:
    """Where something can go wrong while these calls are made: each has one commit."""
    of_calls = [point.format(call) for call in calls for point in POINTS_OF_A_CALL]
    return ["before commit create", "after commit create", *of_calls]


def with_one_made_twice(calls: list[str], point: int) -> list[str]:
    """The calls that are made when the first orchestrator is killed at that point.

    Between the moment when a call was made and the moment when its outcome was committed nobody
    knows of it, so it is made again. At any other point none is.
    """
    if point < 2:
        return calls
    place, of_call = divmod(point - 2, len(POINTS_OF_A_CALL))
    return [*calls[: place + 1], *calls[place:]] if of_call in {1, 2} else calls


@pytest.mark.parametrize("point", range(len(points_of(STEPS))))
def test_killed_on_the_way_forward_it_is_completed_by_the_next(point: int) -> None:
    stage = Stage(hooks={point: crash})
    state = play(stage.play())
    assert points_of(STEPS)[point] == stage.points[point]
    assert with_one_made_twice(STEPS, point) == stage.calls
    assert Phase.COMPLETED is state.phase


def test_the_points_of_a_process_that_goes_well_are_all_there_are() -> None:
    stage = Stage()
    play(stage.play())
    assert points_of(STEPS) == stage.points


UNDONE = [*STEPS, "cancel_payment", "cancel_order"]


@pytest.mark.parametrize("point", range(len(points_of(UNDONE))))
def test_killed_on_the_way_back_it_is_undone_by_the_next(point: int) -> None:
    stage = Stage(
        script={"process_delivery": always(Code.FAILED_PRECONDITION, "NO_COURIER_AVAILABLE")},
        hooks={point: crash},
    )
    state = play(stage.play())
    assert points_of(UNDONE)[point] == stage.points[point]
    # Killed while the delivery was on its way, that attempt may yet be applied: what the second one
    # is told says nothing about the first.
    on_its_way = range(
        2 + 4 * STEPS.index("process_delivery") - 1, 2 + 4 * STEPS.index("process_delivery") + 3
    )
    undone = [*STEPS, "cancel_delivery", *UNDONE[5:]] if point in on_its_way else UNDONE
    assert with_one_made_twice(undone, point) == stage.calls
    assert Phase.CANCELLED is state.phase


def test_killed_again_and_again_it_is_completed_all_the_same() -> None:
    # Each life gets as far as one call that nobody learns of (and has the request repeated).
    stage = Stage(hooks=dict.fromkeys((3, 9, 15, 21), crash))
    state = play(stage.play())
    assert [*["create_order"] * 5, *STEPS[1:]] == stage.calls
    assert Phase.COMPLETED is state.phase
    begun = state.action("create_order")
    assert begun is not None
    assert 5 == begun.attempts


def test_a_process_that_was_never_stored_is_begun_once_by_the_repeated_request() -> None:
    stage = Stage(hooks={0: crash})
    play(stage.play())
    assert ("prc_2",) == stage.process_ids


def test_a_process_that_was_stored_but_not_answered_is_the_same_when_requested_again() -> None:
    stage = Stage(hooks={1: crash})
    play(stage.play())
    assert ("prc_1",) == stage.process_ids
