"""What is looked at: one after the other, through the product's own functions.

Invariant: the deeds are the same on every log, and each finds as much to do on a long history as on
a short one; so where one touches more pages, the history is why. Must never: send SQL that the
product would not, but to find out where a page of a list begins.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from bench.history.fill import BIG, LIVE, SECOND_US, SMALL
from bench.history.touches import Explainer, Touches
from chassis.clock import SystemClock
from orchestrator.feed import Feed
from orchestrator.interventions import Interventions
from orchestrator.order_process import ORDER_PROCESS
from orchestrator.saga.code import Code
from orchestrator.saga.events import AttemptBegan, AttemptEnded, CancelRequested, Completed
from orchestrator.saga.evolve import replay
from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import Append, ListQuery, NewProcess, StoredProcess
from orchestrator.saga_log.sql import SqlSagaLog

ME: Final = "orc_me"
LEASE_SECONDS: Final = 3_600.0
CLAIMED_MAX: Final = 100
PAGE: Final = 50
"""How many processes a page holds; one more is read, to see whether that was all."""
AUDITED: Final = 201
"""How many an audit reads at once."""
KNOWN: Final = {ORDER_PROCESS.name: ORDER_PROCESS.version}

Deed = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A log that was filled: the database, its schema, and when its history ends."""

    url: str
    schema: str
    now_us: int

    @property
    def log_url(self) -> str:
        """As an orchestrator is told."""
        return f"{self.url}?schema={self.schema}"

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of one's own."""
        connection = psycopg.connect(self.url, autocommit=True)
        connection.execute(f'SET search_path TO "{self.schema}"'.encode())
        return connection


async def look_at_all(
    where: Where, explainer: Explainer, *, page_size: int = PAGE
) -> Mapping[str, Touches]:
    """What each deed touched, by its name, in their order."""
    found: dict[str, Touches] = {}
    with explainer.listening():
        with explainer.touches() as found["start-up: open, heartbeat, a claim, next due"]:
            log = await SqlSagaLog.open(where.log_url, newest=KNOWN)
            await log.beat(ME, lease_seconds=LEASE_SECONDS)
            await log.claim(owner=ME, now_us=where.now_us, limit=CLAIMED_MAX)
            await log.next_due_us(ME)
        try:
            lists = _lists(log, where, page_size)
            for name, deed in (*_work(log, where), *lists, *await _orders(log, where)):
                with explainer.touches() as found[name]:
                    await deed()
        finally:
            await log.close()
    return found


def _work(log: SqlSagaLog, where: Where) -> Iterator[tuple[str, Deed]]:
    def claim(limit: int = CLAIMED_MAX) -> Deed:
        return lambda: log.claim(owner=ME, now_us=where.now_us, limit=limit)

    yield "a claim of what the dead left", claim()
    yield "a claim of what is due", claim()
    yield "a claim of the last that is due", claim()
    yield "a claim that finds nothing", claim()
    yield "when the next is due", lambda: log.next_due_us(ME)
    yield "a heartbeat", lambda: log.beat(ME, lease_seconds=LEASE_SECONDS)


def _lists(log: SqlSagaLog, where: Where, page_size: int) -> Iterator[tuple[str, Deed]]:
    def page(**query: Any) -> Deed:  # noqa: ANN401 - what a ListQuery takes
        asked = ListQuery(**{"limit": page_size + 1, **query})
        return lambda: log.list(asked)

    completed, parked = frozenset({Phase.COMPLETED}), frozenset({Phase.PARKED})
    at_rest = frozenset({Phase.COMPLETED, Phase.CANCELLED, Phase.PARKED})
    # Of what is settled, the newest: one began every second.
    began_us = where.now_us - (LIVE.total - LIVE.parked + 3 * page_size) * SECOND_US
    until_us = began_us + 3 * page_size * SECOND_US
    with where.connect() as connection:
        hundredth = _after(connection, 99 * page_size)
        of_completed = _after(connection, 99 * page_size, "phase = 'COMPLETED'")
        of_parked = _after(connection, 2 * page_size, "phase = 'PARKED'")
        of_big = _after(connection, 99 * page_size, f"subject = '{BIG}'")
    yield "list: first page", page()
    yield "list: hundredth page", page(before=hundredth)
    yield "list COMPLETED: first page", page(phases=completed)
    yield "list COMPLETED: hundredth page", page(phases=completed, before=of_completed)
    yield "list PARKED: first page", page(phases=parked)
    yield "list PARKED: third page", page(phases=parked, before=of_parked)
    yield "list three states: first page", page(phases=at_rest)
    yield "list a large customer: first page", page(subject=BIG)
    yield "list a large customer: hundredth page", page(subject=BIG, before=of_big)
    yield "list a small customer", page(subject=SMALL)
    yield "list nobody", page(subject="nobody")
    yield "list since a time", page(create_time_after_us=began_us)
    window = {"limit": AUDITED, "create_time_after_us": began_us}
    yield "audit: a window", page(**window, create_time_before_us=until_us)
    yield (
        "audit: is there anything so old",
        page(limit=1, create_time_after_us=0, create_time_before_us=began_us),
    )


async def _orders(log: SqlSagaLog, where: Where) -> Sequence[tuple[str, Deed]]:
    [delivered] = await log.list(ListQuery(limit=1, phases=frozenset({Phase.COMPLETED})))
    row, now_us = delivered.row, where.now_us
    new = NewProcess(
        process_id=f"prc_{'z' * 26}",
        business_key="a new request",
        fingerprint=row.fingerprint,
        subject=row.subject,
        owner=ME,
        events=delivered.events[:2],
        phase=Phase.RUNNING,
        due_time_us=now_us,
        create_time_us=now_us,
    )
    ended = AttemptEnded(action="create_order", attempt=1, code=Code.OK, time_us=now_us)
    began = AttemptBegan(action="process_payment", attempt=1, time_us=now_us)
    goes_on = Append(
        process_id=new.process_id,
        follows=2,
        events=(ended, began),
        epoch=1,
        phase=Phase.RUNNING,
        due_time_us=now_us,
        time_us=now_us,
    )
    ends = replace(
        goes_on,
        follows=4,
        events=(Completed(time_us=now_us),),
        phase=Phase.COMPLETED,
        due_time_us=None,
    )
    return (
        ("a new order", lambda: log.create(new)),
        ("the same order again", lambda: log.create(replace(new, process_id="prc_other"))),
        ("an append", lambda: log.append(goes_on)),
        ("the append that settles", lambda: log.append(ends)),
        ("load a process", lambda: log.load(row.process_id)),
        ("load what is new of it", lambda: log.load(row.process_id, after=row.revision - 2)),
        ("find by request id", lambda: log.find(row.business_key)),
        ("a cancel of what was delivered", lambda: _cancel(log, row.process_id)),
    )


async def _cancel(log: SqlSagaLog, process_id: str) -> None:
    interventions = Interventions(
        log=log, feed=Feed(), clock=SystemClock(), wake=lambda _process_id: None
    )
    stored = await log.load(process_id)
    assert isinstance(stored, StoredProcess), "it was listed just now"
    state = replay(stored.events)
    wish = CancelRequested(
        reason="changed my mind", requested_by="", time_us=interventions.time_us(state)
    )
    await interventions.append(process_id, state, wish)


def _after(
    connection: psycopg.Connection[Any], skipped: int, those: str = "true"
) -> tuple[int, str]:
    """The key of the last process of the pages before."""
    found = connection.execute(
        f"SELECT create_time_us, process_id FROM processes WHERE {those}"  # noqa: S608 - our own words
        f" ORDER BY create_time_us DESC, process_id DESC OFFSET {skipped - 1} LIMIT 1".encode()
    ).fetchone()
    assert found is not None, "there are as many"
    create_time_us, process_id = found
    return create_time_us, process_id
