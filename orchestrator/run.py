"""The only loop: decide, log, call, log.

Invariant: intent before effect. No call leaves before its attempt is committed; no call leaves and
nobody is told anything before the outcome of the call before is committed. What is not in the log
did not happen, so a run may be cut off at any point: whoever claims the process goes on from its
history. A run keeps the folded state of its process, not the history. Where a gate is shut a call
waits for its turn before its attempt is committed.

Must never: touch a process once it was fenced, or decide anything itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

import structlog

from chassis import faults
from chassis.clock import Clock
from orchestrator import chronicle
from orchestrator.action import Action, ActionCall, ActionReply, Watch, attempt, ended
from orchestrator.alarm import Alarm
from orchestrator.feed import Feed
from orchestrator.gate import Gate, Turn
from orchestrator.saga.advance import Advance, advance
from orchestrator.saga.decide import Call, Rest, Wait, put_off_until_us
from orchestrator.saga.definition import UNDO_RETRIES, Definition
from orchestrator.saga.events import AttemptEnded
from orchestrator.saga.evolve import evolve, replay
from orchestrator.saga.retry import MICROSECONDS_PER_SECOND, RetryPolicy, microseconds
from orchestrator.saga.state import Phase, SagaState
from orchestrator.saga_log.protocol import Append, Fenced, SagaLog, Stale

HELD_ASIDE_SECONDS: Final = UNDO_RETRIES.cap_seconds
"""How long, at the most, an undo waits in the log for which there is no room to be held. As long as
an undo that fails waits at the most."""

SET_ASIDE_SECONDS: Final = 10.0
"""How long a process that the program failed on is left alone."""

LOG_RETRIES: Final = RetryPolicy(floor_seconds=0.05, cap_seconds=5.0)

_UNANSWERED: Final = (faults.Unavailable, faults.Overloaded)

_log = structlog.get_logger(__name__)


class HeldUndos:
    """Those whose undo is held here, in memory: a participant that is away for long has many."""

    __slots__ = ("count", "most")

    def __init__(self, most: int) -> None:
        self.most: Final = most
        self.count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every run of one orchestrator has in common."""

    definitions: Mapping[tuple[str, int], Definition]
    actions: Mapping[str, Action]
    gates: Mapping[str, Gate]
    """By action. The others have none."""
    log: SagaLog
    clock: Clock
    random: Callable[[], float]
    owner: str
    feed: Feed
    """Notices of all that happens to a process."""
    rests: Feed
    """Notices of its coming to rest: who only waits for that need not be woken by the others."""
    resident_wait_us: int
    """Who waits for longer gives the process back."""
    held_undos: HeldUndos
    in_detail: bool
    """Whether what goes well is told as well."""


class Run:
    """One process, from when this orchestrator takes it until it rests or is let go."""

    __slots__ = (
        "_ahead_us",
        "_alarm",
        "_comes_back",
        "_definition",
        "_is_held_undo",
        "_leaving",
        "_means",
        "_moved",
        "_state",
        "_turn",
        "epoch",
        "process_id",
    )

    def __init__(self, means: Means, *, process_id: str, epoch: int, state: SagaState) -> None:
        self.process_id: Final = process_id
        self.epoch: Final = epoch
        self._means = means
        self._state = state
        # None: this release does not know it.
        self._definition = means.definitions.get(state.definition_key)
        self._alarm = Alarm(means.clock)
        # The history may have moved on: look before the next decision.
        self._moved = False
        self._leaving = False
        # Asked for at a gate, and not given back.
        self._turn: Turn | None = None
        self._is_held_undo = False
        # Its first call has many others beside it, where what the dead left is taken over.
        self._comes_back = False
        # By how much the history is ahead of this machine's clock: others write in it, too.
        self._ahead_us = 0

    @property
    def held_at(self) -> int | None:
        """The revision at which it waits for its turn. None: it does not."""
        turn = self._turn
        return None if turn is None or turn.granted else self._state.revision

    @property
    def state(self) -> SagaState | None:
        """The process as it is in the log. None: somebody else may have appended to it."""
        return None if self._moved else self._state

    def look_again(self) -> None:
        """Something was appended from outside."""
        self._moved = True
        self._alarm.ring()

    def leave(self) -> None:
        """No attempt begins any more. What is under way may end; then the process is given back."""
        self._leaving = True
        self._alarm.ring()

    async def go(self, call: Call | None) -> None:
        """Runs the process, beginning with a call whose attempt is in the log, if there is one.

        Whatever goes wrong with it is nothing to anybody else: it is set aside for a while.
        """
        self._comes_back = call is None
        watch = Watch()
        try:
            outcome: AttemptEnded | None = None
            while True:
                if call is not None:
                    action = self._means.actions[call.action]
                    reply = await attempt(action, self._told(call), watch)
                    outcome = self._ended(call, reply)
                call = await self._next(outcome)
                if call is None:
                    return
        except Fenced:
            _log.info("process_fenced", epoch=self.epoch)
        except Exception:  # noqa: BLE001 - whatever it is, it ends here
            _log.exception("process_failed")
            self._end_turn()
            await self.give_back(for_seconds=SET_ASIDE_SECONDS)
        finally:
            watch.close()
            self._end_turn()

    async def give_back(self, *, for_seconds: float) -> None:
        """Has the process claimed by whoever comes, once that time has passed."""
        while True:
            due_time_us = self._means.clock.now_us() + microseconds(for_seconds)
            try:
                await self._means.log.release(
                    process_id=self.process_id, epoch=self.epoch, due_time_us=due_time_us
                )
            except _UNANSWERED:
                if self._leaving:
                    # Its owner will be dead soon, and what the dead own is claimed.
                    _log.warning("process_not_given_back", process_id=self.process_id)
                    return
                await self._alarm.sleep(LOG_RETRIES.cap_seconds)
            else:
                return

    async def _next(self, outcome: AttemptEnded | None) -> Call | None:
        """Logs an outcome and decides, waits and logs until a call may leave.

        Returns:
            The call, its attempt committed. None: there is no more to do here.
        """
        misses = 0
        while True:
            try:
                if self._moved:
                    outcome = await self._reload(outcome)
                command, append, state = self._decide(outcome)
                if append is not None:
                    revision = await self._means.log.append(append)
                    assert revision == state.revision, "the log counts as the fold does"
                    self._committed(state, append)
            except Stale:
                self._moved = True
                continue
            except _UNANSWERED:
                # What was offered may be there or not. The outcome is kept until that is known.
                self._moved = True
                self._end_turn()
                misses += 1
                pause = LOG_RETRIES.pause_seconds(attempt=misses, fraction=self._means.random())
                await self._alarm.sleep(pause)
                continue
            outcome, misses = None, 0
            match command:
                case Call():
                    return command
                case Wait(until_us=until_us):
                    wait_us = until_us - self._now_us()
                    await self._alarm.sleep(wait_us / MICROSECONDS_PER_SECOND)
                case Rest():
                    return None
                case _:
                    assert_never(command)

    async def _reload(self, outcome: AttemptEnded | None) -> AttemptEnded | None:
        """Catches up with the log.

        Returns:
            The outcome, if the log still lacks it.
        """
        # Before it is read: what is appended from here on is worth another look.
        self._moved = False
        stored = await self._means.log.load(self.process_id, after=self._state.revision)
        if stored is None or stored.row.epoch != self.epoch:
            raise Fenced(self.process_id)
        if stored.row.owner != self._means.owner and not stored.row.phase.at_rest:
            # It was given back, though the answer to that was lost.
            raise Fenced(self.process_id)
        assert not stored.unreadable, stored.unreadable
        self._state = replay(stored.events, self._state)
        if self._state.phase.at_rest:
            # An append that was not answered was there.
            self._means.rests.notify(self.process_id)
        if outcome is None:
            return None
        action = self._state.action(outcome.action)
        lacking = action is not None and action.in_flight and action.attempts == outcome.attempt
        return outcome if lacking else None

    def _decide(
        self, outcome: AttemptEnded | None
    ) -> tuple[Call | Wait | Rest, Append | None, SagaState]:
        """What to do next, and what the log has to say before.

        Returns:
            What is to be done: a process that is given back is at rest, as far as this goes. What
            is to be appended first, if anything is. What the process is then.
        """
        means = self._means
        definition = self._definition
        happened = () if outcome is None else (outcome,)
        ahead = advance(definition, self._state, self._now_us(), happened=happened)
        events, state = ahead.events, ahead.state
        due_time_us: int | None
        command: Call | Wait | Rest = ahead.command
        match command:
            case Call():
                due_time_us, release = ahead.time_us, self._leaving
                held_until_us = self._held_until_us(command, definition, ahead)
                if held_until_us is not None:
                    command = Wait(until_us=held_until_us)
                    if not self._stays_held(state):
                        aside_us = microseconds(HELD_ASIDE_SECONDS * (1 + means.random()) / 2)
                        due_time_us, release = min(held_until_us, ahead.time_us + aside_us), True
                elif not release:
                    intent = command.event(ahead.time_us)
                    events, state = (*events, intent), evolve(state, intent)
            case Wait(until_us=until_us):
                assert self._turn is None, "whoever pauses has just ended an attempt"
                due_time_us = until_us
                release = self._leaving or until_us - ahead.time_us > means.resident_wait_us
            case Rest():
                due_time_us, release = None, False
            case _:
                assert_never(command)
        if not events and not release:
            return command, None, state
        append = Append(
            process_id=self.process_id,
            follows=self._state.revision,
            events=events,
            epoch=self.epoch,
            phase=state.phase,
            due_time_us=due_time_us,
            release=release,
            time_us=state.update_time_us,
        )
        return Rest() if release else command, append, state

    def _committed(self, state: SagaState, append: Append) -> None:
        """The log says it."""
        self._state = state
        means = self._means
        means.feed.notify(self.process_id)
        if state.phase.at_rest:
            means.rests.notify(self.process_id)
        chronicle.tell(state, append.events, in_detail=means.in_detail)

    def _held_until_us(
        self, call: Call, definition: Definition | None, ahead: Advance
    ) -> int | None:
        """For how long a call waits for its turn, at most. None: it may leave, or nothing may."""
        gate = self._means.gates.get(call.action)
        if self._turn is not None and self._turn.gate is not gate:
            self._end_turn()
        if self._turn is None:
            if gate is None or self._leaving or not (gate.shut or self._comes_back):
                return None
            self._turn = gate.queue(self._alarm.ring)
            self._comes_back = False
        if self._turn.granted or self._leaving:
            self._is_held_no_more()
            return None
        assert definition is not None, "a call is one of a definition"
        until_us = put_off_until_us(definition, ahead.state, call)
        if until_us > ahead.time_us:
            return until_us
        self._end_turn()
        return None

    def _stays_held(self, state: SagaState) -> bool:
        """Whether there is room to be held here. Forward steps end by their deadline anyway."""
        if state.phase is not Phase.COMPENSATING or self._is_held_undo:
            return True
        held = self._means.held_undos
        if held.count >= held.most:
            return False
        held.count += 1
        self._is_held_undo = True
        return True

    def _is_held_no_more(self) -> None:
        if self._is_held_undo:
            self._is_held_undo = False
            self._means.held_undos.count -= 1

    def _end_turn(self) -> None:
        self._is_held_no_more()
        if self._turn is not None:
            self._turn.give_back()
            self._turn = None

    def _told(self, call: Call) -> ActionCall:
        """What the action is told of a call whose attempt is in the log."""
        state = self._state
        action = state.action(call.action)
        assert action is not None, "intent before effect"
        assert action.in_flight, "intent before effect"
        return ActionCall(
            process_id=self.process_id,
            action=call.action,
            attempt=call.attempt,
            timeout_seconds=call.timeout_seconds,
            input=state.input,
            results=state.results,
        )

    def _ended(self, call: Call, reply: ActionReply) -> AttemptEnded:
        """What the log is to say of how it ended."""
        definition, action = self._definition, self._state.action(call.action)
        assert definition is not None, "a call is one of a definition"
        assert action is not None, "intent before effect"
        self._end_turn()
        return ended(
            call,
            reply,
            undo=action.undo,
            retries=definition.policy.retries(undo=action.undo),
            fraction=self._means.random,
            time_us=self._now_us(),
        )

    def _now_us(self) -> int:
        """The time of this process: never before its history, and as fast as everybody's."""
        now_us = self._means.clock.now_us() + self._ahead_us
        lag_us = self._state.update_time_us - now_us
        if lag_us <= 0:
            return now_us
        self._ahead_us += lag_us
        return now_us + lag_us
