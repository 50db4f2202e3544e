"""A log filled by the server itself: `INSERT … SELECT … FROM generate_series`.

Invariant: the rows are such as the product would have written, a process a second, the events of
those that ran together mixed as they would be; so a history of any length is made in a few
statements, and two of different length differ in nothing else. Must never: create a table that
stays.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Any, Final

import psycopg

from bench.history import shapes
from bench.history.shapes import Shape

CHUNK: Final = 50_000
"""How many processes one statement makes."""
TOGETHER: Final = 50
"""How many run at the same time: so widely are the events of one strewn."""
SECOND_US: Final = 1_000_000
BIG: Final = "cus_marketplace"
"""A customer with more than half of all processes."""
SMALL: Final = "cus_0"
"""One of many with a few each."""
ALIVE: Final = ("orc_alive_1", "orc_alive_2")
DEAD: Final = "orc_dead"

_LATER_US: Final = 3_600 * SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What is not settled: how many of each kind."""

    run: int
    """By somebody who is alive."""
    left: int
    """By the dead."""
    due: int
    """Given back, and due."""
    waiting: int
    """Given back, and due some time."""
    parked: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.run + self.left + self.due + self.waiting + self.parked


LIVE: Final = Live(run=1_000, left=200, due=150, waiting=500, parked=150)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A part of the history. Which shape, whose and when due are SQL over the number `i`."""

    shape: str
    first: int
    count: int
    owner: str = "NULL"
    due: str = "NULL"


def fill(
    connection: psycopg.Connection[Any],
    *,
    settled: int,
    now_us: int,
    live: Live = LIVE,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Fills an empty log with that many settled processes, and then with what is not settled.

    The last one of all began a second before `now_us`.
    """
    begin_us = now_us - (settled + live.total) * SECOND_US
    # Each event names a process that the same statement has just made; looking for each would take
    # longer than all the rest.
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET work_mem = '256MB'")
    _hold(connection, shapes.shapes().values())
    places = (
        *_parked(live),
        *_settled(live.parked, settled),
        *_live(live, first=live.parked + settled, now_us=now_us),
    )
    for place in places:
        _make(connection, place, begin_us=begin_us, settled_until=live.parked + settled)
        if place.count == CHUNK:
            say(f"{place.first - live.parked + CHUNK:,} of {settled:,} processes")
    for owner in ALIVE:
        connection.execute(
            "INSERT INTO replicas (owner, begin_time_us, expire_time_us) VALUES (%s, %s, %s)",
            (owner, now_us, now_us + 24 * _LATER_US),
        )
    connection.execute("DROP TABLE shapes, shape_texts")
    connection.execute("RESET work_mem")
    connection.execute("SET session_replication_role = origin")


def _parked(live: Live) -> Iterator[Place]:
    """They are the oldest: whoever lists them must not walk past all that came later."""
    yield Place(shape="'parked'", first=0, count=live.parked)


def _settled(begin: int, count: int) -> Iterator[Place]:
    """Of ten, eight are delivered, one late, one is undone."""
    mixed = "CASE i % 10 WHEN 8 THEN 'delivered late' WHEN 9 THEN 'undone' ELSE 'delivered' END"
    for done in range(0, count, CHUNK):
        yield Place(shape=mixed, first=begin + done, count=min(CHUNK, count - done))


def _live(live: Live, *, first: int, now_us: int) -> Iterator[Place]:
    some = f"'{ALIVE[0]}', '{ALIVE[1]}'"
    begun = "{begin} + i * 1000000"
    parts = (
        ("'under way'", live.run, f"(ARRAY[{some}])[1 + i % 2]", begun),
        ("'under way'", live.left, f"'{DEAD}'", begun),
        ("'under way'", live.due, "NULL", begun),
        ("'under way'", live.waiting, "NULL", f"{now_us + _LATER_US} + i * 1000000"),
    )
    for shape, count, owner, due in parts:
        yield Place(shape=shape, first=first, count=count, owner=owner, due=due)
        first += count


def _hold(connection: psycopg.Connection[Any], every: Iterable[Shape]) -> None:
    connection.execute(
        "CREATE TEMPORARY TABLE shapes"
        " (shape text, phase text, revision bigint, length_us bigint, settled boolean)"
    )
    connection.execute(
        "CREATE TEMPORARY TABLE shape_texts"
        " (shape text, sequence bigint, kind text, offset_us bigint, body text)"
    )
    with connection.cursor() as cursor:
        for it in every:
            cursor.execute(
                "INSERT INTO shapes VALUES (%s, %s, %s, %s, %s)",
                (it.name, it.phase.value, it.revision, it.length_us, it.phase.settled),
            )
            cursor.executemany(
                "INSERT INTO shape_texts VALUES (%s, %s, %s, %s, %s)",
                [(it.name, *astuple(text)) for text in it.texts],
            )


def _make(
    connection: psycopg.Connection[Any], place: Place, *, begin_us: int, settled_until: int
) -> None:
    words = {
        "first": place.first,
        "last": place.first + place.count - 1,
        "begin": begin_us,
        "shape": place.shape,
        "owner": place.owner,
        "due": place.due.format(begin=begin_us),
        "big": BIG,
        "settled_until": settled_until,
        "customers": max(1, settled_until // 50),
        "together": TOGETHER,
        "patience": shapes.PATIENCE_US,
        "suffix_mark": shapes.SUFFIX,
        "subject_mark": shapes.SUBJECT,
        "deadline_mark": shapes.DEADLINE_US,
        "not_before_mark": shapes.NOT_BEFORE_US,
    }
    connection.execute(_PROCESSES.format(**words).encode())
    connection.execute(_EVENTS.format(**words).encode())


# A suffix is 26 characters of the ids' alphabet, and sorts as the times do.
_NUMBERED: Final = """
WITH numbered AS (
    SELECT i,
           {begin} + i * 1000000 AS begun,
           lpad(to_hex(({begin} + i * 1000000) / 1000), 12, '0') || substr(md5(i::text), 1, 14)
               AS suffix,
           CASE WHEN i % 5 < 3 OR {settled_until} <= i THEN '{big}'
                ELSE 'cus_' || ((i / 5 * 7919) % {customers})
           END AS subject,
           {shape} AS shape
      FROM generate_series({first}::bigint, {last}) AS i
)
"""
_PROCESSES: Final = f"""
INSERT INTO processes (process_id, business_key, fingerprint, subject, definition,
                       definition_version, phase, revision, epoch, owner, due_time_us,
                       create_time_us, update_time_us, end_time_us)
{_NUMBERED}
SELECT 'prc_' || suffix, md5('request ' || i), encode(sha256(i::text::bytea), 'hex'), subject,
       'order_process', 1, phase, revision, 1, {{owner}}, {{due}}, begun, begun + length_us,
       CASE WHEN settled THEN begun + length_us END
  FROM numbered JOIN shapes USING (shape)
 ORDER BY i
"""  # noqa: S608 - our own words
_EVENTS: Final = f"""
INSERT INTO events (process_id, sequence, kind, time_us, body)
{_NUMBERED}
SELECT 'prc_' || suffix, sequence, kind, begun + offset_us,
       replace(replace(replace(replace(body, '{{suffix_mark}}', suffix),
                               '{{subject_mark}}', subject),
                       '{{deadline_mark}}', (begun + {{patience}})::text),
               '{{not_before_mark}}', (begun + offset_us)::text)
  FROM numbered JOIN shape_texts USING (shape)
 ORDER BY i / {{together}}, sequence, i
"""  # noqa: S608 - our own words
