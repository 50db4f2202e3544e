"""What happens in a simulation besides the faults at its points: machines, networks and people.

Invariant: everything is drawn from the seed, and after the troubled time nothing more goes wrong.
Must never: judge.
"""

import asyncio
from typing import Final

from bench.simulator import faults
from bench.simulator.node import Node
from bench.simulator.schedule import Drawn
from bench.simulator.stage import Stage

REPLICAS: Final = 3
LEASE_SECONDS: Final = 5.0
BEAT_SECONDS: Final = 1.5
TROUBLED_SECONDS: Final = 60.0
AHEAD_SECONDS_MAX: Final = 90.0
PLACED_WITHIN_SECONDS: Final = 40.0
OPERATIONS_MAX: Final = 20
USUAL_SHARE: Final = 0.6
"""How many processes are of the world's first scenario, at the least."""


class Driver:
    """Drives one simulation."""

    def __init__(self, stage: Stage, dice: Drawn, scenarios: list[str], processes: int) -> None:
        self._stage = stage
        self._dice = dice
        self._random = dice.random
        self._scenarios = scenarios
        self._processes = processes
        self._over = False
        self._operations = 0
        self.faults = 0
        """What befell machines and networks."""

    def begin(self) -> None:
        """Starts everything."""
        stage = self._stage
        stage.lease_seconds = LEASE_SECONDS
        stage.restart_seconds = lambda: 0.2 + self._random.random() * 6
        stage.ahead_us = self._ahead_us
        stage.on_node = self._beat
        stage.start_first()
        for _ in range(REPLICAS - 1):
            stage.within(stage.start_node)
        stage.beside(self._place())
        stage.beside(self._trouble())
        stage.beside(self._people())

    def idle(self) -> bool:
        """Whether everything is over; asked when nothing is ready."""
        stage = self._stage
        if not self._over or stage.desk.waiting or stage.network.under_way or stage.busy:
            return False
        if any(row.due_time_us is not None for row in stage.log.rows()):
            return False
        if stage.participants.busy():
            return False
        if stage.network.deliver_last():
            return False
        parked = [row.process_id for row in stage.log.rows() if row.phase.value == "PARKED"]
        if not parked or self._operations >= OPERATIONS_MAX:
            return True
        self._operations += 1
        for process_id in parked:
            what = self._random.choice((faults.RETRY, faults.RESOLVE))
            stage.do(stage.desk.operate(process_id, what))
        return False

    # Orchestrators keep their leases.

    def _beat(self, node: Node) -> None:
        node.tasks.add(self._stage.loop.create_task(self._beats(node)))

    async def _beats(self, node: Node) -> None:
        stage = self._stage
        while True:
            await node.passes()
            if not stage.network.cut(node.name, "log"):
                stage.leases[node.name] = stage.loop.time() + LEASE_SECONDS
            await asyncio.sleep(BEAT_SECONDS)

    def _ahead_us(self) -> int:
        """How wrong the clock of a machine is from its next start on."""
        if self._random.random() < 0.5:
            return 0
        return round((self._random.random() * 2 - 1) * AHEAD_SECONDS_MAX * 1_000_000)

    # People.

    async def _place(self) -> None:
        times = sorted(
            self._random.random() * PLACED_WITHIN_SECONDS for _ in range(self._processes)
        )
        for number, at_seconds in enumerate(times, start=1):
            await asyncio.sleep(max(0.0, at_seconds - self._stage.loop.time()))
            usual = self._random.random() < USUAL_SHARE
            scenario = self._scenarios[0] if usual else self._random.choice(self._scenarios)
            self._stage.note(f"request-{number} is placed: {scenario}")
            self._stage.desk.place(number, self._stage.world.scenarios[scenario])

    async def _people(self) -> None:
        stage = self._stage
        while stage.loop.time() < TROUBLED_SECONDS:
            await asyncio.sleep(self._random.random() * 12)
            rows = stage.log.rows()
            if rows:
                row = self._random.choice(rows)
                what = self._random.choice(("cancel", faults.RETRY, faults.RESOLVE))
                stage.note(f"somebody asks for {row.process_id}: {what}")
                if what == "cancel":
                    stage.do(stage.desk.cancel(row.process_id))
                else:
                    stage.do(stage.desk.operate(row.process_id, what))

    # Machines and networks.

    async def _trouble(self) -> None:
        stage = self._stage
        while stage.loop.time() < TROUBLED_SECONDS:
            await asyncio.sleep(self._random.random() * 4)
            self._one_fault()
        self._dice.troubled = False
        self._dice.slowness = 1.0
        stage.network.cuts.clear()
        for node in stage.nodes:
            stage.go_on(node)
        stage.ahead_us = lambda: 0
        stage.note("all is well again")
        self._over = True

    def _one_fault(self) -> None:
        stage, chance = self._stage, self._random
        standing = stage.standing()
        kinds = ["service", "slow"]
        if standing:
            kinds += ["crash", "crash", "stop", "stop", "cut", "drain"]
        kind = chance.choice(kinds)
        self.faults += 1
        seconds = chance.random() * 15
        services = sorted(stage.service_tasks)
        match kind:
            case "crash":
                stage.crash(chance.choice(standing))
            case "stop":
                node = chance.choice(standing)
                stage.note(f"{node.name} stops for {seconds:.2f} seconds")
                stage.hold(node)
                stage.loop.call_later(seconds, stage.go_on, node)
            case "cut":
                node, other = chance.choice(standing), chance.choice([*services, "log"])
                pair = (node.name, other) if chance.random() < 0.5 else (other, node.name)
                stage.note(f"nothing gets from {pair[0]} to {pair[1]} for {seconds:.2f} seconds")
                stage.network.cuts.add(pair)
                stage.loop.call_later(seconds, stage.network.cuts.discard, pair)
            case "drain":
                node = chance.choice(standing)
                stage.note(f"{node.name} is drained")
                stage.beside(self._drained(node))
            case "service":
                service = chance.choice(services)
                if chance.random() < 0.5:
                    stage.crash_service(service)
                else:
                    stage.note(f"{service} is out for {seconds:.2f} seconds")
                    stage.network.out(service, seconds)
            case _:
                self._dice.slowness = chance.choice((1.0, 1.0, 10.0, 60.0))
                stage.note(f"everything takes {self._dice.slowness} times as long")

    async def _drained(self, node: Node) -> None:
        """As a program that is told to stop does."""
        assert node.runner is not None, "what is drained runs"
        assert node.recovery is not None, "what is drained runs"
        assert node.recovering is not None, "what is drained runs"
        node.leaving = True
        node.recovery.stop()
        await asyncio.wait((node.recovering,))
        if node.dead:
            return
        await node.runner.drain(self._random.random() * 3)
        self._stage.crash(node)
