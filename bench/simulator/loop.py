"""An event loop without input, output or waiting: time passes when there is nothing else to do.

Invariant: what runs, runs in the order in which it became ready, and nothing but the program itself
decides that order; so the same program gives the same run. Must never: look at the real clock.
"""

import asyncio
import contextvars
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, TypeVar

EPOCH_US: Final = 1_700_000_000_000_000
"""What the wall clock shows when a loop begins."""

STEPS_MAX: Final = 20_000
"""Callbacks in one instant; where there are more the run gets nowhere."""

T = TypeVar("T")


class Livelock(Exception):  # noqa: N818 - it is what it says
    """The run goes on and on without getting anywhere."""


class _Handle:
    """A callback that is to run; cancelled, it runs no more."""

    __slots__ = ("args", "callback", "context", "when")

    def __init__(
        self,
        callback: Callable[..., object] | None,
        args: tuple[Any, ...],
        context: contextvars.Context,
        when: float = 0.0,
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.when = when

    def cancel(self) -> None:
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        return self.callback is None


class OrderedTask(asyncio.Task[Any]):
    """A task that sets hold in the order of their making, not of their place in memory."""

    _made = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Task takes them
        OrderedTask._made += 1
        self._serial = OrderedTask._made
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._serial


class VirtualLoop(asyncio.AbstractEventLoop):
    """As much of an event loop as tasks, futures, timeouts and locks need."""

    def __init__(self, *, ordered: bool = False) -> None:
        """`ordered` has tasks be OrderedTasks."""
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._timers_made = 0
        self._seconds = 0.0
        self._task_class: type[asyncio.Task[Any]] = OrderedTask if ordered else asyncio.Task
        self.complaints: list[str] = []
        """What would have been logged as an exception that nobody took."""

    # What runs.

    def run(self, *, idle: Callable[[], bool], until_seconds: float) -> bool:
        """Runs until `idle`, asked whenever nothing is ready, says that it is enough.

        Returns:
            Whether it did; otherwise the time was up first.

        Raises:
            Livelock: Too much happened.
        """
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            while True:
                self._run_ready()
                if idle():
                    return True
                if self._ready:
                    continue
                if not self._advance(until_seconds):
                    return False
        finally:
            events._set_running_loop(before)

    def run_briefly(self) -> None:
        """Runs what is ready, and what that makes ready, in no time."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            self._run_ready()
        finally:
            events._set_running_loop(before)

    def _run_ready(self) -> None:
        ready = self._ready
        popleft = ready.popleft
        steps = 0
        while ready:
            handle = popleft()
            callback = handle.callback
            if callback is None:
                continue
            steps += 1
            if steps > STEPS_MAX:
                raise Livelock(f"after {self._seconds:.3f} seconds of virtual time")
            try:
                handle.context.run(callback, *handle.args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - whatever a callback raises is told
                self.complaints.append(f"{type(error).__name__} in a callback: {error}")

    def _advance(self, until_seconds: float) -> bool:
        """Has time pass until the next timer is due."""
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heapq.heappop(timers)
        if not timers or timers[0][0] > until_seconds:
            return False
        self._seconds = max(self._seconds, timers[0][0])
        while timers and timers[0][0] <= self._seconds:
            self._ready.append(heapq.heappop(timers)[2])
        return True

    # What asyncio asks for.

    def time(self) -> float:
        return self._seconds

    def call_soon(  # type: ignore[override]  # a lean handle of our own
        self,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - as asyncio has it
        context: contextvars.Context | None = None,
    ) -> _Handle:
        handle = _Handle(callback, args, context or contextvars.copy_context())
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]  # same
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - as asyncio has it
        context: contextvars.Context | None = None,
    ) -> _Handle:
        return self.call_at(self._seconds + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # same
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - as asyncio has it
        context: contextvars.Context | None = None,
    ) -> _Handle:
        handle = _Handle(callback, args, context or contextvars.copy_context(), when)
        self._timers_made += 1
        heapq.heappush(self._timers, (when, self._timers_made, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        # Names are for people; making them up costs more than the task.
        return self._task_class(coro, loop=self, name=name or "task", context=context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


def new_loop(*, ordered: bool = False) -> VirtualLoop:
    """A loop at time zero. What asyncio could ask for besides, nobody here asks for."""
    return VirtualLoop(ordered=ordered)  # type: ignore[abstract]  # of sockets and signals


class VirtualClock:
    """The clock of one machine on a loop; it may go wrong by a constant.

    A machine's clock never jumps while its program runs (see `chassis.clock`): a jump of the wall
    clock is another `ahead_us` after the next start.
    """

    __slots__ = ("_loop", "ahead_us")

    def __init__(self, loop: VirtualLoop, *, ahead_us: int = 0) -> None:
        self._loop = loop
        self.ahead_us = ahead_us

    def now_us(self) -> int:
        """The wall time as this machine has it."""
        return EPOCH_US + self.ahead_us + round(self._loop.time() * 1_000_000)

    async def sleep(self, seconds: float) -> None:
        """Returns once `seconds` have passed."""
        await asyncio.sleep(max(seconds, 0.0))
