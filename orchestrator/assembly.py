"""The orchestrator, put together: log, runner, recovery and the two services.

Invariant: what is put together here is all that runs; whoever holds it starts and drains it, and
then nothing of it runs any more. This module must never open or close what it was given.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chassis.clock import Clock
from chassis.ids import IdSource
from chassis.server import Hosted
from oms.orchestrator.v1 import (
    order_process_admin_service_pb2_grpc,
    order_process_service_pb2_grpc,
)
from orchestrator import admin_servicer, servicer
from orchestrator.action import Action
from orchestrator.admin_servicer import OrderProcessAdminServicer
from orchestrator.admission import Admission
from orchestrator.audit.audit import Audit
from orchestrator.audit.audits import Audits
from orchestrator.audit.books import Books
from orchestrator.feed import Feed
from orchestrator.gate import Gate
from orchestrator.heartbeat import Heartbeat, Replicas
from orchestrator.interventions import Interventions
from orchestrator.order_process import ORDER_PROCESSES
from orchestrator.overheard import Overheard, Revisions
from orchestrator.recovery import LOOK_SECONDS, Recovery
from orchestrator.retention import Purger, Retention, Terms
from orchestrator.runner import NO_GATES, RESIDENT_WAIT_SECONDS, Runner
from orchestrator.saga.definition import Policy, Versions
from orchestrator.saga_log.retirement import Retirement, RetiringLog
from orchestrator.servicer import OrderProcessServicer
from orchestrator.strays import Possessions, Strays

OWNER_PREFIX: Final = "orc"


class SharedLog(Replicas, Possessions, Revisions, Protocol):
    """What a log has that is shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """What is different where several orchestrators share one log."""

    log: SharedLog
    lease_seconds: float

    def heartbeat(self, owner: str, clock: Clock) -> Heartbeat:
        """Of an orchestrator that shares the log."""
        return Heartbeat(
            replicas=self.log, owner=owner, lease_seconds=self.lease_seconds, clock=clock
        )

    def looks(self, owner: str, runner: Runner, clock: Clock) -> tuple[Strays, Overheard]:
        """What an orchestrator that shares the log looks for now and then."""
        return (
            Strays(possessions=self.log, owner=owner, runs=runner.runs, clock=clock),
            Overheard(
                revisions=self.log,
                owner=owner,
                holder=runner,
                clock=clock,
                look_seconds=SHARING.resident_wait_seconds,
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is different where settled processes are not kept for ever."""

    terms: Terms
    purgers: Sequence[Purger]

    def retention(self, retirement: Retirement, clock: Clock) -> Retention:
        """Of an orchestrator that takes leave of processes."""
        return Retention(retirement=retirement, purgers=self.purgers, terms=self.terms, clock=clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How soon it is seen what others did."""

    resident_wait_seconds: float
    """Who waits for longer does so in the log: what others append to it is then seen at once. So
    this is how long a cancel that another replica accepted may wait to be acted on."""
    look_seconds: float
    """How often is looked for what the dead and the draining left."""


ALONE: Final = Pace(resident_wait_seconds=RESIDENT_WAIT_SECONDS, look_seconds=LOOK_SECONDS)
SHARING: Final = Pace(resident_wait_seconds=5.0, look_seconds=0.25)


class Orchestrator:
    """Runs order processes, and serves those who ask about them."""

    # What runs from the start to the drain.
    _recovering: asyncio.Task[None] | None = None
    _beating: asyncio.Task[None] | None = None
    _admitting: asyncio.Task[None] | None = None
    _retaining: asyncio.Task[None] | None = None
    _looking: tuple[asyncio.Task[None], ...] = ()

    def __init__(
        self,
        *,
        log: RetiringLog,
        actions: Mapping[str, Action],
        books: Books,
        clock: Clock,
        ids: IdSource,
        random: Callable[[], float],
        policy: Policy,
        process_deadline_seconds: float,
        return_window_seconds: float,
        in_flight_max: int,
        sharing: Sharing | None = None,
        keeping: Keeping | None = None,
        versions: Versions = ORDER_PROCESSES,
        gates: Mapping[str, Gate] = NO_GATES,
    ) -> None:
        """`actions` are the participants', `gates` stand before them, both by the actions' names.

        Without `sharing` the log is this orchestrator's alone, without `keeping` all is for ever.
        """
        feed, rests = Feed(), Feed()
        pace = ALONE if sharing is None else SHARING
        self._audits = _audits(log, books, clock, policy)
        versions = versions.patient(policy)
        owner = ids.draw(OWNER_PREFIX)
        self.runner: Final = Runner(
            definitions=versions.by_key,
            actions=actions,
            log=log,
            clock=clock,
            random=random,
            owner=owner,
            feed=feed,
            rests=rests,
            resident_wait_seconds=pace.resident_wait_seconds,
            held_undos_max=in_flight_max,
            gates=gates,
        )
        self._heartbeat = None if sharing is None else sharing.heartbeat(owner, clock)
        self._looks = () if sharing is None else sharing.looks(owner, self.runner, clock)
        self.recovery: Final = Recovery(
            log=log,
            runner=self.runner,
            clock=clock,
            owner=owner,
            resident_max=2 * in_flight_max,  # what is recovered comes on top of what is admitted
            look_seconds=pace.look_seconds,
        )
        self._admission = Admission(self.runner, most=in_flight_max, clock=clock)
        self._interventions = Interventions(log=log, feed=feed, clock=clock, wake=self._wake)
        self._servicer = OrderProcessServicer(
            log=log,
            runner=self.runner,
            interventions=self._interventions,
            feed=feed,
            rests=rests,
            clock=clock,
            ids=ids,
            definition=versions.current,
            process_deadline_seconds=process_deadline_seconds,
            return_window_seconds=return_window_seconds,
            admission=self._admission,
        )
        self._admin_servicer = OrderProcessAdminServicer(
            log=log, interventions=self._interventions, audits=self._audits
        )
        self._retention = None if keeping is None else keeping.retention(log.retirement, clock)

    def start(self) -> None:
        """Begins to look for processes that nobody runs, and to say that it is alive."""
        assert self._recovering is None, "it is started once"
        if self._heartbeat is not None:
            self._beating = asyncio.create_task(self._heartbeat.run())
        self._looking = tuple(asyncio.create_task(it.run()) for it in self._looks)
        self._recovering = asyncio.create_task(self.recovery.run())
        self._admitting = asyncio.create_task(self._admission.run())
        if self._retention is not None:
            self._retaining = asyncio.create_task(self._retention.run())

    def hosted(self) -> list[Hosted]:
        """The services, for a server."""
        return [
            Hosted(
                name=servicer.SERVICE,
                add=lambda server: (
                    order_process_service_pb2_grpc.add_OrderProcessServiceServicer_to_server(
                        self._servicer, server
                    )
                ),
            ),
            Hosted(
                name=admin_servicer.SERVICE,
                add=lambda server: (
                    order_process_admin_service_pb2_grpc.add_OrderProcessAdminServiceServicer_to_server(
                        self._admin_servicer, server
                    )
                ),
            ),
        ]

    async def drain(self, grace_seconds: float) -> None:
        """Hands everything over: afterwards nothing runs, and nothing is claimed or admitted.

        Callers that wait are answered with their processes as they are, watches and audits end,
        calls under way may end within the grace, and every process is released. May be called
        again, with less grace, after it was broken off.
        """
        self._servicer.drain()
        self._audits.drain()
        if self._admitting is not None:
            self._admitting.cancel()
            await asyncio.wait((self._admitting,))
        if self._retaining is not None:
            # Wherever it is just now, it is gone on with later.
            self._retaining.cancel()
            await asyncio.wait((self._retaining,))
        if self._recovering is not None:
            self.recovery.stop()
            # Waited for, not awaited: a drain that is broken off does not break it off as well.
            await asyncio.wait((self._recovering,))
        for look in self._looks:
            look.stop()
        if self._looking:
            await asyncio.wait(self._looking)
        await self.runner.drain(grace_seconds)
        await self._interventions.drain()
        if self._beating is not None and self._heartbeat is not None:
            self._heartbeat.stop()
            await asyncio.wait((self._beating,))

    def _wake(self, process_id: str) -> None:
        self.runner.wake(process_id)
        self.recovery.wake()


def _audits(log: RetiringLog, books: Books, clock: Clock, policy: Policy) -> Audits:
    patience = policy.attempt_timeout_seconds
    return Audits(Audit(log=log, books=books, clock=clock, attempt_timeout_seconds=patience), clock)
