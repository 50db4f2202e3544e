"""Two order services on one PostgreSQL are asked about one order at the same moment."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import pytest
import pytest_asyncio

from chassis.database import Database
from chassis.entities import EntityWriter
from order_svc import domain, store
from order_svc.domain import Content, Order, Refusal, Refused, State
from order_svc.requests import read_create
from tests.chassis.meeting import meet
from tests.order_svc.harness.orders import create_request

ID = "ord_1"
Step = Callable[[Order | None], Order]

_, CONTENT = read_create(create_request(ID))
OTHER_CONTENT = replace(CONTENT, customer_id="c2")


def creates(content: Content) -> Step:
    return lambda order: domain.create(order, ID, content, 1)


create = creates(CONTENT)


def confirm(order: Order | None) -> Order:
    return domain.confirm(order, ID, 2)


def cancel(order: Order | None) -> Order:
    return domain.cancel(order, ID, 3)


@pytest_asyncio.fixture
async def databases(postgres_url: str) -> AsyncIterator[Sequence[Database]]:
    opened = [
        Database.open(postgres_url, name="order", migrations="order_svc.migrations")
        for _ in range(2)
    ]
    yield opened
    for database in opened:
        await database.close()


async def both_asked(
    databases: Sequence[Database], *steps: Step, before: Sequence[Step] = ()
) -> list[State | Refusal]:
    """What each replica answers to its step: they have read the row when neither has written it."""
    writer = EntityWriter(databases[0].engine, store.table(), name="order")
    await writer.start()
    for step in before:
        await writer.change(ID, step)
    await writer.close()

    barrier = threading.Barrier(len(databases))
    writers = []
    for database in databases:
        table = store.table()
        meet(table, "load", barrier)
        writers.append(EntityWriter(database.engine, table, name="order"))
        await writers[-1].start()
    told = await asyncio.gather(
        *(writer.change(ID, step) for writer, step in zip(writers, steps, strict=True)),
        return_exceptions=True,
    )
    for writer in writers:
        await writer.close()
    answers: list[State | Refusal] = []
    for it in told:
        assert isinstance(it, Order | Refused), it
        answers.append(it.state if isinstance(it, Order) else it.refusal)
    return answers


async def stored(databases: Sequence[Database]) -> Order:
    found = [await it.read(lambda on: store.table().load(on, [ID])) for it in databases]
    assert found[0] == found[1]
    return found[0][ID]


async def test_of_a_create_and_a_cancel_the_cancel_stands(databases: Sequence[Database]) -> None:
    created, cancelled = await both_asked(databases, create, cancel)
    assert State.CANCELLED is cancelled
    assert created in {State.PENDING, Refusal.ALREADY_CANCELLED}
    order = await stored(databases)
    assert State.CANCELLED is order.state
    # A tombstone, or the order that was there for a moment.
    assert (order.content is not None) == (created is State.PENDING)


async def test_two_creates_of_the_same_are_one_order(databases: Sequence[Database]) -> None:
    assert [State.PENDING] * 2 == await both_asked(databases, create, create)
    assert (1, CONTENT) == ((await stored(databases)).version, (await stored(databases)).content)


async def test_of_two_creates_with_other_content_one_is_refused(
    databases: Sequence[Database],
) -> None:
    contents = (CONTENT, OTHER_CONTENT)
    told = await both_asked(databases, *map(creates, contents))
    assert {State.PENDING, Refusal.ID_REUSED} == set(told)
    assert contents[told.index(State.PENDING)] == (await stored(databases)).content


async def test_of_a_confirm_and_a_cancel_the_cancel_stands(databases: Sequence[Database]) -> None:
    confirmed, cancelled = await both_asked(databases, confirm, cancel, before=[create])
    assert State.CANCELLED is cancelled
    assert confirmed in {State.CONFIRMED, Refusal.ALREADY_CANCELLED}
    order = await stored(databases)
    assert State.CANCELLED is order.state
    assert (3 if confirmed is State.CONFIRMED else 2) == order.version


@pytest.mark.parametrize("before", [[], [create], [create, confirm]])
async def test_two_cancels_are_one(databases: Sequence[Database], before: list[Step]) -> None:
    assert [State.CANCELLED] * 2 == await both_asked(databases, cancel, cancel, before=before)
    assert len(before) + 1 == (await stored(databases)).version


async def test_two_confirms_are_one(databases: Sequence[Database]) -> None:
    assert [State.CONFIRMED] * 2 == await both_asked(databases, confirm, confirm, before=[create])
    assert 2 == (await stored(databases)).version
