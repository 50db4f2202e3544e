"""An event loop whose time passes only when there is nothing else to do.

A day of waiting takes a moment, and the same scenario always runs in the same order. A loop in
which everything waits for everything else raises, where a real one would hang.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH_US = 1_700_000_000_000_000
"""What a virtual clock shows when its loop is made."""


class Deadlock(Exception):  # noqa: N818 - it is what it says
    """Nothing is ready and nothing is due: everything waits for ever."""


class _Selector(selectors.SelectSelector):
    """Waits for nothing: passes the time it was to wait for, and looks."""

    passed_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock
        self.passed_seconds += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed_seconds


class VirtualClock:
    """The clock of the loop that is running, right or wrong."""

    wrong_by_us = 0

    def now_us(self) -> int:
        return EPOCH_US + self.wrong_by_us + round(asyncio.get_running_loop().time() * 1_000_000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))


def play(scenario: Coroutine[Any, Any, T]) -> T:
    """Runs a scenario to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario)
