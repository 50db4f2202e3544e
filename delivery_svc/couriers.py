"""The courier book: who delivers where, how much each can carry, and how much each does.

Invariant: nobody ever has more deliveries than capacity. Rows are read, decided and written in the
transaction that assigns or cancels, each over the version that was read, so two processes with one
book never both give away the last place. It must never be asked outside of that transaction.

Every delivery to a country goes over the same few rows, so processes that only found out when they
write would undo each other's work again and again. They take turns instead: before it reads, a
transaction locks the first courier of each country that it is about, in the order of their ids, and
keeps the others out until it ends. That is for speed alone; the versions are what keeps the book
right, also where somebody edits it by hand. SQLite has one writer at a time, and locks no row.

`CourierBook` is the port. The book that comes with the service is a table of the delivery
database, filled once with made-up couriers for every country but Antarctica.
"""

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import sqlalchemy as sa

from chassis.rows import RowTable
from chassis.statements import Row, Statement
from chassis.validation import country_codes

WITHOUT_COURIERS: Final = frozenset({"AQ"})
PER_COUNTRY: Final = 3

COURIERS: Final = sa.Table(
    "couriers",
    sa.MetaData(),
    sa.Column("courier_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger),
    sa.Column("country_code", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("capacity", sa.BigInteger),
    sa.Column("load", sa.BigInteger),
)
_FILLINGS: Final = sa.Table(
    "courier_book_fillings",
    sa.MetaData(),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("time_us", sa.BigInteger),
)

_FIRST_NAMES: Final = (
    "Ada", "Bela", "Cleo", "Dara", "Emre", "Fina", "Gus", "Hana", "Ivo", "Juno", "Kit", "Lupe",
    "Milo",
)  # fmt: skip
_LAST_NAMES: Final = (
    "Arrow", "Brisk", "Comet", "Dash", "Ferry", "Gallop", "Hurry", "Pace", "Quick", "Sprint",
    "Swift",
)  # fmt: skip


class OpenBook(Protocol):
    """The book, open at the pages that one batch needs."""

    def take(self, country_code: str) -> str | None:
        """The id of the least loaded courier of a country, now with one delivery more; or None."""
        ...

    def free(self, courier_id: str) -> None:
        """The courier has one delivery less."""
        ...

    def close(self, connection: sa.Connection) -> bool:
        """Writes what was taken and freed; whether all of it went over what was read."""
        ...


class CourierBook(Protocol):
    """Where couriers are kept."""

    def open(
        self,
        connection: sa.Connection,
        *,
        countries: Collection[str],
        wanted: Mapping[str, int],
        courier_ids: Collection[str],
    ) -> OpenBook:
        """Reads what a batch can need, once it is this transaction's turn.

        Args:
            connection: In the transaction of the batch.
            countries: Where it takes or frees anybody: nobody else does so until it ends.
            wanted: How many couriers at the most it takes in each country.
            courier_ids: Those that it may free.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """One courier. `load` is how many deliveries they have, at most `capacity`."""

    courier_id: str
    country_code: str
    name: str
    capacity: int
    load: int
    version: int


def _to_row(courier: Courier) -> Row:
    return (
        courier.courier_id,
        courier.version,
        courier.country_code,
        courier.name,
        courier.capacity,
        courier.load,
    )


def _from_row(row: Row) -> Courier:
    courier_id, version, country_code, name, capacity, load = row
    return Courier(
        courier_id=courier_id,
        country_code=country_code,
        name=name,
        capacity=capacity,
        load=load,
        version=version,
    )


class SqlCourierBook:
    """The courier book in the delivery database."""

    def __init__(self) -> None:
        self._table = RowTable(
            COURIERS, key="courier_id", mutable=("load",), to_row=_to_row, from_row=_from_row
        )
        self._least_loaded: Statement | None = None
        self._turns: dict[int, Statement] = {}

    def fill(self, connection: sa.Connection, *, capacity: int, now_us: int) -> bool:
        """Writes the made-up couriers, unless that was done before; whether it was done now."""
        if connection.execute(sa.select(_FILLINGS.c.place)).first() is not None:
            return False
        try:
            # The key lets only one of several processes that start at the same time get past this.
            with connection.begin_nested():
                connection.execute(_FILLINGS.insert().values(place=1, time_us=now_us))
        except sa.exc.IntegrityError:
            return False
        self._table.insert(connection, list(made_up_couriers(capacity)))
        return True

    def open(
        self,
        connection: sa.Connection,
        *,
        countries: Collection[str],
        wanted: Mapping[str, int],
        courier_ids: Collection[str],
    ) -> "OpenSqlBook":
        """Reads the least loaded of each country, as many as are wanted, and those to be freed.

        More are not needed: as long as fewer were taken than were read, one of those read has the
        lowest load of all.
        """
        self._take_turn(connection, sorted(countries))
        couriers = self._table.load(connection, list(courier_ids)) if courier_ids else {}
        if wanted:
            select = self._select(connection)
            for country_code, count in wanted.items():
                for row in select.select(connection, (country_code, count)):
                    couriers[row[0]] = _from_row(row)
        return OpenSqlBook(self._table, couriers)

    def _take_turn(self, connection: sa.Connection, countries: Sequence[str]) -> None:
        """Waits until no other transaction is about these countries, and keeps others waiting.

        What is read afterwards is what they have left.
        """
        if not countries:
            return
        # Few lengths, so few statements: padded to a power of two with one that is asked for.
        count = max(2, 1 << (len(countries) - 1).bit_length())
        padded = [*countries, *[countries[-1]] * (count - len(countries))]
        self._turn(connection, count).select(connection, padded)

    def _turn(self, connection: sa.Connection, count: int) -> Statement:
        if (found := self._turns.get(count)) is None:
            names = [f"country_{place}" for place in range(count)]
            first_of_each = (
                sa.select(sa.func.min(COURIERS.c.courier_id))
                .where(COURIERS.c.country_code.in_([sa.bindparam(name) for name in names]))
                .group_by(COURIERS.c.country_code)
            )
            clause = (
                sa.select(COURIERS.c.courier_id)
                .where(COURIERS.c.courier_id.in_(first_of_each))
                # All in one order: nobody waits for one who waits for them.
                .order_by(COURIERS.c.courier_id)
                .with_for_update()
            )
            found = self._turns[count] = Statement(clause, connection.dialect, names)
        return found

    def _select(self, connection: sa.Connection) -> Statement:
        if self._least_loaded is None:
            clause = (
                sa.select(*COURIERS.c)
                .where(COURIERS.c.country_code == sa.bindparam("country"))
                .where(COURIERS.c.load < COURIERS.c.capacity)
                .order_by(COURIERS.c.load, COURIERS.c.courier_id)
                .limit(sa.bindparam("count", type_=sa.Integer))
            )
            self._least_loaded = Statement(clause, connection.dialect, ("country", "count"))
        return self._least_loaded


class OpenSqlBook:
    """Couriers as one batch finds and leaves them."""

    def __init__(self, table: RowTable[Courier], couriers: Mapping[str, Courier]) -> None:
        self._table = table
        self._read = couriers
        self._load = {courier_id: it.load for courier_id, it in couriers.items()}
        # By country, (load, id) with the least loaded first. An entry whose load is not the
        # courier's any more is passed over.
        self._queues: dict[str, list[tuple[int, str]]] = {}
        for courier in couriers.values():
            self._offer(courier)

    def __len__(self) -> int:
        """How many couriers were read."""
        return len(self._read)

    def take(self, country_code: str) -> str | None:
        """The id of the least loaded courier of a country, now with one delivery more; or None."""
        queue = self._queues.get(country_code, [])
        while queue:
            load, courier_id = heapq.heappop(queue)
            if load == self._load[courier_id]:
                self._load[courier_id] += 1
                self._offer(self._read[courier_id])
                return courier_id
        return None

    def free(self, courier_id: str) -> None:
        """The courier has one delivery less."""
        if courier_id not in self._read:
            return  # taken out of the book since
        self._load[courier_id] -= 1
        assert self._load[courier_id] >= 0, "who is freed was taken"
        self._offer(self._read[courier_id])

    def close(self, connection: sa.Connection) -> bool:
        """Writes what was taken and freed; whether all of it went over what was read."""
        changed = [
            replace(self._read[courier_id], load=load, version=self._read[courier_id].version + 1)
            for courier_id, load in self._load.items()
            if load != self._read[courier_id].load
        ]
        return not changed or self._table.update(connection, changed) == len(changed)

    def _offer(self, courier: Courier) -> None:
        load = self._load[courier.courier_id]
        if load < courier.capacity:
            queue = self._queues.setdefault(courier.country_code, [])
            heapq.heappush(queue, (load, courier.courier_id))


def made_up_couriers(capacity: int) -> Iterator[Courier]:
    """Three couriers for every country of ISO 3166-1 but Antarctica, the same ones every time."""
    place = 0
    for country_code in sorted(country_codes() - WITHOUT_COURIERS):
        for number in range(1, PER_COUNTRY + 1):
            first = _FIRST_NAMES[place % len(_FIRST_NAMES)]
            last = _LAST_NAMES[place % len(_LAST_NAMES)]
            place += 1
            yield Courier(
                courier_id=f"crr_{country_code.lower()}_{number}",
                country_code=country_code,
                name=f"{first} {last}",
                capacity=capacity,
                load=0,
                version=1,
            )
