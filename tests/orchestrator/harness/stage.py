"""Where a saga is played: the real runner and recovery, scripted participants, virtual time.

Whatever a program of several machines can trip over is a point: before and after each commit,
before and after each call. Points are counted from 0, and a scenario hangs what it likes on any of
them. Every call is checked to be in the log before it leaves, and every history to replay to the
same commands, in every test.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from chassis.faults import Unavailable
from orchestrator.action import ActionCall, ActionReply
from orchestrator.feed import Feed
from orchestrator.gate import Gate
from orchestrator.recovery import Recovery
from orchestrator.runner import Runner
from orchestrator.saga.code import Code
from orchestrator.saga.definition import Definition, Policy
from orchestrator.saga.events import (
    AttemptBegan,
    CancelRequested,
    Event,
    ResolvedByHand,
    RetryRequested,
)
from orchestrator.saga.evolve import evolve, replay
from orchestrator.saga.outcome import OUTCOMES, Outcome
from orchestrator.saga.state import Phase, SagaState
from orchestrator.saga_log.codec import decode
from orchestrator.saga_log.memory import MemorySagaLog, Moment
from orchestrator.saga_log.protocol import Append, ProcessRow, Stale
from tests.orchestrator.harness.answers import FINE, Answer, Script
from tests.orchestrator.harness.checks import check_effects, check_history
from tests.orchestrator.harness.virtual_time import VirtualClock
from tests.orchestrator.harness.world import World
from tests.orchestrator.sagas.five_steps import FIVE_STEPS

KEY = "key"
PATIENCE_SECONDS = 7_200.0
"""Of virtual time, for one scenario."""

Hook: TypeAlias = Callable[["Stage"], Awaitable[None]]


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One orchestrator."""

    owner: str
    runner: Runner
    recovery: Recovery
    recovering: asyncio.Task[None]
    starts: list[asyncio.Task[None]] = field(default_factory=list)
    dead: bool = False

    async def die(self) -> None:
        """It is gone in the middle of what it was doing."""
        self.dead = True
        tasks = [*self.runner._tasks, self.recovering, *self.starts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def drain(self, grace_seconds: float = 10.0) -> None:
        self.recovery.stop()
        await self.recovering
        await self.runner.drain(grace_seconds)
        await asyncio.gather(*self.starts)


class WatchedLog(MemorySagaLog):
    """Has it that nobody writes who does not own the process."""

    def __init__(self, stage: "Stage") -> None:
        super().__init__(seam=stage._seam, is_dead=stage._is_dead)
        self._stage = stage

    def _append(self, append: Append) -> int:
        revision = super()._append(append)
        epoch = self._records[append.process_id].row.epoch
        if append.epoch not in {None, epoch}:
            self._stage.complaints.append(f"epoch {append.epoch} wrote in epoch {epoch}")
        return revision


class Stage:
    """One process, or several, on one log."""

    def __init__(
        self,
        definition: Definition = FIVE_STEPS,
        *,
        script: Script | None = None,
        hooks: Mapping[int, Hook] | None = None,
        deadline_seconds: float = 60.0,
        fraction: Callable[[], float] = lambda: 1.0,
        resident_wait_seconds: float = 30.0,
        held_undos_max: int = 1_000,
    ) -> None:
        self.definition = definition
        self.definitions: dict[tuple[str, int], Definition] = {definition.key: definition}
        self.clock = VirtualClock()
        self.feed = Feed()
        self.log: MemorySagaLog = WatchedLog(self)
        self.world = World(definition)
        self.script: dict[str, Iterator[Answer]] = dict(script or {})
        self.hooks = dict(hooks or {})
        self.gates: dict[str, Gate] = {}
        self.points: list[str] = []
        self.calls: list[str] = []
        """The actions that were called, in order."""
        self.call_times_us: list[int] = []
        self.told: list[ActionCall] = []
        self.complaints: list[str] = []
        self.crashed = asyncio.Event()
        self.only_seems_dead = False
        self.nodes: list[Node] = []
        self._deadline_seconds = deadline_seconds
        self._fraction = fraction
        self._resident_wait_seconds = resident_wait_seconds
        self._held_undos_max = held_undos_max
        self._undisturbed = False
        self._drawn = 0
        self._under_way: set[asyncio.Task[None]] = set()

    def define(self, policy: Policy) -> None:
        """Has the saga be of another patience."""
        self.definition = replace(self.definition, policy=policy)
        self.definitions = {self.definition.key: self.definition}

    # Orchestrators.

    def start_node(self, *, recovers: bool = True) -> Node:
        owner = f"node-{len(self.nodes) + 1}"
        actions = {
            name: self._act
            for definition in self.definitions.values()
            for name in definition.actions()
        }
        runner = Runner(
            definitions=self.definitions,
            actions=actions,
            log=self.log,
            clock=self.clock,
            random=self._fraction,
            owner=owner,
            feed=self.feed,
            resident_wait_seconds=self._resident_wait_seconds,
            held_undos_max=self._held_undos_max,
            gates=self.gates,
        )
        recovery = Recovery(log=self.log, runner=runner, clock=self.clock, owner=owner)
        if not recovers:
            recovery.stop()
        node = Node(
            owner=owner,
            runner=runner,
            recovery=recovery,
            recovering=asyncio.create_task(recovery.run()),
        )
        self.nodes.append(node)
        return node

    async def accept(self, node: Node, *, key: str = KEY) -> tuple[ProcessRow, bool]:
        self._drawn += 1
        return await node.runner.accept(
            process_id=f"prc_{self._drawn}",
            business_key=key,
            fingerprint="fingerprint",
            subject="subject",
            definition=self.definition,
            input={"for": key},
            deadline_us=self.clock.now_us() + round(self._deadline_seconds * 1_000_000),
        )

    async def _accept_for_sure(self, node: Node) -> None:
        """As a client does: the same request until it is answered."""
        while True:
            try:
                await self.accept(node)
            except Unavailable as unavailable:
                if unavailable.reason == "DRAINING":
                    return
                await self.clock.sleep(0.1)
            else:
                return

    async def play(self, *, operator: Hook | None = None) -> SagaState:
        """Runs one process until it rests; after each crash another orchestrator takes over.

        With an operator it does not end where it is parked: the operator does something about it.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self._lives_through(operator):
                if not self.only_seems_dead:
                    await self.nodes[-1].die()
            self._undisturbed = True
            for node in self.nodes:
                if not node.dead:
                    await node.drain()
            # What participants still have under way comes to its end, too.
            await asyncio.gather(*self._under_way)
        state = self.state()
        self.check()
        return state

    def _begin(self, node: Node) -> asyncio.Task[None]:
        return asyncio.create_task(self._accept_for_sure(node))

    async def _lives_through(self, operator: Hook | None) -> bool:
        """One life of an orchestrator; whether it saw the process rest."""
        self.crashed.clear()
        node = self.start_node()
        node.starts.append(self._begin(node))
        while await self._rests_before_it_crashes():
            if operator is None or self.row().phase is not Phase.PARKED:
                return True
            await operator(self)
        return False

    async def _rests_before_it_crashes(self) -> bool:
        rests = asyncio.create_task(self.rests())
        crashes = asyncio.create_task(self.crashed.wait())
        await asyncio.wait((rests, crashes), return_when=asyncio.FIRST_COMPLETED)
        rested = rests.done() and not self.crashed.is_set()
        for task in (rests, crashes):
            task.cancel()
        await asyncio.gather(rests, crashes, return_exceptions=True)
        return rested

    async def rests(self, *, key: str = KEY) -> None:
        """Returns once the process is settled or parked."""
        while not (row := self.find(key)) or not row.phase.at_rest:
            await self.clock.sleep(0.25)

    # What is in the log.

    def find(self, key: str = KEY) -> ProcessRow | None:
        process_id = self.log._ids.get(key)
        return None if process_id is None else self.log._records[process_id].row

    def row(self, key: str = KEY) -> ProcessRow:
        row = self.find(key)
        assert row is not None
        return row

    def events(self, key: str = KEY) -> tuple[Event, ...]:
        return self.events_of(self.row(key).process_id)

    def events_of(self, process_id: str) -> tuple[Event, ...]:
        return tuple(decode(*text) for text in self.log._records[process_id].texts)

    def state(self, key: str = KEY) -> SagaState:
        return replay(self.events(key))

    # What people do.

    async def cancel(self, *, key: str = KEY, here: bool = True) -> None:
        """`here`: through the orchestrator that runs it, which then hears of it."""
        await self.ask(
            lambda now_us: CancelRequested(
                reason="changed my mind", requested_by="Ada", time_us=now_us
            ),
            key=key,
            here=here,
        )

    async def retry(self) -> None:
        await self.ask(
            lambda now_us: RetryRequested(
                reason="it is well again", requested_by="Grace", time_us=now_us
            )
        )

    async def resolve(self, action: str) -> None:
        self.world.undo(self.row().process_id, action)
        await self.ask(
            lambda now_us: ResolvedByHand(
                action=action, reason="done by phone", requested_by="Grace", time_us=now_us
            )
        )

    async def ask(
        self, event_at: Callable[[int], Event], *, key: str = KEY, here: bool = True
    ) -> None:
        """Appends by sequence alone, as a servicer of any replica does."""
        if self.find(key) is None:
            return
        with self.undisturbed():
            while True:
                now_us = self.clock.now_us()
                before, event = self.state(key), event_at(now_us)
                after = evolve(before, event)
                try:
                    await self.log.append(
                        Append(
                            process_id=self.row(key).process_id,
                            follows=before.revision,
                            events=(event,),
                            epoch=None,
                            phase=after.phase,
                            due_time_us=None if after.phase.at_rest else now_us,
                            time_us=after.update_time_us,
                        )
                    )
                except Stale:
                    continue
                break
        for node in self.nodes if here else ():
            node.runner.wake(self.row(key).process_id)
            node.recovery.wake()

    def _is_dead(self, owner: str) -> bool:
        return owner != self.nodes[-1].owner

    # Points.

    async def _reach(self, name: str) -> None:
        if self._undisturbed:
            return
        hook = self.hooks.get(len(self.points))
        self.points.append(name)
        if hook is not None:
            await hook(self)

    async def _seam(self, moment: Moment, method: str) -> None:
        if method in {"create", "append", "release"}:
            await self._reach(f"{moment} {method}")

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        self._undisturbed = True
        try:
            yield
        finally:
            self._undisturbed = False

    # Participants.

    async def _act(self, call: ActionCall) -> ActionReply:
        self._check_intent(call)
        await self._reach(f"before call {call.action}")
        self.calls.append(call.action)
        self.call_times_us.append(self.clock.now_us())
        self.told.append(call)
        answer = next(self.script.get(call.action, iter(())), FINE)
        await self.clock.sleep(answer.takes_seconds)
        if answer.code is Code.OK and not self.world.takes(call):
            return ActionReply(code=Code.FAILED_PRECONDITION, reason="ALREADY_CANCELLED")
        if OUTCOMES[answer.code] is Outcome.REJECTED and self.world.has(call):
            answer = FINE
        if answer.code is Code.OK or answer.applies:
            self.world.apply(call)
        if answer.applies_after_seconds is not None:
            self._under_way.add(
                asyncio.create_task(self._apply_late(call, answer.applies_after_seconds))
            )
        await self._reach(f"after call {call.action}")
        return ActionReply(
            code=answer.code,
            reason=answer.reason,
            message=answer.message,
            retry_after_seconds=answer.retry_after_seconds,
            result=answer.result,
        )

    async def _apply_late(self, call: ActionCall, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self.world.apply(call)

    def _check_intent(self, call: ActionCall) -> None:
        began = [
            (event.action, event.attempt)
            for event in self.events_of(call.process_id)
            if isinstance(event, AttemptBegan)
        ]
        if (call.action, call.attempt) not in began:
            self.complaints.append(f"{call.action} #{call.attempt} left before it was in the log")

    # Checks.

    def check(self) -> None:
        """What holds of every process, whatever happened to it."""
        assert [] == self.complaints
        for process_id in self.process_ids:
            check_history(self.definition, self.events_of(process_id))
            check_effects(self.definition, self.world, process_id, self.events_of(process_id))

    @property
    def process_ids(self) -> Sequence[str]:
        return tuple(self.log._records)
