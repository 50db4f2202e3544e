"""An orchestrator that goes on with histories which end half way, over participants who do it all.

Invariant: runner and recovery are the product's own, time is virtual. Must never: help a process on
in any other way.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

from orchestrator.action import ActionCall, ActionReply
from orchestrator.feed import Feed
from orchestrator.recovery import Recovery
from orchestrator.runner import Runner
from orchestrator.saga.code import Code
from orchestrator.saga.definition import Versions
from orchestrator.saga.evolve import replay
from orchestrator.saga_log.codec import decode
from orchestrator.saga_log.memory import MemorySagaLog, _Record
from orchestrator.saga_log.protocol import StoredProcess
from tests.orchestrator.golden.golden import Golden, Text
from tests.orchestrator.harness.virtual_time import VirtualClock

PATIENCE_SECONDS = 7_200.0


class LoadedLog(MemorySagaLog):
    """A log in which histories were found, each cut off after some event, and owned by nobody."""

    def add(self, golden: Golden, *, length: int) -> str:
        """One history, as far as that; the id it goes by here."""
        texts = list(golden.texts[:length])
        state = replay(decode(*text) for text in texts)
        process_id = f"{golden.row['process_id']}_{length}"
        self._records[process_id] = _Record(
            row=replace(
                golden.process_row,
                process_id=process_id,
                business_key=process_id,
                phase=state.phase,
                revision=length,
                due_time_us=None if state.phase.at_rest else 0,
                end_time_us=state.end_time_us,
            ),
            texts=texts,
        )
        return process_id

    def texts(self, process_id: str) -> list[Text]:
        return self._records[process_id].texts

    @property
    def unsettled(self) -> Collection[str]:
        return [it for it, record in self._records.items() if not record.row.phase.at_rest]


async def _does_it(call: ActionCall) -> ActionReply:
    results: Mapping[str, Mapping[str, object]] = {
        "create_order": {"total": call.input["total"]},
        "process_delivery": {"courier_id": "courier-NL"},
    }
    return ActionReply(code=Code.OK, result=results.get(call.action))  # type: ignore[arg-type]


async def recover(log: LoadedLog, versions: Versions) -> None:
    """Runs whatever is in the log until it is settled or parked."""
    clock = VirtualClock()
    runner = Runner(
        definitions=versions.by_key,
        actions={
            action: _does_it for definition in versions.known for action in definition.actions()
        },
        log=log,
        clock=clock,
        random=lambda: 0.75,
        owner="the next release",
        feed=Feed(),
    )
    recovery = Recovery(log=log, runner=runner, clock=clock, owner="the next release")
    recovering = asyncio.create_task(recovery.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while log.unsettled:
            await clock.sleep(0.25)
    recovery.stop()
    await recovering
    await runner.drain(0.0)


async def stored(log: LoadedLog, process_id: str) -> StoredProcess:
    found = await log.load(process_id)
    assert found is not None
    return found
