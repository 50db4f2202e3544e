"""How much more a deed may touch on the longer history, and whether it did.

Invariant: what is allowed follows from how deep the indexes are on both, which is measured, and
from how often the deed went down them; and from nothing else that grows. Must never: allow for a
table that is read from end to end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from bench.history.touches import Touches

LUCK: Final = 0.25
LUCK_PAGES: Final = 4
"""Rows lie on a page more or a page less, and a new one finds room here or there. That is a
quarter, or a few pages; what grows with the history grows as many times as that is longer."""

# What is looked for goes down the index and finds nothing, neither there nor in the table.
_NOTHING: Final[Mapping[str, tuple[str, str]]] = {
    "processes_pkey": ("processes", "process_id = 'q'"),
    "processes_business_key_key": ("processes", "business_key = 'zz'"),
    "processes_by_time": ("processes", "create_time_us = 1"),
    "processes_by_phase": ("processes", "phase = 'A' AND create_time_us = 1"),
    "processes_by_subject": ("processes", "subject = 'A' AND create_time_us = 1"),
    "events_pkey": ("events", "process_id = 'q' AND sequence = 1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One deed on both histories."""

    name: str
    short: int
    long: int
    allowed: int
    """More than on the short one."""
    whole: frozenset[str]
    """Tables of the log that the long one had read from end to end."""

    @property
    def holds(self) -> bool:
        """Whether the length of the history costs nothing."""
        return self.long - self.short <= self.allowed and not self.whole


def depths(connection: psycopg.Connection[Any]) -> Mapping[str, int]:
    """How many pages a way down each index is long."""
    found = {}
    connection.execute("SET enable_seqscan = off")
    connection.execute("SET enable_bitmapscan = off")
    for index, (table, nowhere) in _NOTHING.items():
        # The first time the index itself is looked up as well.
        for _ in range(2):
            [[[explained]]] = connection.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT 1 FROM {table}"  # noqa: S608 - our own words
                f" WHERE {nowhere}".encode()
            ).fetchall()
        plan = explained["Plan"]
        assert plan.get("Index Name") == index, f"{nowhere} is looked for in {index}"
        found[index] = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    connection.execute("RESET enable_seqscan")
    connection.execute("RESET enable_bitmapscan")
    return found


def compare(
    short: Mapping[str, Touches],
    long: Mapping[str, Touches],
    *,
    depths_short: Mapping[str, int],
    depths_long: Mapping[str, int],
) -> list[Line]:
    """Deed by deed."""
    deeper = {index: depths_long[index] - depths_short[index] for index in depths_short}
    return [
        Line(
            name=name,
            short=short[name].pages,
            long=touches.pages,
            allowed=_allowed(short[name], touches, deeper),
            whole=frozenset(touches.whole & {"processes", "events"}),
        )
        for name, touches in long.items()
    ]


def _allowed(short: Touches, long: Touches, deeper: Mapping[str, int]) -> int:
    down = sum(count * deeper.get(index, 0) for index, count in long.searches.items())
    for table, rows in long.written.items():
        of_table = sum(more for index, more in deeper.items() if _NOTHING[index][0] == table)
        down += rows * of_table
    return down + max(LUCK_PAGES, round(LUCK * short.pages))
