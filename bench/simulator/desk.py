"""People: those who place orders, those who cancel them, and operators.

Invariant: they ask until they are answered, and what they are told is taken down. Must never: touch
a history but through `Interventions`.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from bench.simulator import faults
from bench.simulator.evidence import Told
from bench.simulator.node import Node, NodeLog
from bench.simulator.world import Scenario
from chassis.faults import Unavailable
from orchestrator.interventions import Intervention
from orchestrator.runner import Runner
from orchestrator.saga.events import JSON, CancelRequested, ResolvedByHand, RetryRequested
from orchestrator.saga.evolve import replay
from orchestrator.saga.state import Phase, SagaState
from orchestrator.saga_log.protocol import ProcessRow, Stale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.simulator.stage import Stage

AGAIN_SECONDS: Final = 0.2


class Desk:
    """Asks for things to be done."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        self._log = NodeLog(stage.log, stage.front, stage)
        self.waiting = 0
        """How many requests have not been answered yet."""
        self.requests: dict[str, str] = {}
        self._drawn = 0

    def place(self, number: int, scenario: Scenario) -> None:
        """Somebody wants a process."""
        self.waiting += 1
        given = scenario.input(number)
        self._stage.keep(self._stage.loop.create_task(self._place(number, given)))

    async def _place(self, number: int, given: "Mapping[str, JSON]") -> None:
        stage = self._stage
        while True:
            nodes = [node for node in stage.standing() if not node.leaving]
            if nodes:
                node = nodes[int(stage.scheduler.fraction() * len(nodes)) % len(nodes)]
                row = await self._accepted(node, f"request-{number}", given)
                if row is not None:
                    self.requests[row.business_key] = row.process_id
                    stage.told.append(Told(row.process_id, "accepted", row.revision))
                    self.waiting -= 1
                    return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _accepted(
        self, node: Node, key: str, given: "Mapping[str, JSON]"
    ) -> ProcessRow | None:
        """The process, if the node answers before it dies."""
        stage = self._stage
        assert isinstance(node.runner, Runner), "the front runs nothing"
        self._drawn += 1
        asking = stage.loop.create_task(
            node.runner.accept(
                process_id=f"prc_{self._drawn:04d}",
                business_key=key,
                fingerprint=key,
                subject="customer",
                definition=stage.world.definition,
                input=given,
                deadline_us=node.clock.now_us() + round(stage.world.deadline_seconds * 1_000_000),
            )
        )
        node.tasks.add(asking)
        await asyncio.wait((asking,))
        node.tasks.discard(asking)
        if asking.cancelled():
            return None
        try:
            row, _ = asking.result()
        except Unavailable:
            return None
        return row

    async def cancel(self, process_id: str) -> None:
        """Somebody cancels a process, and asks until that is answered."""
        while True:
            try:
                if await self._cancelled(process_id or self._any()):
                    return
            except Unavailable:
                await asyncio.sleep(AGAIN_SECONDS)
            except Stale:
                continue

    async def _cancelled(self, process_id: str) -> bool:
        stored = await self._log.load(process_id)
        if stored is None:
            return True
        state = replay(stored.events)
        open_to_it = (state.phase is Phase.RUNNING and state.cancel is None) or (
            state.phase is Phase.COMPLETED
        )
        if open_to_it:
            wish = CancelRequested(
                reason="changed my mind", requested_by="Ada", time_us=self._time_us(state)
            )
            state = await self._append(process_id, state, wish)
        if state.phase is not Phase.PARKED:
            self._stage.told.append(Told(process_id, "cancel", state.revision))
        return True

    async def operate(self, process_id: str, what: str) -> None:
        """An operator deals with a parked process, if it is one."""
        process_id = process_id or self._any()
        try:
            stored = await self._log.load(process_id)
            if stored is None or stored.row.phase is not Phase.PARKED:
                return
            state = replay(stored.events)
            assert state.parking is not None, "what is parked says why"
            time_us = self._time_us(state)
            asked: Intervention
            if what == faults.RETRY or not state.parking.action:
                asked = RetryRequested(reason="well again", requested_by="Grace", time_us=time_us)
            else:
                action = state.parking.action
                # First it is done, then it is said to be.
                self._stage.participants.by_hand(action, process_id)
                asked = ResolvedByHand(
                    action=action, reason="by phone", requested_by="Grace", time_us=time_us
                )
            state = await self._append(process_id, state, asked)
        except (Unavailable, Stale):
            # Operators look again; here whoever comes next does.
            return
        self._stage.told.append(Told(process_id, what, state.revision))

    async def _append(self, process_id: str, state: SagaState, asked: Intervention) -> SagaState:
        front = self._stage.front
        assert front.interventions is not None, "the front takes in what people ask for"
        return await front.interventions.append(process_id, state, asked)

    def _time_us(self, state: SagaState) -> int:
        front = self._stage.front
        assert front.interventions is not None, "the front takes in what people ask for"
        return front.interventions.time_us(state)

    def _any(self) -> str:
        """The process that there is."""
        rows = self._stage.log.rows()
        return rows[0].process_id if rows else ""
