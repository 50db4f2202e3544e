"""What people do to a process from outside, while somebody may be running it.

Invariant: an intervention is appended by sequence alone, right after the history that it was
decided on; whoever runs the process then misses, looks, and decides again. Once it may be in the
log the process is woken, even if whoever asked has left meanwhile. This module must never decide
whether an intervention is allowed.
"""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import structlog

from chassis.clock import Clock
from orchestrator.feed import Feed
from orchestrator.saga.events import CancelRequested, ResolvedByHand, RetryRequested
from orchestrator.saga.evolve import evolve
from orchestrator.saga.state import SagaState
from orchestrator.saga_log.protocol import Append, SagaLog

Intervention: TypeAlias = CancelRequested | RetryRequested | ResolvedByHand

_NAMES: Final[Mapping[type[Intervention], str]] = MappingProxyType(
    {
        CancelRequested: "cancel_requested",
        RetryRequested: "retry_requested",
        ResolvedByHand: "resolved_by_hand",
    }
)

_log = structlog.get_logger(__name__)


class Interventions:
    """Appends what people ask for, and has the process looked at."""

    def __init__(
        self,
        *,
        log: SagaLog,
        feed: Feed,
        clock: Clock,
        wake: Callable[[str], None],
    ) -> None:
        """`wake` has a process looked at, by whoever runs it or by whoever finds work."""
        self._log = log
        self._feed = feed
        self._clock = clock
        self._wake = wake
        self._under_way: set[asyncio.Task[SagaState]] = set()

    def time_us(self, state: SagaState) -> int:
        """The time of an intervention in this process: now, but not before its history."""
        return max(self._clock.now_us(), state.update_time_us)

    async def append(
        self, process_id: str, state: SagaState, intervention: Intervention
    ) -> SagaState:
        """Appends to a process as it was seen; answers it as it is then.

        Raises:
            Stale: The process has moved on since it was seen.
            faults.Unavailable: The log does not answer; it may have been appended.
        """
        task = asyncio.create_task(self._append(process_id, state, intervention))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Returns once nothing is being appended any more."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _append(
        self, process_id: str, state: SagaState, intervention: Intervention
    ) -> SagaState:
        after = evolve(state, intervention)
        try:
            await self._log.append(
                Append(
                    process_id=process_id,
                    follows=state.revision,
                    events=(intervention,),
                    epoch=None,
                    phase=after.phase,
                    due_time_us=None if after.phase.at_rest else intervention.time_us,
                    time_us=after.update_time_us,
                )
            )
            _log.info(
                _NAMES[type(intervention)],
                process_id=process_id,
                revision=after.revision,
                requested_by=intervention.requested_by,
                reason=intervention.reason,
            )
        finally:
            # Also where it is not known whether it is there: looking once too often does no harm.
            self._wake(process_id)
            self._feed.notify(process_id)
        return after

    def _ended(self, task: asyncio.Task[SagaState]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # Whoever asked may have left: then nobody else takes the exception.
            task.exception()
