"""How long to wait before a call is made again."""

from hypothesis import given
from hypothesis import strategies as st

from console.patience import Backoff, Until


def test_pauses_double_to_a_cap() -> None:
    backoff = Backoff(draw=lambda: 1.0)
    pauses = [backoff.pause_seconds() for _ in range(10)]
    assert [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0] == [round(it, 6) for it in pauses]


@given(drawn=st.floats(0, 1), failures=st.integers(0, 10_000))
def test_no_pause_is_shorter_than_the_floor_or_longer_than_the_cap(
    drawn: float, failures: int
) -> None:
    backoff = Backoff(draw=lambda: drawn)
    backoff.failures = failures
    assert 0.05 <= backoff.pause_seconds() <= 5.0


def test_what_the_server_asks_for_is_the_least() -> None:
    backoff = Backoff(draw=lambda: 0.0)
    assert 7.0 <= backoff.pause_seconds(asked_seconds=7.0)


def test_something_that_goes_well_makes_the_next_pause_short() -> None:
    backoff = Backoff(draw=lambda: 1.0)
    for _ in range(5):
        backoff.pause_seconds()
    backoff.reset()
    assert 0.05 == backoff.pause_seconds()


def test_a_moment_passes_and_never_does_not() -> None:
    now = [0.0]
    until, never = Until(2.0, monotonic=lambda: now[0]), Until(None, monotonic=lambda: now[0])
    assert (2.0, False) == (until.left_seconds, until.passed)
    now[0] = 2.0
    assert until.passed
    assert not never.passed
