"""Which keys of an import file were seen, and where.

Invariant: it remembers every key of a file of any size in bounded memory: what does not fit into
a small cache is in a temporary file that goes away by itself. It must never outlive the import:
the server, not this, knows what was ordered.
"""

import sqlite3
from types import TracebackType
from typing import Self


class SeenKeys:
    """Keys, each with the line it was first seen on."""

    def __init__(self) -> None:
        # The empty name: a database in a file of its own that the system removes; pages
        # are cached up to 8 MiB.
        self._store = sqlite3.connect("", isolation_level=None)
        self._store.execute("PRAGMA cache_size = -8192")
        self._store.execute("PRAGMA journal_mode = OFF")
        self._store.execute("PRAGMA synchronous = OFF")
        self._store.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")

    def remember(self, key: str, line: int) -> int | None:
        """Remembers a key; gives the line it was seen on before, if it was."""
        inserted = self._store.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, line))
        if inserted.rowcount:
            return None
        found = self._store.execute("SELECT line FROM seen WHERE key = ?", (key,)).fetchone()
        return int(found[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.close()
