"""How an append moves the row of its process on.

Invariant: a row is moved only by a statement that itself names the revision it follows and, for an
owner, the epoch it owns. The events of a step are written along with it or not at all.

Nearly every append is a step: who runs the process, its phase, and since when it is due stay as
they were. PostgreSQL sees for itself that no index has to be told of it. SQLite takes the entry of
a row out of every index that a statement so much as names a column of, and puts another in; so
there steps have a statement of their own, which names none, and what is no step misses it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    not_,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

from chassis.flight import Passenger
from chassis.guarded_update import ANYWAY, Along, GuardedUpdate
from chassis.statements import Row
from orchestrator.saga_log.protocol import Append
from orchestrator.saga_log.tables import EVENTS, PROCESSES

APPEND_GUARDS: Final[tuple[ColumnElement[bool], ...]] = (
    PROCESSES.c.process_id == bindparam("process_id_is"),
    PROCESSES.c.revision == bindparam("revision_is"),
    # An append by sequence alone names no epoch.
    PROCESSES.c.epoch == func.coalesce(bindparam("epoch_is"), PROCESSES.c.epoch),
)
"""What holds of a row that an append may move on. Part of the statement that writes."""

_DISOWNED: Final = bindparam("disown") == literal_column("1")
_IS_RUN_ON: Final[tuple[ColumnElement[bool], ...]] = (
    not_(_DISOWNED),
    PROCESSES.c.owner.is_not(None),
    PROCESSES.c.due_time_us <= bindparam("to_update_time_us"),
    bindparam("to_due_time_us") <= bindparam("to_update_time_us"),
)
"""It was due, and is still due, and somebody runs it: then when it was due stays as it is. So no
index has to be told of the step, and its old entries heap up in none."""

_PLACES: Final[Mapping[str, TypeEngine[Any]]] = {
    "process_id_is": Text(),
    "revision_is": BigInteger(),
    "epoch_is": BigInteger(),
    "to_phase": Text(),
    "to_revision": BigInteger(),
    "disown": BigInteger(),
    "to_due_time_us": BigInteger(),
    "to_update_time_us": BigInteger(),
    "to_end_time_us": BigInteger(),
}
"""What an append is bound by, in the order of `_values`."""
_DISOWN_AT: Final = list(_PLACES).index("disown")


class AppendUpdate:
    """Moves rows of processes on."""

    def __init__(self, dialect: Dialect, guards: Sequence[ColumnElement[bool]]) -> None:
        self._move = GuardedUpdate(
            PROCESSES,
            guards=guards,
            changes={
                "phase": bindparam("to_phase"),
                "revision": bindparam("to_revision"),
                "owner": case((_DISOWNED, None), else_=PROCESSES.c.owner),
                "due_time_us": case(
                    (and_(*_IS_RUN_ON), PROCESSES.c.due_time_us),
                    else_=bindparam("to_due_time_us"),
                ),
                "update_time_us": bindparam("to_update_time_us"),
                "end_time_us": bindparam("to_end_time_us"),
            },
            places=_PLACES,
            dialect=dialect,
            along=EVENTS,
        )
        self._step: GuardedUpdate | None = None
        if dialect.name == "sqlite":
            # What is due has not ended, and does not end in a step.
            self._step = GuardedUpdate(
                PROCESSES,
                guards=(*guards, PROCESSES.c.phase == bindparam("to_phase"), *_IS_RUN_ON),
                changes={
                    "revision": bindparam("to_revision"),
                    "update_time_us": bindparam("to_update_time_us"),
                },
                places=_PLACES,
                dialect=dialect,
            )

    def passenger(
        self, appends: Sequence[Append], events: Along
    ) -> tuple[Passenger, Sequence[str]]:
        """The same as a statement that goes to a server with others; see `hits_of`."""
        return self._move.passenger([_values(append) for append in appends], events)

    def hits(
        self, connection: Connection, appends: Sequence[Append], events: Along = ()
    ) -> Sequence[bool]:
        """Moves the row of each on; for each, whether it was as the append has it.

        `events` are the rows of events that go along.
        """
        rows = [_values(append) for append in appends]
        if self._step is None:
            return self._move.hits(connection, rows, events)
        steps = iter(self._step.hits(connection, [it for it in rows if not it[_DISOWN_AT]]))
        hits = [not row[_DISOWN_AT] and next(steps) for row in rows]
        left = [at for at, is_hit in enumerate(hits) if not is_hit]
        place = {at: place for place, at in enumerate(left)}
        # What a step has hit is no longer in question.
        go = [(place.get(at, ANYWAY), more) for at, more in events]
        moves = iter(self._move.hits(connection, [rows[at] for at in left], go))
        return [is_hit or next(moves) for is_hit in hits]


def _values(append: Append) -> Row:
    """As _PLACES has them."""
    phase, due_time_us, time_us = append.phase, append.due_time_us, append.time_us
    at_rest = phase.at_rest
    assert at_rest == (due_time_us is None), "what is not at rest is due some time"
    return (
        append.process_id,
        append.follows,
        append.epoch,
        str(phase),
        append.follows + len(append.events),
        int(at_rest or append.release),
        due_time_us,
        time_us,
        time_us if at_rest and phase.settled else None,
    )
