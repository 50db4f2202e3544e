"""Where payments are kept, as the rest of the service needs it: a port, and the one on a database.

Invariant: a change is answered once it is committed, and changes of one payment see one another in
order. It must never decide anything about a payment.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from chassis.database import Database
from chassis.entities import EntityWriter, Removal, Transition
from chassis.listings import Listing
from payment_svc import store
from payment_svc.domain import Payment


class PaymentRecords(Protocol):
    """Keeps payments. What it cannot reach is `faults.Unavailable`."""

    async def start(self) -> None:
        """Begins to write."""
        ...

    async def close(self) -> None:
        """Writes everything that was asked for, then ends."""
        ...

    async def failed(self) -> None:
        """Returns if writing has died of a defect."""
        ...

    async def change(self, payment_id: str, transition: Transition[Payment], /) -> Payment:
        """The payment as `transition` made it, once that is committed.

        Raises:
            Exception: What `transition` raised; nothing was written for it.
            faults.Unavailable: It may have been applied.
            faults.Overloaded: It was not taken.
        """
        ...

    async def remove(self, payment_id: str, removal: Removal[Payment], /) -> Payment | None:
        """The payment as `removal` left it, committed. None: there is none any more.

        Raises:
            As `change`.
        """
        ...

    async def read(self, payment_id: str) -> Payment | None:
        """A payment as it is committed. None: there is none."""
        ...

    async def page(self, listing: Listing) -> tuple[list[Payment], bool]:
        """A page of payments, newest first, and whether there are more behind it."""
        ...

    async def half_asked(self, *, due_by_us: int, after: str, limit: int) -> Sequence[str]:
        """Ids, beyond `after`, of payments whose question is due by then and has no answer."""
        ...


class DatabaseRecords:
    """Payments in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = store.table()
        self._writer = EntityWriter(database.engine, self._table, name="payment")

    async def start(self) -> None:
        """Starts the writer."""
        await self._writer.start()

    async def close(self) -> None:
        """Writes everything that was asked for, then ends. The database is closed by its owner."""
        await self._writer.close()

    async def failed(self) -> None:
        """Returns if the writer dies of a defect."""
        await self._writer.failed()

    async def change(self, payment_id: str, transition: Transition[Payment], /) -> Payment:
        """Changes a payment, in one transaction with whatever else is waiting to be written."""
        return await self._writer.change(payment_id, transition)

    async def remove(self, payment_id: str, removal: Removal[Payment], /) -> Payment | None:
        """Deletes a payment, if that is what `removal` makes of it."""
        return await self._writer.remove(payment_id, removal)

    async def read(self, payment_id: str) -> Payment | None:
        """Reads one payment."""
        found = await self._database.read(lambda it: self._table.load(it, [payment_id]))
        return found.get(payment_id)

    async def page(self, listing: Listing) -> tuple[list[Payment], bool]:
        """Reads a page."""
        return await self._database.read(lambda it: store.select_payments(it, listing))

    async def half_asked(self, *, due_by_us: int, after: str, limit: int) -> Sequence[str]:
        """Reads what is half asked."""
        return await self._database.read(
            partial(store.select_half_asked, due_by_us=due_by_us, after=after, limit=limit)
        )
