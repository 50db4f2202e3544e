"""Who runs the processes that this orchestrator owns: one task for each.

Invariant: a process that was accepted or claimed is run here until it rests, waits for long or
belongs to somebody else, whatever becomes of whoever asked for it. How it is run is `run.py`'s.
Must never: forget a process that it owns without giving it back, except by dying.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final

import structlog

from chassis import faults
from chassis.clock import Clock
from orchestrator import chronicle
from orchestrator.action import Action, ActionCall, ActionReply
from orchestrator.feed import Feed
from orchestrator.gate import Gate
from orchestrator.run import HeldUndos, Means, Run
from orchestrator.saga.decide import Call, decide
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import JSON, Event, Started
from orchestrator.saga.evolve import evolve, replay
from orchestrator.saga.retry import microseconds
from orchestrator.saga.state import SagaState
from orchestrator.saga_log.protocol import (
    FIRST_EPOCH,
    NewProcess,
    ProcessRow,
    SagaLog,
    StoredProcess,
)

__all__ = ["Action", "ActionCall", "ActionReply", "Runner"]

RESIDENT_WAIT_SECONDS: Final = 30.0
HELD_UNDOS_MAX: Final = 10_000
NO_GATES: Final[Mapping[str, Gate]] = MappingProxyType({})

_log = structlog.get_logger(__name__)


class Runner:
    """Runs processes side by side."""

    def __init__(
        self,
        *,
        definitions: Mapping[tuple[str, int], Definition],
        actions: Mapping[str, Action],
        log: SagaLog,
        clock: Clock,
        random: Callable[[], float],
        owner: str,
        feed: Feed,
        rests: Feed | None = None,
        resident_wait_seconds: float = RESIDENT_WAIT_SECONDS,
        held_undos_max: int = HELD_UNDOS_MAX,
        gates: Mapping[str, Gate] = NO_GATES,
    ) -> None:
        """`random` draws evenly from 0 to 1; `owner` is a name that nobody had before.

        `gates` stand before the actions of these names, and let their attempts through.
        Who waits for longer than `resident_wait_seconds` does so in the log, not in memory. At a
        gate he waits in memory; undos, which may do so for a day, only so many of them.
        """
        for definition in definitions.values():
            assert set(definition.actions()) <= actions.keys(), "every action can be called"
        self._means = Means(
            definitions=definitions,
            actions=actions,
            gates=gates,
            log=log,
            clock=clock,
            random=random,
            owner=owner,
            feed=feed,
            rests=rests or Feed(),
            resident_wait_us=microseconds(resident_wait_seconds),
            held_undos=HeldUndos(held_undos_max),
            in_detail=chronicle.is_in_detail(),
        )
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._draining = False

    @property
    def in_flight(self) -> int:
        """How many processes are in memory, those being created included."""
        return len(self._tasks)

    @property
    def at_work(self) -> int:
        """How many of them take room from others: all but those whose undo is held."""
        return len(self._tasks) - self._means.held_undos.count

    async def accept(
        self,
        *,
        process_id: str,
        business_key: str,
        fingerprint: str,
        subject: str,
        definition: Definition,
        input: Mapping[str, JSON],  # noqa: A002 - as the event calls it
        deadline_us: int,
    ) -> tuple[ProcessRow, bool]:
        """Stores a process and begins it, unless there is one of the same business key.

        A caller that leaves does not stop it.

        Returns:
            The row of that business key, and whether it was begun now.

        Raises:
            faults.Unavailable: DRAINING, or LOG_UNAVAILABLE: then it may have been accepted.
        """
        if self._draining:
            raise _unavailable()
        now_us = self._means.clock.now_us()
        started = Started(
            definition=definition.name,
            version=definition.version,
            input=input,
            deadline_us=deadline_us,
            time_us=now_us,
        )
        state = evolve(None, started)
        call = decide(definition, state, now_us)
        assert isinstance(call, Call), "a process begins with time left"
        events: tuple[Event, ...] = (started,)
        gate = self._means.gates.get(call.action)
        if gate is not None and gate.shut:
            # It is accepted all the same; its turn is asked for by whoever runs it.
            begins_with = None
        else:
            begins_with, intent = call, call.event(now_us)
            events, state = (started, intent), evolve(state, intent)
        new = NewProcess(
            process_id=process_id,
            business_key=business_key,
            fingerprint=fingerprint,
            subject=subject,
            owner=self._means.owner,
            events=events,
            phase=state.phase,
            due_time_us=now_us,
            create_time_us=now_us,
        )
        created: asyncio.Future[tuple[ProcessRow, bool]] = (
            asyncio.get_running_loop().create_future()
        )
        # Whoever stops waiting for it does not cancel it.
        self._spawn(self._create(new, state, begins_with, created))
        return await created

    def launch(self, stored: StoredProcess) -> None:
        """Takes over a process that was claimed.

        Raises:
            IllegalMove: What is stored is no history.
        """
        assert not self._draining, "a runner that drains takes nothing over"
        assert not stored.unreadable, "what cannot be read cannot be run"
        state = replay(stored.events)
        run = self._resident(stored.row.process_id, stored.row.epoch, state)
        if run is not None:
            self._spawn(self._go_on(run))

    def runs(self, process_id: str, epoch: int = 0) -> bool:
        """Whether a process is run here just now, at that epoch or a later one."""
        run = self._runs.get(process_id)
        return run is not None and run.epoch >= epoch

    def held(self) -> Mapping[str, int]:
        """The processes that wait for their turn at a gate, and at which revision."""
        return {
            process_id: revision
            for process_id, run in self._runs.items()
            if (revision := run.held_at) is not None
        }

    def run_of(self, process_id: str) -> Run | None:
        """The run of a process that is run here just now."""
        return self._runs.get(process_id)

    def wake(self, process_id: str) -> None:
        """Has a process looked at: something was appended to it from outside."""
        if process_id in self._runs:
            self._runs[process_id].look_again()

    async def drain(self, grace_seconds: float) -> None:
        """Hands everything over.

        Calls under way may end within the grace, and their outcomes are logged; no attempt begins
        any more. Whatever is still here then is released as it is.
        """
        self._draining = True
        for run in self._runs.values():
            run.leave()
        try:
            async with asyncio.timeout(grace_seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            _log.info("drain_cut_short", in_flight=self.in_flight)
        cut_short = tuple(self._runs.values())
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await asyncio.gather(*(run.give_back(for_seconds=0) for run in cut_short))

    async def _create(
        self,
        new: NewProcess,
        state: SagaState,
        call: Call | None,
        created: asyncio.Future[tuple[ProcessRow, bool]],
    ) -> None:
        """Stores a process, says so, and runs it: all of its life is one task."""
        structlog.contextvars.bind_contextvars(process_id=new.process_id)
        run = None
        try:
            row, is_new = await self._means.log.create(new)
            if is_new:
                self._means.feed.notify(row.process_id)
                chronicle.tell(state, new.events, in_detail=self._means.in_detail)
                # Offered again after a lost answer it may be somebody else's by now.
                if (row.owner, row.epoch) == (new.owner, FIRST_EPOCH):
                    run = self._resident(row.process_id, row.epoch, state)
            if not created.done():
                created.set_result((row, is_new))
        except Exception as error:
            if created.done():
                raise
            created.set_exception(error)
        finally:
            if not created.done():
                # Cut off: it may be there or not.
                created.set_exception(_unavailable())
        if run is not None:
            try:
                await run.go(call)
            finally:
                self._let_go(run)

    def _resident(self, process_id: str, epoch: int, state: SagaState) -> Run | None:
        """A run that is to be begun. None: the process is run already, at that epoch or later."""
        former = self._runs.get(process_id)
        if former is not None and former.epoch >= epoch:
            return None
        # A former run from under which the process was claimed is fenced when it next writes.
        run = Run(self._means, process_id=process_id, epoch=epoch, state=state)
        if self._draining:
            # It was being created when the draining began.
            run.leave()
        self._runs[process_id] = run
        return run

    async def _go_on(self, run: Run) -> None:
        structlog.contextvars.bind_contextvars(process_id=run.process_id)
        try:
            await run.go(None)
        finally:
            self._let_go(run)

    def _let_go(self, run: Run) -> None:
        if self._runs.get(run.process_id) is run:
            del self._runs[run.process_id]
        self._means.feed.notify(run.process_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins a task that outlives whoever asked for it, and takes nothing of his along."""
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, faults.Fault):
            _log.error("task_failed", exc_info=error)


def _unavailable() -> faults.Unavailable:
    return faults.Unavailable("DRAINING", "the server is stopping; send it again")
