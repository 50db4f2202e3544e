"""What a database is told, statement by statement, and when it is told to commit.

It is heard where it leaves this program: at SQLite's cursor, and, for a server, in libpq's own
trace of what is sent. So what a driver makes of one call is seen too: an `executemany` is one
statement for SQLite, whatever the rows, and for a server as many as there are rows.
"""

import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import sqlalchemy as sa
from psycopg.pq import Trace

_SENT: Final = re.compile(r"^(?=[FB]\t\d+\t)", re.MULTILINE)
_PARSE: Final = re.compile(r'F\t\d+\tParse\t "(\w*)" "(.*)" \d+', re.DOTALL)
_BIND: Final = re.compile(r'F\t\d+\tBind\t "\w*" "(\w*)"')
_EXECUTE: Final = re.compile(r"F\t\d+\tExecute\t")
_END: Final = re.compile(r"^F\t\d+\t(?:Sync|Query)\b", re.MULTILINE)
_QUERY: Final = re.compile(r'F\t\d+\tQuery\t "(.*)"', re.DOTALL)
# What a statement does first, where it does several things.
_VERB: Final = re.compile(
    r"(?:WITH \w+ AS\s*\()?(?:(INSERT) INTO (\w+)|(UPDATE) (\w+)|(DELETE) FROM (\w+))", re.DOTALL
)
_SELECT: Final = re.compile(r"(SELECT)\b.*?\bFROM (\w+)", re.DOTALL)


class Wire:
    """Hears all that an engine's connections say, from now on."""

    def __init__(self, engine: sa.Engine, folder: Path) -> None:
        self._heard: Callable[[], list[str]]
        self._messages: Callable[[], int]
        if engine.dialect.name == "sqlite":
            said: list[str] = []
            self._heard = lambda: list(said)
            self._messages = lambda: 0
            sa.event.listen(engine, "do_connect", _listening_to(said))
        else:
            trace = folder / f"wire-{id(self)}"
            trace.touch()
            self._heard = lambda: _sent(trace.read_text())
            self._messages = lambda: len(_END.findall(trace.read_text()))
            sa.event.listen(engine, "connect", _tracing_to(trace))
        # Those that are open hear of it by being opened anew.
        engine.dispose()
        self._forgotten = 0
        self._forgotten_messages = 0

    def forget(self) -> None:
        """Nothing was said so far."""
        self._forgotten = len(self._heard())
        self._forgotten_messages = self._messages()

    def messages(self) -> int:
        """How often a server was sent something and waited for, however many statements it was."""
        return self._messages() - self._forgotten_messages

    def statements(self) -> list[str]:
        """Verb and table of each statement, in order."""
        return [_brief(it) for it in self._heard()[self._forgotten :]]

    def transactions(self) -> list[list[str]]:
        """Those that were committed, each from its BEGIN to its COMMIT."""
        found: list[list[str]] = [[]]
        for statement in self.statements():
            found[-1].append(statement)
            if statement == "COMMIT":
                found.append([])
        return found[:-1]


def _brief(statement: str) -> str:
    found = _VERB.match(statement) or _SELECT.match(statement)
    return statement if found is None else " ".join(filter(None, found.groups()))


def _listening_to(said: list[str]) -> Callable[..., None]:
    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *arguments: Any) -> Self:
            said.append(sql)
            super().execute(sql, *arguments)
            return self

        def executemany(self, sql: str, rows: Any, /) -> Self:
            said.append(sql)
            super().executemany(sql, rows)
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, *_: Any) -> Any:
            return super().cursor(Cursor)

        def commit(self) -> None:
            said.append("COMMIT")
            super().commit()

    def connect(_dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
        named["factory"] = Connection

    return connect


def _tracing_to(trace: Path) -> Callable[[Any, Any], None]:
    def connect(connection: Any, _record: Any) -> None:
        # libpq closes it with the connection.
        connection.pgconn.trace(os.open(trace, os.O_WRONLY | os.O_APPEND))
        connection.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)

    return connect


def _sent(trace: str) -> list[str]:
    """The statements that a server was told to run, from libpq's trace."""
    texts: dict[str, str] = {}
    said = []
    bound = ""
    for message in _SENT.split(trace):
        if parse := _PARSE.match(message):
            texts[parse[1]] = parse[2]
        elif bind := _BIND.match(message):
            bound = texts[bind[1]]
        elif _EXECUTE.match(message):
            said.append(bound)
        elif query := _QUERY.match(message):
            said.append(query[1])
    return said
