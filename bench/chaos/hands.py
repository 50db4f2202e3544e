"""Through whose hands each process went: noted by the database itself, beside the product.

Invariant: every change of a process's owner is one move, at the database's own time, in the same
transaction as the change: so a move is there if, and only if, the change is. Must never: be part of
the product: the trigger is the instrument's, and only on a PostgreSQL.
"""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from bench.chaos.databases import connected

_NOTE_MOVES: Final = (
    """
    CREATE TABLE moves (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        process_id text NOT NULL, left_by text, taken_by text, due_time_us bigint,
        time_us bigint NOT NULL DEFAULT (extract(epoch from clock_timestamp()) * 1000000)::bigint
    )
    """,
    """
    CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
        INSERT INTO moves (process_id, left_by, taken_by, due_time_us)
        VALUES (NEW.process_id, OLD.owner, NEW.owner, NEW.due_time_us);
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER note_moves AFTER UPDATE ON processes FOR EACH ROW
    WHEN (OLD.owner IS DISTINCT FROM NEW.owner) EXECUTE FUNCTION note_move()
    """,
)
_MOVES: Final = sa.text(
    "SELECT process_id, left_by, taken_by, due_time_us, time_us FROM moves ORDER BY number"
)
# Of every process how often an attempt was begun, less how often one was ended. Where one that went
# well and what follows from it are one row, they cancel each other out, or that was the last.
_UNANSWERED: Final = sa.text("""
    WITH counted AS (
        SELECT process_id, CASE
            WHEN kind = 'attempt_began' THEN 1
            WHEN kind = 'together' AND body::json -> 1 ->> 0 = 'attempt_began' THEN 0
            ELSE -1
        END AS more
        FROM events WHERE kind IN ('attempt_began', 'attempt_ended', 'together')
    )
    SELECT process_id, sum(more) AS unanswered
    FROM counted GROUP BY process_id HAVING sum(more) <> 0
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A process goes from one owner to another; None: it waits for one, and not before it is due.

    It is at rest where it is not due at all.
    """

    process_id: str
    left_by: str | None
    taken_by: str | None
    due_time_us: int | None
    time_us: int


def note_moves(url: str) -> None:
    """Has the saga log at `url` note every move from now on."""
    with connected(url) as log:
        for statement in _NOTE_MOVES:
            log.exec_driver_sql(statement)


def moves(url: str) -> tuple[Move, ...]:
    """All moves, the earliest first."""
    with connected(url) as log:
        return tuple(
            Move(
                process_id=it.process_id,
                left_by=it.left_by,
                taken_by=it.taken_by,
                due_time_us=it.due_time_us,
                time_us=it.time_us,
            )
            for it in log.execute(_MOVES)
        )


def unanswered(url: str) -> dict[str, int]:
    """How many attempts were begun and never ended, of each process that has any."""
    with connected(url) as log:
        return {it.process_id: int(it.unanswered) for it in log.execute(_UNANSWERED)}
