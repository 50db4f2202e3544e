"""The table behind the sandbox gateway's ledger, and a view of it for whoever audits.

Invariant: rows are only ever added. The key (payment id, kind) is the idempotency key: two writers
that are asked the same at once cannot both write. Nor can two that are asked different things of
one payment: an entry takes the place after those that it was decided on, and a place is taken once.
Who finds it taken reads again, and decides again. It must never update or delete a row.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Final

import sqlalchemy as sa

from chassis.database import open_to_look
from chassis.statements import Insertion, Row, Statement
from payment_svc.domain import Declined, Money, Release
from payment_svc.sandbox.ledger import Balance, Entry, Kind, Misused, Question, balances, enter

LEDGER_ENTRIES: Final = sa.Table(
    "ledger_entries",
    sa.MetaData(),
    sa.Column("payment_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("currency_code", sa.Text),
    sa.Column("minor_units", sa.BigInteger),
    sa.Column("payment_method", sa.Text, nullable=False),
    sa.Column("decline_reason", sa.Text),
    sa.Column("decline_message", sa.Text),
    sa.Column("released", sa.Text, nullable=False),
    sa.Column("time_us", sa.BigInteger, nullable=False),
    # 1 for a payment's first entry. Those of a release that knew no places have none.
    sa.Column("place", sa.BigInteger),
)
# What an entry is read from.
_READ: Final = tuple(it for it in LEDGER_ENTRIES.c if it.name != "place")

# How many payments one SELECT asks for at the most: well below any database's limit on parameters.
_IDS_MAX: Final = 512


class LedgerTable:
    """The ledger's rows, read and added inside somebody else's transaction."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        self._insert = Insertion(LEDGER_ENTRIES, dialect)
        self._selects: dict[int, Statement] = {}

    def apply(
        self, connection: sa.Connection, questions: Sequence[Question]
    ) -> list[Entry | Exception]:
        """Answers a batch of questions; they see each other's entries, in the order they came."""
        ledger = self._load(connection, [question.payment_id for question in questions])
        answers: list[Entry | Exception] = []
        new: list[Row] = []
        for question in questions:
            entries = ledger[question.payment_id]
            try:
                entry = enter(entries, question)
            except Misused as misused:
                answers.append(misused)
                continue
            if entry.kind not in entries:
                entries[entry.kind] = entry
                new.append((*_row_of(entry), len(entries)))
            answers.append(entry)
        if new:
            # In the order of the key: who waits for another's row is not waited for by it.
            self._insert.run(connection, sorted(new, key=itemgetter(0, 1)))
        return answers

    def _load(
        self, connection: sa.Connection, payment_ids: Sequence[str]
    ) -> dict[str, dict[Kind, Entry]]:
        ledger: dict[str, dict[Kind, Entry]] = {payment_id: {} for payment_id in payment_ids}
        ids = list(ledger)
        for begin in range(0, len(ids), _IDS_MAX):
            wanted = ids[begin : begin + _IDS_MAX]
            # Few lengths, so few statements: padded to a power of two with an id that is wanted.
            count = max(2, 1 << (len(wanted) - 1).bit_length())
            padded = (*wanted, *(wanted[-1:] * (count - len(wanted))))
            for row in self._select(count).select(connection, padded):
                entry = _entry_of(row)
                ledger[entry.payment_id][entry.kind] = entry
        return ledger

    def _select(self, count: int) -> Statement:
        if (found := self._selects.get(count)) is None:
            names = [f"id_{place}" for place in range(count)]
            clause = sa.select(*_READ).where(
                LEDGER_ENTRIES.c.payment_id.in_([sa.bindparam(name) for name in names])
            )
            found = self._selects[count] = Statement(clause, self._dialect, names)
        return found


class LedgerView:
    """Reads the ledger, for whoever compares it with the payments. It cannot write.

    It opens the database of a gateway that may be running, in this process or another.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def entries(self, payment_id: str | None = None) -> list[Entry]:
        """What was written down of one payment or of all, the oldest first."""
        clause = sa.select(*_READ).order_by(LEDGER_ENTRIES.c.time_us)
        if payment_id is not None:
            clause = clause.where(LEDGER_ENTRIES.c.payment_id == payment_id)
        with self._engine.connect() as connection:
            return [_entry_of(row) for row in connection.execute(clause)]

    def balances(self) -> dict[str, Balance]:
        """What was held, captured and released, by payment id, in minor units."""
        return balances(self.entries())

    def balance(self, payment_id: str) -> Balance:
        """What was held, captured and released of one payment; zeros if it was never asked for."""
        nothing = Balance(held=0, captured=0, released=0)
        return balances(self.entries(payment_id)).get(payment_id, nothing)


@contextmanager
def open_ledger_view(url: str) -> Iterator[LedgerView]:
    """A view of the ledger at `url`, as OMS_PAYMENT_GATEWAY_DATABASE_URL says it."""
    engine = open_to_look(url, name="gateway")
    try:
        yield LedgerView(engine)
    finally:
        engine.dispose()


def _row_of(entry: Entry) -> Row:
    amount, decline = entry.amount, entry.decline
    return (
        entry.payment_id,
        entry.kind.value,
        None if amount is None else amount.currency_code,
        None if amount is None else amount.minor_units,
        entry.method,
        None if decline is None else decline.reason,
        None if decline is None else decline.message,
        entry.release.value,
        entry.time_us,
    )


def _entry_of(row: Row) -> Entry:
    payment_id, kind, currency, units, method, reason, message, released, time_us = row
    return Entry(
        payment_id=payment_id,
        kind=Kind(kind),
        amount=None if currency is None else Money(currency_code=currency, minor_units=units),
        method=method,
        decline=None if reason is None else Declined(reason=reason, message=message),
        release=Release(released),
        time_us=time_us,
    )
