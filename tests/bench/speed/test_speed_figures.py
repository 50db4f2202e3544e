"""The arithmetic of the benchmarks."""

import math

import pytest

from bench.speed.figures import (
    Slice,
    Spread,
    medians,
    orchestrator_cpu_ms,
    per_second,
    percentile,
    ratio,
)


def one(contender: str, number: int, *, in_flight: int = 64, processes: int, cpu: float) -> Slice:
    return Slice(
        contender=contender,
        in_flight=in_flight,
        round=number,
        processes=processes,
        seconds=2.0,
        p50_ms=1.0,
        p99_ms=2.0,
        cpu_ms={"orchestrator": cpu, "participants": 4.0, "database": 0.0},
        memory_mib=50.0,
        generator_busy=0.1,
    )


# The machine was twice as slow in the second round.
ROUNDS = (
    one("bare", 1, processes=1_000, cpu=1.0),
    one("ours", 1, processes=900, cpu=1.3),
    one("bare", 2, processes=500, cpu=2.0),
    one("ours", 2, processes=400, cpu=2.4),
    one("bare", 3, processes=1_000, cpu=1.0),
    one("ours", 3, processes=500, cpu=1.5),
)


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1.0), (50, 5.0), (51, 6.0), (99, 10.0), (100, 10.0)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    values = [7.0, 3.0, 9.0, 1.0, 10.0, 2.0, 8.0, 4.0, 6.0, 5.0]
    assert expected == percentile(values, percent)


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 50))


def test_a_ratio_is_taken_within_each_round() -> None:
    found = ratio(ROUNDS, orchestrator_cpu_ms, contender="ours", against="bare", in_flight=64)
    assert Spread(median=1.3, least=1.2, most=1.5) == found


def test_a_rate_is_compared_by_processes_a_second() -> None:
    found = ratio(ROUNDS, per_second, contender="ours", against="bare", in_flight=64)
    assert Spread(median=0.8, least=0.5, most=0.9) == found


def test_two_loads_of_one_contender_are_compared_within_each_round() -> None:
    heavy = one("ours", 2, in_flight=4_096, processes=300, cpu=2.4)
    found = ratio(
        (*ROUNDS, heavy),
        per_second,
        contender="ours",
        against="ours",
        in_flight=4_096,
        against_in_flight=64,
    )
    assert Spread(median=0.75, least=0.75, most=0.75) == found


def test_what_never_ran_in_the_same_round_has_no_ratio() -> None:
    alone = [it for it in ROUNDS if (it.contender, it.round) in {("ours", 1), ("bare", 2)}]
    assert ratio(alone, per_second, contender="ours", against="bare", in_flight=64) is None


def test_a_median_is_of_one_contender_under_one_load() -> None:
    assert {("bare", 64): 500.0, ("ours", 64): 250.0} == medians(ROUNDS, per_second)
