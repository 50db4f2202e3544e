"""How attempts come back: the law alone, without anybody who obeys it."""

import pytest

from orchestrator.ramp import Ramp

RAMP = Ramp()


def begun_in(second: int) -> float:
    return RAMP.begun_max(second + 1) - RAMP.begun_max(second)


def test_the_first_may_begin_at_once() -> None:
    assert 1.0 == RAMP.begun_max(0.0)
    assert 0.0 == RAMP.seconds_until(1)


def test_each_second_lets_twice_as_many_begin_as_the_one_before() -> None:
    assert 144 == round(begun_in(0))
    assert [2.0] * 9 == [round(begun_in(it + 1) / begun_in(it), 6) for it in range(9)]


@pytest.mark.parametrize("begun", [1, 2, 16, 1_000, 1_000_000])
def test_when_so_many_may_begin_is_when_so_many_may_have_begun(begun: int) -> None:
    assert begun == pytest.approx(RAMP.begun_max(RAMP.seconds_until(begun)))


def test_at_its_end_it_bounds_no_more_than_the_target_is_bounded_anyway() -> None:
    assert 32 == RAMP.out_max(0.0)
    assert RAMP.out_max(RAMP.length_seconds) >= 1_000
    assert begun_in(int(RAMP.length_seconds)) > 1_000_000


def test_a_target_that_has_been_back_for_a_year_is_no_trouble() -> None:
    year_seconds = 366 * 86_400.0
    assert RAMP.begun_max(year_seconds) > 0
    assert RAMP.out_max(year_seconds) > 0
