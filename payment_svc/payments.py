"""What can be done with payments: each write is a transition, then an ask, then an answer.

Invariant: intent before effect. The gateway is asked only after the transition that wants it has
committed, and a caller hears only what is stored. It must never judge a payment: the domain does,
and what a caller gets after an ask is what the very same request would get if it were repeated.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from chassis.clock import Clock
from chassis.listings import Listing
from chassis.purging import Kept, purge
from payment_svc import domain
from payment_svc.asks import Asks
from payment_svc.domain import Asking, Content, Payment, Refusal, Refused
from payment_svc.forgetting import forget
from payment_svc.gateway import PaymentGateway
from payment_svc.records import PaymentRecords

Transition: TypeAlias = Callable[[Payment | None], Payment]


class Payments:
    """The use cases. Every write can be repeated, and changes nothing the second time."""

    def __init__(
        self,
        records: PaymentRecords,
        clock: Clock,
        gateway: PaymentGateway,
        *,
        random: Callable[[], float],
        gateway_timeout_seconds: float,
    ) -> None:
        self._records = records
        self._clock = clock
        self.asks = Asks(
            gateway=gateway,
            change=records.change,
            read=self._read,
            clock=clock,
            random=random,
            timeout_seconds=gateway_timeout_seconds,
        )

    async def start(self) -> None:
        """Starts the writer."""
        await self._records.start()

    async def drain(self, grace_seconds: float) -> None:
        """Lets the asks under way end within the grace; the others are for the next start."""
        await self.asks.drain(grace_seconds)

    async def close(self) -> None:
        """Gives up the asks under way, writes everything that was asked for, then ends."""
        await self.asks.drain(0.0)
        await self._records.close()

    async def failed(self) -> None:
        """Returns if the writer dies of a defect."""
        await self._records.failed()

    async def create(self, payment_id: str, content: Content) -> Payment:
        """Holds an amount; answers once the gateway has.

        Raises:
            Refused: As `domain.create`.
            faults.Overloaded: Nothing was done.
            faults.Unavailable: The gateway's answer, or the database's, is not known.
        """
        self.asks.admit()
        now_us = self._clock.now_us()
        return await self._write(
            payment_id,
            lambda payment: domain.create(payment, payment_id, content, now_us),
            Asking.HOLD,
        )

    async def confirm(self, payment_id: str) -> Payment:
        """Takes what is held; answers once the gateway has.

        Raises:
            Refused: As `domain.confirm`.
            faults.Overloaded: Nothing was done.
            faults.Unavailable: The gateway's answer, or the database's, is not known.
        """
        self.asks.admit()
        now_us = self._clock.now_us()
        return await self._write(
            payment_id,
            lambda payment: domain.confirm(payment, payment_id, now_us),
            Asking.CAPTURE,
        )

    async def cancel(self, payment_id: str) -> Payment:
        """Gives back what is held or was taken; answers once the gateway has.

        Raises:
            Refused: IN_PROGRESS: the wish is stored, what is being asked has to be known first.
            faults.Unavailable: The gateway's answer, or the database's, is not known.
        """
        now_us = self._clock.now_us()
        payment = await self._write(
            payment_id,
            lambda payment: domain.cancel(payment, payment_id, now_us),
            Asking.RELEASE,
        )
        if payment.asking is not None:
            # Nobody may be waiting for that answer any more: somebody has to fetch it.
            self.asks.nudge(payment_id)
            raise Refused(Refusal.IN_PROGRESS, payment_id)
        return payment

    async def get(self, payment_id: str) -> Payment:
        """One payment as it is.

        Raises:
            Refused: NOT_FOUND.
            faults.Unavailable: The database could not be read.
        """
        payment = await self._read(payment_id)
        if payment is None:
            raise Refused(Refusal.NOT_FOUND, payment_id)
        return payment

    async def purge(self, payment_ids: Sequence[str]) -> list[Kept[Payment]]:
        """Deletes those that are over; what is still there then. The gateway is not asked.

        Raises:
            faults.Overloaded: Some may be deleted.
            faults.Unavailable: Some may be deleted.
        """
        return await purge(payment_ids, lambda it: self._records.remove(it, forget))

    async def list(self, listing: Listing) -> tuple[list[Payment], bool]:
        """A page of payments, newest first, and whether there are more behind it.

        Raises:
            faults.Unavailable: The database could not be read.
        """
        return await self._records.page(listing)

    async def _read(self, payment_id: str) -> Payment | None:
        return await self._records.read(payment_id)

    async def _write(self, payment_id: str, transition: Transition, asking: Asking) -> Payment:
        """Stores a transition; where its question is open then, waits for the answer to it."""
        changed = False

        def observed(before: Payment | None) -> Payment:
            nonlocal changed
            after = transition(before)
            changed = after is not before
            return after

        payment = await self._records.change(payment_id, observed)
        if payment.asking is not asking:
            return payment
        payment = await self.asks.answered(payment, just_stored=changed)
        # As a repeat would be answered: refused, where the answer was a no.
        repeated = transition(payment)
        assert repeated is payment, "once it is answered there is nothing left to change"
        return payment
