"""The only loop: decide, log, call, log.

Invariant: intent before effect. No call leaves before its attempt is committed; no call leaves and
nobody is told anything before the outcome of the call before is committed. What is not in the log
did not happen, so a runner may be killed at any point: whoever claims the process goes on from its
history.

A process is one task. It keeps the folded state of the process, not its history, and forgets it all
when the process rests, belongs to somebody else, or waits for long.

Must never: touch a process after it was fenced, or decide anything itself.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, assert_never

import structlog

from chassis import faults
from chassis.clock import Clock
from orchestrator import chronicle
from orchestrator.action import Action, ActionCall, ActionReply, attempt, ended
from orchestrator.alarm import Alarm
from orchestrator.feed import Feed
from orchestrator.saga.advance import advance
from orchestrator.saga.decide import Call, Rest, Wait
from orchestrator.saga.definition import Definition
from orchestrator.saga.events import JSON, AttemptEnded, Started
from orchestrator.saga.evolve import evolve, replay
from orchestrator.saga.retry import MICROSECONDS_PER_SECOND, RetryPolicy, microseconds
from orchestrator.saga.state import SagaState
from orchestrator.saga_log.protocol import (
    Append,
    Fenced,
    NewProcess,
    ProcessRow,
    SagaLog,
    Stale,
    StoredProcess,
)

__all__ = ["Action", "ActionCall", "ActionReply", "Runner"]

SET_ASIDE_SECONDS: Final = 10.0
"""How long a process that the program failed on, or cannot read, is left alone."""

LOG_RETRIES: Final = RetryPolicy(floor_seconds=0.05, cap_seconds=5.0)

_UNANSWERED: Final = (faults.Unavailable, faults.Overloaded)

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class _Resident:
    """A process that this runner owns and has in memory."""

    process_id: str
    epoch: int
    state: SagaState
    alarm: Alarm
    moved: bool = False
    """The history may have moved on: look before the next decision."""
    task: asyncio.Task[None] | None = None


class Runner:
    """Drives the processes that it owns, each in a task of its own."""

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
        resident_wait_seconds: float = 30.0,
    ) -> None:
        for definition in definitions.values():
            assert set(definition.actions()) <= actions.keys(), "every action can be called"
        self._definitions = definitions
        self._actions = actions
        self._log = log
        self._clock = clock
        self._random = random
        self._owner = owner
        self._feed = feed
        self._resident_wait_us = microseconds(resident_wait_seconds)
        self._residents: dict[str, _Resident] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._draining = False

    @property
    def in_flight(self) -> int:
        """How many processes are in memory, those being created included."""
        return len(self._tasks)

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
            raise _draining()
        now_us = self._clock.now_us()
        started = Started(
            definition=definition.name,
            version=definition.version,
            input=input,
            deadline_us=deadline_us,
            time_us=now_us,
        )
        state = evolve(None, started)
        call = advance(definition, state, now_us).command
        assert isinstance(call, Call), "a process begins with time left"
        intent = call.event(now_us)
        new = NewProcess(
            process_id=process_id,
            business_key=business_key,
            fingerprint=fingerprint,
            subject=subject,
            owner=self._owner,
            events=(started, intent),
            phase=state.phase,
            due_time_us=now_us,
            create_time_us=now_us,
        )
        creating = self._spawn(self._create(new, evolve(state, intent), call))
        # Whoever stops waiting for it does not cancel it.
        await asyncio.wait((creating,))
        if creating.cancelled():
            raise _draining()
        return creating.result()

    def launch(self, stored: StoredProcess) -> None:
        """Takes over a process that was claimed.

        Raises:
            IllegalMove: What is stored is no history.
        """
        assert not self._draining, "a runner that drains takes nothing over"
        assert not stored.unreadable, "what cannot be read cannot be run"
        state = replay(stored.events)
        self._begin(stored.row.process_id, stored.row.epoch, state, call=None)

    def wake(self, process_id: str) -> None:
        """Has a process looked at: something was appended to it from outside."""
        resident = self._residents.get(process_id)
        if resident is not None:
            resident.moved = True
            resident.alarm.ring()

    async def drain(self, grace_seconds: float) -> None:
        """Hands everything over.

        Calls under way may end within the grace, and their outcomes are logged; no call leaves any
        more. Whatever is still here then is released as it is.
        """
        self._draining = True
        for resident in self._residents.values():
            resident.alarm.ring()
        try:
            async with asyncio.timeout(grace_seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            _log.info("drain_cut_short", in_flight=self.in_flight)
        cut_short = tuple(self._residents.values())
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await asyncio.gather(*(self._give_back(resident, for_seconds=0) for resident in cut_short))

    async def _create(
        self, new: NewProcess, state: SagaState, call: Call
    ) -> tuple[ProcessRow, bool]:
        structlog.contextvars.bind_contextvars(process_id=new.process_id)
        row, created = await self._log.create(new)
        if created:
            chronicle.tell(state, new.events)
            self._begin(row.process_id, row.epoch, state, call)
        return row, created

    def _begin(self, process_id: str, epoch: int, state: SagaState, call: Call | None) -> None:
        there = self._residents.get(process_id)
        if there is not None and there.epoch >= epoch:
            return
        if there is not None and there.task is not None:
            # It was claimed from under this runner's former self, which would only be fenced.
            there.task.cancel()
        resident = _Resident(
            process_id=process_id, epoch=epoch, state=state, alarm=Alarm(self._clock)
        )
        self._residents[process_id] = resident
        resident.task = self._spawn(self._guard(resident, call))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begins a task that outlives whoever asked for it, and takes nothing of his along."""
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, faults.Fault):
            _log.error("task_failed", exc_info=error)

    async def _guard(self, resident: _Resident, call: Call | None) -> None:
        """Sees to it that whatever becomes of one process is nothing to the others."""
        structlog.contextvars.bind_contextvars(process_id=resident.process_id)
        try:
            await self._run(resident, call)
        except Fenced:
            _log.info("process_fenced", epoch=resident.epoch)
        except Exception:  # noqa: BLE001 - whatever it is, it ends here
            _log.exception("process_failed")
            await self._give_back(resident, for_seconds=SET_ASIDE_SECONDS)
        finally:
            if self._residents.get(resident.process_id) is resident:
                del self._residents[resident.process_id]
            self._feed.notify(resident.process_id)

    async def _run(self, resident: _Resident, call: Call | None) -> None:
        outcome = None if call is None else await self._attempt(resident, call)
        while (call := await self._next(resident, outcome)) is not None:
            outcome = await self._attempt(resident, call)

    async def _next(self, resident: _Resident, outcome: AttemptEnded | None) -> Call | None:
        """Logs an outcome and decides, waits and logs until a call may leave.

        Returns:
            The call, its attempt committed. None: this runner has no more to do with the process.
        """
        misses = 0
        while True:
            try:
                if resident.moved:
                    outcome = await self._reload(resident, outcome)
                command = await self._commit(resident, outcome)
            except Stale:
                resident.moved = True
                continue
            except _UNANSWERED:
                # What was offered may be there or not. The outcome is kept until that is known.
                resident.moved = True
                misses += 1
                await resident.alarm.sleep(self._log_pause_seconds(misses))
                continue
            outcome, misses = None, 0
            match command:
                case Call():
                    return command
                case Wait(until_us=until_us):
                    wait_us = until_us - self._clock.now_us()
                    await resident.alarm.sleep(wait_us / MICROSECONDS_PER_SECOND)
                case Rest():
                    return None
                case _:
                    assert_never(command)

    async def _reload(
        self, resident: _Resident, outcome: AttemptEnded | None
    ) -> AttemptEnded | None:
        """Catches up with the log.

        Returns:
            The outcome, if the log still lacks it.
        """
        # Before it is read: what is appended from here on is worth another look.
        resident.moved = False
        stored = await self._log.load(resident.process_id, after=resident.state.revision)
        if stored is None or stored.row.epoch != resident.epoch:
            raise Fenced(resident.process_id)
        if stored.row.owner != self._owner and not stored.row.phase.at_rest:
            # It was given back, though the answer to that was lost.
            raise Fenced(resident.process_id)
        assert not stored.unreadable, stored.unreadable
        resident.state = replay(stored.events, resident.state)
        if outcome is None:
            return None
        action = resident.state.action(outcome.action)
        lacking = action is not None and action.in_flight and action.attempts == outcome.attempt
        return outcome if lacking else None

    async def _commit(
        self, resident: _Resident, outcome: AttemptEnded | None
    ) -> Call | Wait | Rest:
        """Decides, and has the log say so.

        Returns:
            What is to be done now. A process that was given back rests, as far as this runner goes.
        """
        definition = self._definitions.get(resident.state.definition_key)
        happened = () if outcome is None else (outcome,)
        ahead = advance(definition, resident.state, self._clock.now_us(), happened=happened)
        events, state = ahead.events, ahead.state
        due_time_us: int | None
        match ahead.command:
            case Call() as call:
                due_time_us, release = ahead.time_us, self._draining
                if not release:
                    intent = call.event(ahead.time_us)
                    events, state = (*events, intent), evolve(state, intent)
            case Wait(until_us=until_us):
                due_time_us = until_us
                release = self._draining or until_us - ahead.time_us > self._resident_wait_us
            case Rest():
                due_time_us, release = None, False
            case _:
                assert_never(ahead.command)
        if events or release:
            revision = await self._log.append(
                Append(
                    process_id=resident.process_id,
                    follows=resident.state.revision,
                    events=events,
                    epoch=resident.epoch,
                    phase=state.phase,
                    due_time_us=due_time_us,
                    release=release,
                    time_us=state.update_time_us,
                )
            )
            assert revision == state.revision, "the log counts as the fold does"
            resident.state = state
            self._feed.notify(resident.process_id)
            chronicle.tell(state, events)
        return Rest() if release else ahead.command

    async def _attempt(self, resident: _Resident, call: Call) -> AttemptEnded:
        """Makes a call whose attempt is in the log."""
        state = resident.state
        reply = await attempt(
            self._actions[call.action],
            ActionCall(
                process_id=resident.process_id,
                action=call.action,
                attempt=call.attempt,
                timeout_seconds=call.timeout_seconds,
                input=state.input,
                results=state.results,
            ),
        )
        action = state.action(call.action)
        assert action is not None, "intent before effect"
        policy = self._definitions[state.definition_key].policy
        return ended(
            call,
            reply,
            undo=action.undo,
            retries=policy.retries(undo=action.undo),
            fraction=self._random,
            time_us=max(self._clock.now_us(), state.update_time_us),
        )

    async def _give_back(self, resident: _Resident, *, for_seconds: float) -> None:
        """Has a process claimed by whoever comes, once that time has passed."""
        misses = 0
        while True:
            due_time_us = self._clock.now_us() + microseconds(for_seconds)
            try:
                await self._log.release(
                    process_id=resident.process_id,
                    epoch=resident.epoch,
                    due_time_us=due_time_us,
                )
            except _UNANSWERED:
                if self._draining:
                    # Its owner will be dead soon, and what the dead own is claimed.
                    _log.warning("process_not_given_back", process_id=resident.process_id)
                    return
                misses += 1
                await resident.alarm.sleep(self._log_pause_seconds(misses))
            else:
                return

    def _log_pause_seconds(self, misses: int) -> float:
        return LOG_RETRIES.pause_seconds(attempt=misses, fraction=self._random())


def _draining() -> faults.Unavailable:
    return faults.Unavailable("DRAINING", "the server is stopping; send it again")
