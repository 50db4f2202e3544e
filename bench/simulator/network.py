"""The network between orchestrators and participants.

Invariant: a request is delivered as often as the network pleases, now or later, and so is the
reply; neither is ever altered. An orchestrator waits for a reply until its deadline and no longer.
Must never: know what a call is about.
"""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Final

from bench.simulator import faults
from bench.simulator.evidence import Called
from bench.simulator.faults import CODES, REJECTIONS, Place
from bench.simulator.node import Node
from bench.simulator.world import Down
from chassis.faults import CODES as FAULT_CODES
from chassis.faults import Fault
from orchestrator.action import ActionCall, ActionReply
from orchestrator.saga.code import Code

if TYPE_CHECKING:
    from bench.simulator.stage import Stage

LATE_SECONDS: Final = 3.0
"""Longer than an attempt lasts: by then the next one is under way."""
_PATIENCE_SECONDS: Final = 30.0
_OUT_SECONDS: Final = {faults.OUT_SHORT: 5.0, faults.OUT_LONG: 100.0}
_UNREACHABLE: Final = ActionReply(code=Code.UNAVAILABLE, reason="SIMULATED_UNREACHABLE")
_TOO_LATE: Final = ActionReply(code=Code.DEADLINE_EXCEEDED)


class Network:
    """Carries calls."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        self._undos = frozenset(
            step.undo for step in stage.world.definition.steps if step.undo is not None
        )
        self._answered: dict[str, int] = {}
        self._done_though_refused: set[tuple[str, str]] = set()
        self._out_until: dict[str, float] = {}
        self.last: list[ActionCall] = []
        """Requests that arrive when everything else is over."""
        self.under_way = 0
        """Requests that arrive later."""
        self.cuts: set[tuple[str, str]] = set()
        """Who does not reach whom."""

    def cut(self, one: str, other: str) -> bool:
        """Whether nothing gets from one to the other."""
        return bool(self.cuts) and (one, other) in self.cuts

    def out(self, service: str, seconds: float) -> None:
        """A service is not to be reached for a while."""
        until = self._stage.loop.time() + seconds
        self._out_until[service] = max(until, self._out_until.get(service, 0.0))

    async def call(self, node: Node, call: ActionCall) -> ActionReply:
        """Makes a call for a node; whatever becomes of it is a reply."""
        stage = self._stage
        if node.dead or node.held is not None:
            await node.passes()
        self._journal(call)
        place = Place.UNDO if call.action in self._undos else Place.CALL
        fault = stage.at(place, call.action)
        latency = stage.scheduler.latency_seconds(place)
        if latency:
            await asyncio.sleep(latency)
            if node.dead or node.held is not None:
                await node.passes()
        service = stage.world.services[call.action]
        if self.cut(node.name, service):
            await asyncio.sleep(call.timeout_seconds)
            return _TOO_LATE
        if fault is not None:
            reply = await self._disturbed(node, call, fault)
        else:
            reply = await self._arrive(call)
        if self.cut(service, node.name):
            await asyncio.sleep(call.timeout_seconds)
            reply = _TOO_LATE
        if node.dead or node.held is not None:
            await node.passes()
        stage.note(f"{call.action} #{call.attempt} answers {reply.code.name} {reply.reason}")
        return reply

    async def _disturbed(  # noqa: C901, PLR0911, PLR0912 - flat: one case for each fault
        self, node: Node, call: ActionCall, fault: str
    ) -> ActionReply:
        stage = self._stage
        coded = CODES.get(fault)
        if coded is not None:
            code, after = coded
            place = (call.process_id, call.action)
            if fault in REJECTIONS and place in self._done_though_refused:
                return await self._arrive(call)
            if after:
                await self._arrive(call)
                if code is Code.RESOURCE_EXHAUSTED:
                    self._done_though_refused.add(place)
            return ActionReply(code=code, reason="SIMULATED")
        match fault:
            case faults.LOST:
                await asyncio.sleep(call.timeout_seconds)
                return _TOO_LATE
            case faults.UNANSWERED:
                await self._arrive(call)
                await asyncio.sleep(call.timeout_seconds)
                return _TOO_LATE
            case faults.LATE:
                self._arrive_in(LATE_SECONDS, call)
                await asyncio.sleep(call.timeout_seconds)
                return _TOO_LATE
            case faults.LAST:
                self.last.append(call)
                await asyncio.sleep(call.timeout_seconds)
                return _TOO_LATE
            case faults.CUT_LAST:
                self.last.append(call)
                return _UNREACHABLE
            case faults.TWICE:
                reply = await self._arrive(call)
                await self._arrive(call)
                return reply
            case faults.TWICE_LAST:
                self.last.append(call)
                return await self._arrive(call)
            case faults.DOWN:
                stage.crash_service(stage.world.services[call.action])
                return _UNREACHABLE
            case faults.OUT_SHORT | faults.OUT_LONG:
                self.out(stage.world.services[call.action], _OUT_SECONDS[fault])
                return _UNREACHABLE
            case faults.CRASH_FLIGHT:
                self.last.append(call)
                await stage.strike(node, fault, call.process_id)
                return _TOO_LATE
            case (
                faults.CRASH_AFTER
                | faults.USURPED_AFTER
                | faults.OVERTAKEN_AFTER
                | faults.CANCEL_AFTER
            ):
                reply = await self._arrive(call)
                await stage.strike(node, fault, call.process_id)
                return reply
            case _:
                await stage.strike(node, fault, call.process_id)
                return await self._arrive(call)

    def deliver_last(self) -> bool:
        """Has what was kept back arrive now, if there is anything."""
        last, self.last = self.last, []
        for call in last:
            self._stage.note(f"{call.action} #{call.attempt} arrives at last")
            self._arrive_in(0.0, call)
        return bool(last)

    def _arrive_in(self, seconds: float, call: ActionCall) -> None:
        async def arrive() -> None:
            await asyncio.sleep(seconds)
            try:
                await self._arrive(call)
            finally:
                self.under_way -= 1

        self.under_way += 1
        self._stage.keep(self._stage.loop.create_task(arrive()))

    async def _arrive(  # noqa: PLR0911 - one question after the other
        self, call: ActionCall
    ) -> ActionReply:
        """The request is with the participant: what it answers, or what the network does."""
        stage = self._stage
        service = stage.world.services[call.action]
        if service in stage.down or self._out_until.get(service, 0.0) > stage.loop.time():
            return _UNREACHABLE
        scripted = stage.scenario.answers.get(call.action)
        if scripted is not None and self._answered.get(call.action, 0) < len(scripted):
            number = self._answered.get(call.action, 0)
            self._answered[call.action] = number + 1
            return ActionReply(code=scripted[number], reason="SCENARIO")
        try:
            reply = stage.participants.serve(call)
        except Down:
            return _UNREACHABLE
        except Fault as fault:
            return reply_of(fault)
        if isinstance(reply, ActionReply):
            return reply
        serving = stage.spawn(service, _awaited(reply))
        if isinstance(reply, Coroutine):
            # One that is cut off before it has begun is over as well.
            serving.add_done_callback(lambda _: reply.close())
        try:
            await asyncio.wait((serving,), timeout=call.timeout_seconds)
        except asyncio.CancelledError:
            # The connection is gone, and with it the handler.
            serving.cancel()
            raise
        if not serving.done():
            serving.cancel()
            return _TOO_LATE
        return _UNREACHABLE if serving.cancelled() else serving.result()

    def _journal(self, call: ActionCall) -> None:
        """Takes down whether the attempt is in the log as its call leaves."""
        intent = f'{{"action":"{call.action}","attempt":{call.attempt}}}'
        row = self._stage.log.row(call.process_id)
        texts = () if row is None else self._stage.log.texts(call.process_id)
        in_log = any(
            kind == "attempt_began" and body == intent for kind, _, body in reversed(texts)
        )
        self._stage.calls.append(Called(call.process_id, call.action, call.attempt, in_log))


async def _awaited(reply: Awaitable[ActionReply]) -> ActionReply:
    try:
        return await reply
    except Down:
        return _UNREACHABLE
    except Fault as fault:
        return reply_of(fault)


def reply_of(fault: Fault) -> ActionReply:
    """What a caller sees of a fault."""
    code = Code(FAULT_CODES[type(fault)].value[0])
    return ActionReply(code=code, reason=fault.reason, message=fault.message)
