"""Another saga, of three steps, that has nothing in common with orders, on the same runner."""

import pytest

from orchestrator.saga.code import Code
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import always, once
from tests.orchestrator.harness.incidents import cancel, crash
from tests.orchestrator.harness.stage import Stage
from tests.orchestrator.harness.virtual_time import EPOCH_US, play
from tests.orchestrator.sagas.journey import JOURNEY

STEPS = ["reserve_seat", "book_room", "send_letter"]


def test_all_goes_well() -> None:
    stage = Stage(JOURNEY)
    assert Phase.COMPLETED is play(stage.play()).phase
    assert STEPS == stage.calls


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("reserve_seat", ["reserve_seat"]),
        ("book_room", ["reserve_seat", "book_room", "give_seat_back"]),
        ("send_letter", [*STEPS, "give_room_back", "give_seat_back"]),
    ],
)
def test_a_step_that_is_rejected_has_the_others_undone(step: str, expected: list[str]) -> None:
    stage = Stage(JOURNEY, script={step: once(Code.FAILED_PRECONDITION)})
    assert Phase.CANCELLED is play(stage.play()).phase
    assert expected == stage.calls


def test_a_step_that_has_no_undo_is_not_undone_though_nobody_knows_of_it() -> None:
    stage = Stage(JOURNEY, script={"send_letter": always(Code.UNAVAILABLE)}, deadline_seconds=10.0)
    assert Phase.CANCELLED is play(stage.play()).phase
    # Pauses of 2 and then 4 seconds each: attempts after 0, 2 and 6, the next would be after 10.
    assert [*STEPS, "send_letter", "send_letter", "give_room_back", "give_seat_back"] == stage.calls


def test_its_patience_is_its_own() -> None:
    stage = Stage(
        JOURNEY,
        script={"book_room": once(Code.NOT_FOUND), "give_seat_back": always(Code.INTERNAL)},
    )
    state = play(stage.play())
    assert Phase.PARKED is state.phase
    # Pauses of 2, 4 and then 8 seconds each, until 60 are over.
    assert 9 == stage.calls.count("give_seat_back")
    assert EPOCH_US + 54_000_000 == state.update_time_us
    assert {10.0} == {call.timeout_seconds for call in stage.told}


@pytest.mark.parametrize("point", range(14))
def test_killed_anywhere_it_is_completed(point: int) -> None:
    stage = Stage(JOURNEY, hooks={point: crash})
    assert Phase.COMPLETED is play(stage.play()).phase
    assert STEPS == list(dict.fromkeys(stage.calls))


@pytest.mark.parametrize("point", range(1, 14))
def test_cancelled_anywhere_it_is_undone(point: int) -> None:
    stage = Stage(JOURNEY, hooks={point: cancel})
    assert Phase.CANCELLED is play(stage.play()).phase
    assert set() == stage.world.lasting_effects_of("prc_1")
