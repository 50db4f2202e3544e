"""The sandbox gateway: the embedded default behind the port, with a ledger of its own.

Invariant: an answer is given only after the entry that it comes from is durable in the ledger. It
must never look at the payment service's records: it plays the outside world, and its ledger is what
the payments are compared with.

The method `pm_sandbox_slow` is the worst that a gateway does to its caller. The money is held at
once, and durably, but nobody learns so before OMS_PAYMENT_SANDBOX_SLOW_SECONDS have passed since it
was *first* asked: a repeat before then, also after a restart, waits for the rest of that time. Only
then the stored answer is given at once. Captures and releases of such a payment are not slow.
"""

import asyncio
from typing import Final, Self

from chassis import faults
from chassis.clock import MICROSECONDS_PER_SECOND, Clock
from chassis.database import Database
from chassis.group_commit import GroupCommit
from payment_svc.domain import Approved, Declined, Money, Release
from payment_svc.gateway import GatewayUnavailable
from payment_svc.sandbox.ledger import METHODS, Entry, Kind, Question
from payment_svc.sandbox.store import LedgerTable

MIGRATIONS: Final = "payment_svc.sandbox.migrations"


class SandboxGateway:
    """A PaymentGateway that moves no money, and writes down what it would have moved."""

    def __init__(self, database: Database, clock: Clock, *, slow_seconds: float) -> None:
        self._database = database
        self._clock = clock
        self._slow_seconds = slow_seconds
        self._ledger: GroupCommit[Question, Entry] = GroupCommit(
            database.engine, LedgerTable(database.engine.dialect).apply, name="gateway"
        )

    @classmethod
    async def open(cls, url: str, clock: Clock, *, slow_seconds: float) -> Self:
        """Opens the ledger at `url` and starts.

        Raises:
            chassis.server.CannotStart: The ledger's database cannot be used as it is.
        """
        database = await asyncio.to_thread(
            Database.open, url, name="gateway", migrations=MIGRATIONS
        )
        gateway = cls(database, clock, slow_seconds=slow_seconds)
        await gateway.start()
        return gateway

    async def start(self) -> None:
        """Starts the ledger's writer."""
        await self._ledger.start()

    @property
    def stores(self) -> tuple[Database, ...]:
        """What the ledger is kept in, to be looked after."""
        return (self._database,)

    async def close(self) -> None:
        """Writes what was asked, and closes the ledger."""
        await self._ledger.close()
        await self._database.close()

    async def failed(self) -> None:
        """Returns if the ledger's writer dies of a defect: then the process should end."""
        await self._ledger.failed()

    def knows(self, method: str) -> bool:
        """Whether it is one of the sandbox's names."""
        return method in METHODS

    async def hold(self, payment_id: str, amount: Money, method: str) -> Approved | Declined:
        """Reserves `amount`."""
        entry = await self._ask(payment_id, Kind.HOLD, amount, method)
        if METHODS[method].slow:
            await self._take_time(entry)
        return entry.decline or Approved()

    async def capture(self, payment_id: str, amount: Money) -> Approved | Declined:
        """Takes what is held."""
        entry = await self._ask(payment_id, Kind.CAPTURE, amount, "")
        return entry.decline or Approved()

    async def release(self, payment_id: str) -> Release:
        """Gives back what is held or was taken; of an id never seen, keeps that it was released."""
        entry = await self._ask(payment_id, Kind.RELEASE, None, "")
        return entry.release

    async def _ask(self, payment_id: str, kind: Kind, amount: Money | None, method: str) -> Entry:
        question = Question(
            payment_id=payment_id,
            kind=kind,
            amount=amount,
            method=method,
            time_us=self._clock.now_us(),
        )
        try:
            return await self._ledger.submit(question)
        except (faults.Unavailable, faults.Overloaded) as fault:
            raise GatewayUnavailable(str(fault)) from fault

    async def _take_time(self, first: Entry) -> None:
        passed = (self._clock.now_us() - first.time_us) / MICROSECONDS_PER_SECOND
        # A wall clock that was set back must not make it slower still.
        await self._clock.sleep(min(self._slow_seconds - passed, self._slow_seconds))
