"""Where a run takes place: the log, the orchestrators, the participants, and what befalls them.

Invariant: whatever can go wrong is asked of the scheduler at a numbered point, and happens there;
what is committed stays, whoever dies. Must never: judge what comes of it.
"""

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeVar

from bench.simulator import faults
from bench.simulator.desk import Desk
from bench.simulator.evidence import Called, Told, Write
from bench.simulator.faults import Place
from bench.simulator.loop import VirtualClock, VirtualLoop
from bench.simulator.network import Network
from bench.simulator.node import Node, NodeLog
from bench.simulator.schedule import Scheduler
from bench.simulator.shared_log import SharedLog
from bench.simulator.world import Down, Scenario, World
from chassis.faults import Unavailable
from orchestrator.feed import Feed
from orchestrator.interventions import Interventions
from orchestrator.recovery import Recovery
from orchestrator.runner import Runner

T = TypeVar("T")

RESTART_SECONDS: Final = 0.3
HELD_SECONDS: Final = 20.0
SLOW_SECONDS: Final = 20.0
_BEFORE: Final = frozenset(
    {
        faults.CRASH_BEFORE,
        faults.USURPED_BEFORE,
        faults.OVERTAKEN_BEFORE,
        faults.CANCEL_BEFORE,
        faults.RETRY,
        faults.RESOLVE,
    }
)


class TellingFeed(Feed):
    """Takes down what whoever watches a process is told: what is in the log by then."""

    def __init__(self, stage: "Stage") -> None:
        super().__init__()
        self._stage = stage

    def notify(self, process_id: str) -> None:
        """Something happened to this process."""
        super().notify(process_id)
        row = self._stage.log.row(process_id)
        if row is not None:
            self._stage.told.append(Told(process_id, row.phase.value, row.revision))


class Stage:
    """One run."""

    def __init__(
        self, world: World, scenario: Scenario, scheduler: Scheduler, loop: VirtualLoop
    ) -> None:
        self.world = world
        self.scenario = scenario
        self.scheduler = scheduler
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.log = SharedLog(is_dead=self.is_dead)
        self.nodes: list[Node] = []
        self.dead_owners: set[str] = set()
        self._overtaken: list[Node] = []
        """Nodes that go on as soon as a process has another owner."""
        self.told: list[Told] = []
        self.calls: list[Called] = []
        self.writes: list[Write] = []
        self.trace: list[str] | None = None
        self.lease_seconds: float | None = None
        """How long an orchestrator that is silent is not taken for dead. None: one that crashed
        is known to be dead at once, and so is one that is said to be."""
        self.leases: dict[str, float] = {}
        self.restart_seconds: Callable[[], float] = lambda: RESTART_SECONDS
        self.ahead_us: Callable[[], int] = lambda: 0
        """How wrong the clock of the next orchestrator is."""
        self.on_node: Callable[[Node], None] = lambda _node: None
        self.points_reached = 0
        self.parked_at: list[int] = []
        """The points that were reached while something was parked."""
        self.busy = 0
        """How much is being done that has to be over before anything else is."""
        self._kept: set[asyncio.Task[Any]] = set()
        self.network = Network(self)
        self.service_tasks: dict[str, set[asyncio.Task[Any]]] = {
            service: set() for service in world.services.values()
        }
        self.down: set[str] = set()
        """Services whose programs are not there."""
        self.participants = world.build(self)
        self.front = Node("front", self.clock, front=True)
        self.front.interventions = Interventions(
            log=NodeLog(self.log, self.front, self),
            feed=TellingFeed(self),
            clock=self.clock,
            wake=self.wake,
        )
        self.desk = Desk(self)

    def start_first(self) -> None:
        """Starts the participants' programs, and one orchestrator."""

        def start() -> None:
            for service in self.service_tasks:
                self.participants.start(service)
            self.start_node()

        self.within(start)

    def within(self, do: Callable[[], object]) -> None:
        """Does something as if the loop ran."""
        events._set_running_loop(self.loop)
        try:
            do()
        finally:
            events._set_running_loop(None)

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Has something done that need not be over when everything else is."""
        self.keep(self.loop.create_task(work))

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Has something done; nothing is over before it is."""

        async def done() -> None:
            try:
                await work
            finally:
                self.busy -= 1

        self.busy += 1
        self.keep(self.loop.create_task(done()))

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Holds on to a task of nobody's until it is over."""
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    # Orchestrators.

    def start_node(self) -> Node:
        """Starts a program that runs processes."""
        clock = VirtualClock(self.loop, ahead_us=self.ahead_us())
        node = Node(f"node-{len(self.nodes) + 1}", clock)
        log, feed = NodeLog(self.log, node, self), TellingFeed(self)
        definition = self.world.definition
        node.feed = feed
        node.runner = Runner(
            definitions={definition.key: definition},
            actions={action: partial(self.network.call, node) for action in self.world.services},
            log=log,
            clock=node.clock,
            random=self.scheduler.fraction,
            owner=node.name,
            feed=feed,
        )
        node.recovery = Recovery(log=log, runner=node.runner, clock=node.clock, owner=node.name)
        node.interventions = Interventions(log=log, feed=feed, clock=node.clock, wake=node.wake)
        node.recovering = self.loop.create_task(node.recovery.run())
        node.tasks.add(node.recovering)
        self.nodes.append(node)
        if self.lease_seconds is not None:
            self.leases[node.name] = self.loop.time() + self.lease_seconds
        self.on_node(node)
        self.note(f"{node.name} starts, its clock {clock.ahead_us / 1_000_000:+.3f} seconds off")
        return node

    def is_dead(self, owner: str) -> bool:
        """Whether somebody who owns processes is taken for dead."""
        if self.lease_seconds is not None:
            return self.leases.get(owner, 0.0) <= self.loop.time()
        return owner in self.dead_owners

    def standing(self) -> list[Node]:
        """The nodes that run."""
        return [node for node in self.nodes if not node.dead and node.held is None]

    def crash(self, node: Node) -> None:
        """A node is gone; another one comes in a moment."""
        if node.dead:
            return
        self.note(f"{node.name} crashes")
        node.die()
        self.dead_owners.add(node.name)
        self.loop.call_later(self.restart_seconds(), self.start_node)

    def hold(self, node: Node) -> None:
        """A node stops, until it goes on."""
        if node.held is None:
            node.held = self.loop.create_future()

    def usurp(self, node: Node, *, for_seconds: float) -> None:
        """A node stops for so long that another one takes over; then it goes on."""
        self.note(f"{node.name} stops, and is taken for dead")
        self.hold(node)
        self.dead_owners.add(node.name)
        self.loop.call_later(for_seconds, self.go_on, node)
        self.start_node()

    def go_on(self, node: Node) -> None:
        """A node that was stopped runs again."""
        if node.held is not None:
            self.note(f"{node.name} goes on")
            node.held.set_result(None)
            node.held = None

    def wake(self, process_id: str) -> None:
        """Has every orchestrator look at a process."""
        for node in self.standing():
            node.wake(process_id)

    # Points.

    def at(self, place: Place, name: str) -> str | None:
        """Asks what happens at the point that is reached."""
        if self.lease_seconds is None and self.log.is_parked():
            self.parked_at.append(self.points_reached)
        self.points_reached += 1
        fault = self.scheduler.at(place, name)
        if self.trace is not None:
            self.note(f"{place} {name}" + (f": {fault}" if fault else ""))
        return fault

    def note(self, line: str) -> None:
        """Adds a line to the trace, if there is one."""
        if self.trace is not None:
            self.trace.append(f"{self.loop.time():10.4f} {line}")

    async def committed(
        self, node: Node, place: Place, name: str, process_id: str, write: Callable[[], T]
    ) -> T:
        """Commits to the saga log, with whatever comes in its way."""
        fault = self.at(place, f"{name} by {node.name}" if self.trace is not None else name)
        latency = self.scheduler.latency_seconds(place)
        if latency:
            await asyncio.sleep(latency)
            if node.dead or node.held is not None:
                await node.passes()
        if self.network.cut(node.name, "log"):
            raise _log_unavailable()
        if fault is None:
            return write()
        if fault == faults.LOST:
            raise _log_unavailable()
        if fault in _BEFORE:
            await self.strike(node, fault, process_id)
            return write()
        result = write()
        if fault == faults.UNANSWERED:
            raise _log_unavailable()
        await self.strike(node, fault, process_id)
        return result

    def read(self, node: Node, name: str) -> str | None:
        """The fault of a read."""
        if self.network.cut(node.name, "log"):
            return faults.LOST
        # People read again what they could not read; that they do is tried where they write.
        return None if node.front else self.at(Place.READ, name)

    async def read_in_trouble(self, node: Node, fault: str) -> None:
        """Lets a fault befall a read."""
        if fault == faults.LOST:
            raise _log_unavailable()
        await self.strike(node, fault, "")

    def wrote(self, process_id: str, owner: str, *, takes_over: bool) -> None:
        """Takes down who wrote."""
        self.writes.append(Write(process_id, owner, takes_over))
        if takes_over:
            while self._overtaken:
                self.loop.call_soon(self.go_on, self._overtaken.pop())

    async def strike(self, node: Node, fault: str, process_id: str) -> None:
        """Lets something befall a node. Returns where it lives on."""
        match fault:
            case faults.CRASH_BEFORE | faults.CRASH_AFTER | faults.CRASH_FLIGHT:
                self.crash(node)
                await self.loop.create_future()
            case faults.USURPED_BEFORE | faults.USURPED_AFTER:
                if node.held is None:
                    self.usurp(node, for_seconds=HELD_SECONDS)
                await node.passes()
            case faults.OVERTAKEN_BEFORE | faults.OVERTAKEN_AFTER:
                # It goes on as soon as it was succeeded, or in a moment.
                if node.held is None:
                    self.usurp(node, for_seconds=RESTART_SECONDS)
                    self._overtaken.append(node)
                await node.passes()
            case faults.CANCEL_BEFORE | faults.CANCEL_AFTER:
                await self.desk.cancel(process_id)
            case faults.RETRY | faults.RESOLVE:
                await self.desk.operate(process_id, fault)
            case _:
                raise AssertionError(f"{fault} does not befall an orchestrator")

    # What participants stand on: see world.Ground.

    def commit(self, service: str, write: Callable[[], T]) -> T:
        """Commits what a participant stores."""
        match self.at(Place.COMMIT, service):
            case None:
                return write()
            case faults.LOST:
                raise Unavailable("STORE_UNAVAILABLE", "the store is away")
            case faults.UNANSWERED:
                write()
                raise Unavailable("STORE_UNAVAILABLE", "the store is away")
            case faults.CRASH_BEFORE:
                self.crash_service(service)
                raise Down
            case faults.CRASH_AFTER:
                write()
                self.crash_service(service)
                raise Down
            case fault:
                raise AssertionError(f"{fault} does not befall a participant's store")

    async def ask(self, service: str, name: str, effect: Callable[[], T]) -> T:
        """Asks an outside world."""
        latency = self.scheduler.latency_seconds(Place.ASK)
        if latency:
            await asyncio.sleep(latency)
        match self.at(Place.ASK, name):
            case None:
                return effect()
            case faults.LOST:
                raise Unavailable("OUTSIDE_UNAVAILABLE", "nobody answers")
            case faults.UNANSWERED:
                effect()
                raise Unavailable("OUTSIDE_UNAVAILABLE", "nobody answers")
            case faults.SLOW:
                answer = effect()
                await asyncio.sleep(SLOW_SECONDS)
                return answer
            case faults.CRASH_BEFORE:
                self.crash_service(service)
                await self.loop.create_future()
                raise Down
            case faults.CRASH_AFTER:
                effect()
                self.crash_service(service)
                await self.loop.create_future()
                raise Down
            case fault:
                raise AssertionError(f"{fault} does not befall a question")

    def spawn(self, service: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begins a task of a service's program."""
        task = self.loop.create_task(work)
        tasks = self.service_tasks[service]
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    def fraction(self) -> float:
        """Chance."""
        return self.scheduler.fraction()

    def crash_service(self, service: str) -> None:
        """A participant's program is gone; it starts again in a moment."""
        if service in self.down:
            return
        self.note(f"{service} crashes")
        self.down.add(service)
        for task in tuple(self.service_tasks[service]):
            task.cancel()
        self.participants.die(service)
        self.loop.call_later(RESTART_SECONDS, self._restart_service, service)

    def _restart_service(self, service: str) -> None:
        self.down.discard(service)
        self.note(f"{service} starts again")
        self.participants.start(service)


def _log_unavailable() -> Unavailable:
    return Unavailable("LOG_UNAVAILABLE", "the log is away")
