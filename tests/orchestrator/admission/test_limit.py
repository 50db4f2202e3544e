"""How many may run at once: the law alone, without a loop that is late."""

import pytest

from orchestrator.limit import (
    FIRST,
    LATE_SECONDS,
    LEAST,
    OBSERVED_EVERY_SECONDS,
    WAITING_LEAST,
    Limit,
)

MOST = 10_000


def observed(
    limit: Limit,
    *,
    late_seconds: float,
    running: int,
    for_seconds: float,
    waiting: int = 0,
    begun: int = 0,
) -> Limit:
    for _ in range(round(for_seconds / OBSERVED_EVERY_SECONDS)):
        limit.observe(
            late_seconds=late_seconds,
            seconds=OBSERVED_EVERY_SECONDS,
            begun=begun,
            running=running,
            waiting=waiting,
        )
    return limit


def test_before_anything_is_observed_some_may_run() -> None:
    assert FIRST == Limit(MOST).running_max


def test_while_it_is_not_late_and_they_are_used_more_and_more_may_run() -> None:
    limit = observed(Limit(MOST), late_seconds=0.0, running=5_000, for_seconds=1.0)
    assert 3 * FIRST < limit.running_max < 5 * FIRST

    observed(limit, late_seconds=0.0, running=MOST, for_seconds=5.0)
    assert MOST == limit.running_max


def test_ten_thousand_that_wait_for_slow_participants_take_nothing_from_it() -> None:
    limit = observed(Limit(MOST), late_seconds=0.0, running=MOST, for_seconds=10.0)
    observed(limit, late_seconds=0.5 * LATE_SECONDS, running=MOST, for_seconds=600.0)
    assert MOST == limit.running_max


def test_nobody_runs_so_it_stays_where_it_is() -> None:
    limit = observed(Limit(MOST), late_seconds=0.0, running=10, for_seconds=60.0)
    assert FIRST == limit.running_max


def test_while_it_is_late_fewer_may_run_down_to_what_keeps_it_busy() -> None:
    limit = observed(Limit(MOST), late_seconds=0.0, running=MOST, for_seconds=10.0)
    observed(limit, late_seconds=5 * LATE_SECONDS, running=4_000, for_seconds=1.0)
    assert LEAST < limit.running_max < 4_000

    observed(limit, late_seconds=5 * LATE_SECONDS, running=1_000, for_seconds=10.0)
    assert LEAST == limit.running_max


def test_one_turn_that_takes_a_minute_is_no_overload() -> None:
    limit = observed(Limit(MOST), late_seconds=0.0, running=MOST, for_seconds=10.0)
    observed(limit, late_seconds=60.0, running=MOST, for_seconds=OBSERVED_EVERY_SECONDS)
    observed(limit, late_seconds=0.0, running=MOST, for_seconds=1.0)
    assert limit.running_max > MOST / 2


@pytest.mark.parametrize("late_seconds", [0.0, 1.0])
def test_where_only_two_may_run_two_may(late_seconds: float) -> None:
    limit = observed(Limit(2), late_seconds=late_seconds, running=2, for_seconds=5.0, waiting=9)
    assert 2 == limit.running_max


def test_so_many_may_wait_as_begin_within_the_patience_of_who_comes() -> None:
    limit = observed(Limit(MOST), late_seconds=0.0, running=9, for_seconds=10.0, begun=20)
    assert 400 * 2 == pytest.approx(limit.waiting_max(2.0), rel=0.01)
    assert 400 * 12 == pytest.approx(limit.waiting_max(12.0), rel=0.01)


def test_while_more_run_than_may_those_that_end_make_room_for_who_waits() -> None:
    """As when a participant is back after a while, and all that was held goes on at once."""
    limit = observed(Limit(MOST), late_seconds=0.0, running=4_000, for_seconds=10.0, begun=5)
    for running in range(4_000, 1_000, -40):
        observed(
            limit,
            late_seconds=2 * LATE_SECONDS,
            running=running,
            for_seconds=OBSERVED_EVERY_SECONDS,
            waiting=100,
        )
    assert limit.running_max < 1_000
    assert 800 * 10 == pytest.approx(limit.waiting_max(10.0), rel=0.05)


def test_that_they_begin_and_end_in_turns_makes_them_no_faster() -> None:
    limit = observed(Limit(MOST), late_seconds=0.0, running=100, for_seconds=10.0, begun=20)
    for _ in range(100):
        observed(limit, late_seconds=0.0, running=140, for_seconds=OBSERVED_EVERY_SECONDS, begun=40)
        observed(limit, late_seconds=0.0, running=100, for_seconds=OBSERVED_EVERY_SECONDS, begun=0)
    assert 400 * 10 == pytest.approx(limit.waiting_max(10.0), rel=0.05)


def test_a_few_may_always_wait() -> None:
    limit = observed(Limit(MOST), late_seconds=0.0, running=9, for_seconds=60.0)
    assert WAITING_LEAST == limit.waiting_max(2.0) == limit.waiting_max(-1.0)
