"""What of a batch goes to a PostgreSQL in one message: all that is created, and all that moves on.

Invariant: whether a key is that of a retired process is looked at in a statement that begins when
the rows of that key have been added. Adding one may wait for a transaction that retires another of
the same key, and a statement that began before would not see where that one went. From then on the
key is taken, and nobody can retire a process of it.

A row and its first events are added in one statement, so a key that is taken leaves no trace. This
module must never begin, commit or roll back a transaction, but for the BEGIN that goes along.
"""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from chassis.flight import Boarding, Passenger, fly
from chassis.guarded_update import Along, hits_of
from chassis.record import record
from chassis.statements import ROWS, Row, sent_rows, to_json
from orchestrator.saga_log.protocol import Append
from orchestrator.saga_log.sql_appends import AppendUpdate
from orchestrator.saga_log.tables import EVENTS, PROCESSES, RETIRED

_EVENTS: Final = "events"
_KEYS: Final = "keys"


@record
class Flown:
    """What became of a batch."""

    created: frozenset[str]
    """The ids of those that were added."""
    retired: frozenset[str]
    """The keys that are those of retired processes."""
    hits: Sequence[bool]
    """For each append, whether its row was as the append has it."""


class LogFlight:
    """Adds and moves rows of processes, with their events."""

    def __init__(self, append: AppendUpdate) -> None:
        self._append = append
        self._create = Passenger(_creation(), [ROWS, _EVENTS])
        self._look = Passenger(_look(), [_KEYS])

    def run(
        self,
        connection: sa.Connection,
        creates: Sequence[tuple[Row, Sequence[Row]]],
        appends: Sequence[Append],
        events: Along,
    ) -> Flown:
        """Adds and moves.

        Args:
            connection: Of a server.
            creates: Rows of processes, each of a key of its own, with their events.
            appends: What moves on.
            events: What goes along with the appends.

        Raises:
            sqlalchemy.exc.IntegrityError: An id, or an event, is there already.
        """
        boarding: list[tuple[Passenger, Sequence[str]]] = []
        if creates:
            boarding += self._creates(creates)
        if appends:
            boarding.append(self._append.passenger(appends, events))
        landed = list(fly(connection, boarding))
        return Flown(
            hits=hits_of(landed.pop(), len(appends)) if appends else (),
            created=frozenset(str(it) for (it,) in landed[0]) if creates else frozenset(),
            retired=frozenset(str(it) for (it,) in landed[1]) if creates else frozenset(),
        )

    def _creates(self, creates: Sequence[tuple[Row, Sequence[Row]]]) -> Boarding:
        """What adds them, and then looks."""
        rows = to_json([row for row, _ in creates])
        events = to_json([event for _, events in creates for event in events])
        keys = to_json([(row[_KEY_PLACE],) for row, _ in creates])
        return (self._create, (rows, events)), (self._look, (keys,))


_KEY_PLACE: Final = PROCESSES.c.keys().index(PROCESSES.c.business_key.name)


def _creation() -> sa.Select[tuple[str]]:
    """Adds rows whose key is free, and the events of those; the ids of those.

    Where another transaction is about to write that key, it is waited for.
    """
    columns = {it.name: it.type for it in PROCESSES.c}
    created = (
        postgresql.insert(PROCESSES)
        .from_select(list(columns), sent_rows(columns))
        .on_conflict_do_nothing(index_elements=[PROCESSES.c.business_key])
        .returning(PROCESSES.c.process_id)
        .cte("created")
    )
    columns = {it.name: it.type for it in EVENTS.c}
    sent = sent_rows(columns, parameter=_EVENTS).subquery("sent")
    # IS TRUE: so it is a look for each event, and no join, whose way the server would choose.
    is_new = sent.c.process_id.in_(sa.select(created.c.process_id)).is_(sa.true())
    begun = EVENTS.insert().from_select(list(columns), sa.select(sent).where(is_new)).cte("begun")
    return sa.select(created.c.process_id).add_cte(begun)


def _look() -> sa.Select[tuple[str]]:
    """Which keys are those of retired processes: for each a look along the index, and no join."""
    sent = sent_rows({"key": sa.Text()}, parameter=_KEYS).subquery("sent")
    there = (
        sa.select(RETIRED.c.business_key)
        .where(RETIRED.c.business_key == sent.c.key)
        .scalar_subquery()
    )
    return sa.select(sent.c.key).where(there.is_not(None))
