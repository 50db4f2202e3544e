"""What an error of a database tells of: trouble that may pass, a contest of writers, or neither.

Invariant: an error is trouble if it is about the database or the way to it, and not about what it
was asked to do. It must never call trouble what the same statement would meet with again.
"""

import sqlite3
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import sqlalchemy


class Kind(StrEnum):
    """What is wrong, by what a person would have to do about it."""

    FULL = "full"
    LOCKED = "locked"
    SLOW = "slow"
    READ_ONLY = "read_only"
    INPUT_OUTPUT = "input_output"
    CANNOT_OPEN = "cannot_open"
    UNREACHABLE = "unreachable"
    DAMAGED = "damaged"
    OTHER = "other"


# The low byte of SQLite's code; the rest of it only says more exactly where.
_SQLITE_KINDS: Final = MappingProxyType(
    {
        sqlite3.SQLITE_FULL: Kind.FULL,
        sqlite3.SQLITE_BUSY: Kind.LOCKED,
        sqlite3.SQLITE_LOCKED: Kind.LOCKED,
        sqlite3.SQLITE_READONLY: Kind.READ_ONLY,
        sqlite3.SQLITE_IOERR: Kind.INPUT_OUTPUT,
        sqlite3.SQLITE_CANTOPEN: Kind.CANNOT_OPEN,
        sqlite3.SQLITE_CORRUPT: Kind.DAMAGED,
        sqlite3.SQLITE_NOTADB: Kind.DAMAGED,
    }
)
_SQLITE_STATEMENT_WRONG: Final = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_RANGE)
# SQLSTATE, from the standard and from PostgreSQL: the whole code first, then its class. What is
# damaged on a server is for its operator; no process of ours is helped by ending for it.
_SQLSTATE_KINDS: Final = MappingProxyType(
    {
        "25006": Kind.READ_ONLY,  # a standby, or a server that was made read-only
        "25P03": Kind.SLOW,  # it stood still in the midst of a transaction
        "53100": Kind.FULL,
        "55P03": Kind.LOCKED,  # lock_timeout
        "57014": Kind.SLOW,  # statement_timeout
        "58030": Kind.INPUT_OUTPUT,
        "XX001": Kind.INPUT_OUTPUT,
        "XX002": Kind.INPUT_OUTPUT,
        "08": Kind.UNREACHABLE,
        "57": Kind.UNREACHABLE,  # it shuts down, starts up, or ended the session
    }
)
# Where two transactions wait for each other, or one has overtaken the other: the one that was
# rolled back for it is run again, and nothing is wrong with the database.
_CONTENDED: Final = frozenset({"40001", "40P01"})
# Where the driver gives no code.
_TEXTS: Final = (
    ("is full", Kind.FULL),
    ("is locked", Kind.LOCKED),
    ("readonly", Kind.READ_ONLY),
    ("disk i/o error", Kind.INPUT_OUTPUT),
    ("unable to open", Kind.CANNOT_OPEN),
    ("malformed", Kind.DAMAGED),
    ("not a database", Kind.DAMAGED),
    # PostgreSQL, of a connection that it does not take.
    ("does not exist", Kind.CANNOT_OPEN),
    ("authentication failed", Kind.CANNOT_OPEN),
    ("no pg_hba.conf entry", Kind.CANNOT_OPEN),
    ("no password supplied", Kind.CANNOT_OPEN),
    ("not permitted to log in", Kind.CANNOT_OPEN),
    ("does not support ssl", Kind.CANNOT_OPEN),
    ("connection option", Kind.CANNOT_OPEN),
    # A name may come to stand for something.
    ("failed to resolve", Kind.UNREACHABLE),
    ("connection", Kind.UNREACHABLE),
)


def kind_of(error: BaseException) -> Kind:
    """What kind of trouble an error of SQLAlchemy or of a driver tells of."""
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _SQLITE_KINDS.get(code & 0xFF, Kind.OTHER)
    if state := _sqlstate(error):
        return _SQLSTATE_KINDS.get(state) or _SQLSTATE_KINDS.get(state[:2], Kind.OTHER)
    text = str(cause).lower()
    return next((kind for part, kind in _TEXTS if part in text), Kind.OTHER)


def is_contended(error: BaseException) -> bool:
    """Whether the transaction lost against another one, and would do well if it were run again."""
    return _sqlstate(error) in _CONTENDED


def is_trouble(error: BaseException) -> bool:
    """Whether `error` is about the database or the way to it, not about what it was asked to do."""
    match error:
        case sqlalchemy.exc.OperationalError(orig=sqlite3.OperationalError() as told):
            # SQLite says "operational" of a table or a function that is not there, too.
            return getattr(told, "sqlite_errorcode", None) not in _SQLITE_STATEMENT_WRONG
        case sqlalchemy.exc.OperationalError() | sqlalchemy.exc.InterfaceError():
            return True
        case sqlalchemy.exc.TimeoutError():  # no connection came free
            return True
        case sqlalchemy.exc.DBAPIError():
            # A bare DatabaseError is what drivers make of a damaged file or a broken connection.
            return (
                error.connection_invalidated
                or type(error) is sqlalchemy.exc.DatabaseError
                or _sqlstate(error) in _SQLSTATE_KINDS
            )
        case _:
            return False


def _sqlstate(error: BaseException) -> str:
    """The five characters by which a server says what is wrong; "" where it says nothing."""
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    state = getattr(cause, "sqlstate", None)
    return state if isinstance(state, str) else ""
