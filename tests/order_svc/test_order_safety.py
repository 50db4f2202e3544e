"""What keeps orders safe, with and without: without it, its scenario goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import MappingProxyType

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from chassis.database import Database
from chassis.entities import EntityWriter
from chassis.rows import RowTable
from order_svc import domain, store
from order_svc.domain import Content, Event, Order, Refusal, Refused, State
from order_svc.requests import read_create
from tests.chassis.lost_answer import lost_answer
from tests.order_svc.harness.orders import create_request

ID = "ord_1"


def content() -> Content:
    return read_create(create_request(ID))[1]


def create(order: Order | None) -> Order:
    return domain.create(order, ID, content(), 1)


def confirm(order: Order | None) -> Order:
    return domain.confirm(order, ID, 2)


def cancel(order: Order | None) -> Order:
    return domain.cancel(order, ID, 3)


def open_database(url: str) -> Database:
    return Database.open(url, name="order", migrations="order_svc.migrations")


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url)
    yield database
    await database.close()


async def answers(
    database: Database,
    table: RowTable[Order],
    *transitions: Callable[[Order | None], Order],
) -> list[State | Refusal]:
    """What each is answered, one after another."""
    writer = EntityWriter(database.engine, table, name="order")
    await writer.start()
    told: list[State | Refusal] = []
    try:
        for transition in transitions:
            try:
                told.append((await writer.change(ID, transition)).state)
            except Refused as refused:
                told.append(refused.refusal)
    finally:
        await writer.close()
    return told


async def state_of(database: Database) -> State:
    found = await database.read(lambda it: store.table().load(it, [ID]))
    return found[ID].state


def without(
    monkeypatch: pytest.MonkeyPatch, state: State | None, event: Event, target: State | Refusal
) -> None:
    """Takes one move out of the table and puts another there."""
    moves = MappingProxyType({**domain.MOVES, (state, event): target})
    monkeypatch.setattr(domain, "MOVES", moves)


async def test_a_create_that_arrives_after_its_cancel_is_refused(database: Database) -> None:
    told = await answers(database, store.table(), cancel, create, confirm)
    assert [State.CANCELLED, Refusal.ALREADY_CANCELLED, Refusal.ALREADY_CANCELLED] == told
    assert State.CANCELLED is await state_of(database)


async def test_without_the_tombstones_refusal_an_order_comes_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, State.CANCELLED, Event.CREATE, State.PENDING)
    await answers(database, store.table(), create, cancel, create)
    assert State.PENDING is await state_of(database)


class Overtaken(RowTable[Order]):
    """Reads a row, and before it is written another process cancels the order."""

    def __init__(self, before: dict[str, Order]) -> None:
        vars(self).update(vars(store.table()))
        self._before: dict[str, Order] | None = before

    def load(self, connection: sa.Connection, ids: Sequence[str]) -> dict[str, Order]:
        before, self._before = self._before, None
        return super().load(connection, ids) if before is None else before


class Unguarded(Overtaken):
    """Writes over whatever version there is."""

    def update(self, connection: sa.Connection, entities: Sequence[Order]) -> int:
        for it in entities:
            connection.execute(
                sa.text(
                    "UPDATE orders SET state = :state, version = :version WHERE order_id = :id"
                ),
                {"state": it.state.value, "version": it.version, "id": it.order_id},
            )
        return len(entities)


@pytest.mark.parametrize(
    ("table", "told", "left"),
    [
        (Overtaken, [Refusal.ALREADY_CANCELLED], State.CANCELLED),
        # Removes the mechanism: a cancelled order is confirmed.
        (Unguarded, [State.CONFIRMED], State.CONFIRMED),
    ],
)
async def test_a_confirm_that_was_overtaken_by_a_cancel_is_decided_again(
    database: Database, table: type[Overtaken], told: list[State | Refusal], left: State
) -> None:
    await answers(database, store.table(), create)
    before = await database.read(lambda it: store.table().load(it, [ID]))
    await answers(database, store.table(), cancel)
    assert told == await answers(database, table(before), confirm)
    assert left is await state_of(database)


def lose_the_next_answer(database: Database) -> None:
    """The next commit takes effect, but nobody learns of it."""
    real = database.engine.dialect.do_commit
    lost = False

    def commit(connection: PoolProxiedConnection) -> None:
        nonlocal lost
        real(connection)
        if not lost:
            lost = True
            raise lost_answer(connection)

    vars(database.engine.dialect)["do_commit"] = commit


async def test_a_create_whose_commit_was_not_heard_of_is_answered_as_ever(
    database: Database,
) -> None:
    lose_the_next_answer(database)
    assert [State.PENDING] == await answers(database, store.table(), create)


async def test_without_idempotent_moves_a_commit_not_heard_of_is_told_as_a_refusal(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, State.PENDING, Event.CREATE, Refusal.ID_REUSED)
    lose_the_next_answer(database)
    assert [Refusal.ID_REUSED] == await answers(database, store.table(), create)


async def test_two_processes_on_one_database_lose_nothing(database_url: str) -> None:
    databases = [open_database(database_url) for _ in range(2)]
    writers = [EntityWriter(it.engine, store.table(), name="order") for it in databases]
    for writer in writers:
        await writer.start()
    steps = (create, confirm, cancel)
    told = await asyncio.gather(
        *(writer.change(ID, step) for _ in range(20) for step in steps for writer in writers),
        return_exceptions=True,
    )
    for writer in writers:
        await writer.close()
    assert {State.CANCELLED} == {await state_of(it) for it in databases}
    cancelled = [it for it in told if isinstance(it, Order) and it.state is State.CANCELLED]
    assert 40 == len(cancelled)
    assert 1 == len(set(cancelled))
    for database in databases:
        await database.close()
