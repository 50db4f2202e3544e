"""What feeds the runner with processes that nobody runs: a loop that never ends.

Invariant: every process that is neither settled nor parked is run by somebody, or is claimed here
when it falls due, after a crash as after a long wait. No process and no outage of the log ends the
loop. Must never: claim more than the runner has room for.
"""

from typing import Final

import structlog

from chassis import faults
from chassis.clock import Clock
from orchestrator.alarm import Alarm
from orchestrator.runner import Runner
from orchestrator.saga.evolve import IllegalMove
from orchestrator.saga.retry import MICROSECONDS_PER_SECOND, microseconds
from orchestrator.saga_log.protocol import ProcessRow, SagaLog, StoredProcess

BATCH_MAX: Final = 100
ROUND_MAX: Final = 1_000
"""How many processes are claimed before anything else gets a turn."""
LOOK_SECONDS: Final = 1.0
PAUSE_SECONDS_MIN: Final = 0.01
UNREADABLE_SECONDS: Final = 60.0
"""How long a process that cannot be read is left alone, between two complaints about it."""

_log = structlog.get_logger(__name__)


class Recovery:
    """Claims what is due or orphaned, and hands it to the runner."""

    def __init__(
        self,
        *,
        log: SagaLog,
        runner: Runner,
        clock: Clock,
        owner: str,
        resident_max: int = 20_000,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`resident_max` is more than is admitted from outside: so new work never starves old.

        Those whose undo is held come on top of it, or they would starve what does not need them.

        `look_seconds` is how often it looks, where nothing is known to be due before.
        """
        self._log = log
        self._runner = runner
        self._clock = clock
        self._owner = owner
        self._resident_max = resident_max
        self._look_seconds = look_seconds
        self._alarm = Alarm(clock)
        self._stopping = False
        self._out_of_order = False
        self._set_aside: dict[str, ProcessRow] = {}

    def wake(self) -> None:
        """Has it look now: something was released, or is due."""
        self._alarm.ring()

    def stop(self) -> None:
        """Has `run` return, once what it has claimed is in the runner's hands."""
        self._stopping = True
        self._alarm.ring()

    async def run(self) -> None:
        """Claims and launches until it is stopped."""
        while not self._stopping:
            await self._alarm.sleep(await self._look())

    async def _look(self) -> float:
        """One round, whatever comes in its way.

        Returns:
            How long to pause, in seconds.
        """
        try:
            pause_seconds = await self._round()
        except (faults.Unavailable, faults.Overloaded) as fault:
            if not self._out_of_order:
                _log.error("recovery_cannot_reach_the_log", reason=fault.reason)
            self._out_of_order = True
            return LOOK_SECONDS
        except Exception:  # noqa: BLE001 - whatever it is, the loop goes on
            _log.exception("recovery_failed")
            return LOOK_SECONDS
        if self._out_of_order:
            _log.info("recovery_reaches_the_log")
        self._out_of_order = False
        return pause_seconds

    async def _round(self) -> float:
        await self._give_back()
        claimed_in_all = 0
        while not self._stopping and claimed_in_all < ROUND_MAX:
            room = min(BATCH_MAX, self._resident_max - self._runner.at_work)
            if room <= 0:
                return self._look_seconds
            # Nearly always there is nothing: to find that out costs a third of a claim.
            if (pause_seconds := await self._seconds_until_due()) > 0:
                return pause_seconds
            claimed = await self._log.claim(
                owner=self._owner, now_us=self._clock.now_us(), limit=room
            )
            for stored in claimed:
                self._launch(stored)
            await self._give_back()
            if len(claimed) < room:
                # What is due and was not claimed is somebody else's just now.
                return max(PAUSE_SECONDS_MIN, await self._seconds_until_due())
            claimed_in_all += len(claimed)
        return PAUSE_SECONDS_MIN

    async def _seconds_until_due(self) -> float:
        """How long nothing is to be claimed, as far as is known. 0: something is."""
        due_us = await self._log.next_due_us(self._owner)
        if due_us is None:
            return self._look_seconds
        seconds = (due_us - self._clock.now_us()) / MICROSECONDS_PER_SECOND
        return max(0.0, min(seconds, self._look_seconds))

    def _launch(self, stored: StoredProcess) -> None:
        try:
            if not stored.unreadable:
                self._runner.launch(stored)
                return
            why = stored.unreadable
        except IllegalMove as illegal:
            why = str(illegal)
        _log.error("process_unreadable", process_id=stored.row.process_id, why=why)
        self._set_aside[stored.row.process_id] = stored.row

    async def _give_back(self) -> None:
        """Gives back what cannot be read: a later release may read it."""
        for row in list(self._set_aside.values()):
            await self._log.release(
                process_id=row.process_id,
                epoch=row.epoch,
                due_time_us=self._clock.now_us() + microseconds(UNREADABLE_SECONDS),
            )
            del self._set_aside[row.process_id]
