import time

from chassis.clock import SystemClock


def test_the_clock_tells_microseconds_of_the_unix_epoch() -> None:
    before_us = time.time_ns() // 1_000
    told_us = SystemClock().now_us()
    after_us = time.time_ns() // 1_000
    # Two clocks are read one after the other: a hair's breadth lies between them.
    assert before_us - 1_000 <= told_us <= after_us + 1_000


def test_the_clock_never_goes_back() -> None:
    clock = SystemClock()
    told = [clock.now_us() for _ in range(1_000)]
    assert told == sorted(told)


async def test_a_sleep_of_no_length_or_less_returns() -> None:
    clock = SystemClock()
    await clock.sleep(0)
    await clock.sleep(-1)


async def test_a_sleep_lasts_as_long_as_it_was_asked_to() -> None:
    clock = SystemClock()
    before_us = clock.now_us()
    await clock.sleep(0.01)
    assert clock.now_us() - before_us >= 9_000
