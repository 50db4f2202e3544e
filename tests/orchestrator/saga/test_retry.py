"""Pauses: full jitter, a floor, a cap, and what the participant asks for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.saga.definition import STEP_RETRIES, UNDO_RETRIES
from orchestrator.saga.retry import RetryPolicy, microseconds

POLICY = RetryPolicy(floor_seconds=1.0, cap_seconds=10.0, asked_seconds_max=60.0)


def test_the_defaults_are_those_of_the_contract() -> None:
    assert (0.05, 5.0) == (STEP_RETRIES.floor_seconds, STEP_RETRIES.cap_seconds)
    assert (0.05, 300.0) == (UNDO_RETRIES.floor_seconds, UNDO_RETRIES.cap_seconds)


@pytest.mark.parametrize(
    ("attempt", "fraction", "pause"),
    [
        (1, 1.0, 2.0),
        (2, 1.0, 4.0),
        (3, 1.0, 8.0),
        (4, 1.0, 10.0),
        (10**9, 1.0, 10.0),
        (3, 0.5, 4.0),
        (3, 0.0, 1.0),
        (10**9, 0.0, 1.0),
    ],
)
def test_the_pause_doubles_up_to_the_cap_and_never_falls_below_the_floor(
    attempt: int, fraction: float, pause: float
) -> None:
    assert pause == POLICY.pause_seconds(attempt=attempt, fraction=fraction)


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        (None, 2.0),
        (0.0, 2.0),
        (-5.0, 2.0),
        (1.9, 2.0),
        (2.1, 2.1),
        (60.0, 60.0),
        (61.0, 60.0),
        (math.inf, 60.0),
        (-math.inf, 2.0),
        (math.nan, 2.0),
    ],
)
def test_the_participant_is_left_alone_for_as_long_as_it_asks_within_bounds(
    asked: float | None, pause: float
) -> None:
    assert pause == POLICY.pause_seconds(attempt=1, fraction=1.0, asked_seconds=asked)


@given(
    attempt=st.integers(1, 10**12),
    fraction=st.floats(0.0, 1.0),
    asked=st.none() | st.floats(),
)
def test_every_pause_lies_within_its_bounds(
    attempt: int, fraction: float, asked: float | None
) -> None:
    pause = POLICY.pause_seconds(attempt=attempt, fraction=fraction, asked_seconds=asked)
    assert 1.0 <= pause <= 60.0


@given(attempt=st.integers(1, 100), fractions=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)))
def test_a_greater_fraction_never_makes_a_shorter_pause(
    attempt: int, fractions: tuple[float, float]
) -> None:
    shorter, longer = sorted(
        POLICY.pause_seconds(attempt=attempt, fraction=fraction) for fraction in sorted(fractions)
    )
    assert shorter == POLICY.pause_seconds(attempt=attempt, fraction=min(fractions))
    assert longer == POLICY.pause_seconds(attempt=attempt, fraction=max(fractions))


def test_microseconds_are_whole() -> None:
    assert 1_500_000 == microseconds(1.5)
    assert 100_000 == microseconds(0.1)
    assert 300_000 == microseconds(0.1 + 0.2)
