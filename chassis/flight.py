"""Statements that a PostgreSQL is sent in one message, and waited for once.

Invariant: each of them begins when the one before has ended, so at READ COMMITTED it sees what was
committed until then; and where one fails, those behind it are not run. BEGIN goes along where no
transaction is begun, so it ends as it always does: whoever commits has seen every answer. Values
are always bound, never written into SQL. Must never: be run twice, or leave a connection from
which not every answer was read.

A message is a wait, and a wait is a turn for whoever else wants the processor: that costs more than
most statements. This is libpq's pipeline mode, through psycopg's own wrapping of libpq: psycopg's
pipelines do the same, and cost more than they spare.
"""

import contextlib
import select
from collections.abc import Sequence
from itertools import count
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.compiler import SQLCompiler

from chassis.statements import begin, driver_errors

Boarding: TypeAlias = "Sequence[tuple[Passenger, Sequence[str]]]"
"""Statements in their order, each with its texts."""
Landed: TypeAlias = Sequence[Sequence[str | None]]
"""The rows that a statement came to, each value as the server spells it."""

_numbers = count()
_SESSION: Final = "chassis.flight"
_NOT_PREPARED: Final = b"26000"


class Passenger:
    """A statement that is bound by texts. Made once, and run often."""

    def __init__(self, clause: sa.ClauseElement, places: Sequence[str] = ()) -> None:
        """`places` names the parameter that each place of the values is for."""
        self.number = next(_numbers)
        dialect = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
        compiled = clause.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        # What the compiler itself binds, such as a number that is added.
        own = [name for name in compiled.params if name not in places]
        assert all(isinstance(compiled.params[name], int) for name in own), own
        self._constants = [str(compiled.params[name]) for name in own]
        every = [*places, *own]
        self._picked = [every.index(name) for name in compiled.positiontup or ()]
        self.text = compiled.string

    def bind(self, texts: Sequence[str], encoding: str) -> Sequence[bytes]:
        """The parameters as libpq takes them."""
        every = (*texts, *self._constants)
        return [every[place].encode(encoding) for place in self._picked]


_BEGIN: Final = Passenger(sa.text("BEGIN"))
_ROLLBACK: Final = Passenger(sa.text("ROLLBACK"))


class _Session:
    """Under which names a session has prepared what it was sent.

    Where psycopg rolls back, it may have the server forget all that was prepared, and that is ours,
    too. What is prepared anew then has another name: nobody knows whether the old one is taken.
    """

    def __init__(self) -> None:
        self.names: dict[Passenger, bytes] = {}
        self._times = 0

    def name(self, passenger: Passenger) -> bytes:
        """The name for one that is not prepared."""
        return f"flight_{passenger.number}_{self._times}".encode()

    def forget(self) -> None:
        """Nothing is prepared."""
        self.names.clear()
        self._times += 1


def fly(connection: sa.Connection, passengers: Boarding) -> Sequence[Landed]:
    """Runs statements; what each came to.

    Raises:
        sqlalchemy.exc.DBAPIError: What the first that failed came to. The transaction is then to be
            rolled back.
    """
    assert connection.dialect.name == "postgresql", "asked of a server"
    assert passengers, "there is something to run"
    begin(connection)
    with driver_errors(connection, "; ".join(it.text for it, _ in passengers)):
        return _Flight(connection).run(passengers)


class _Flight:
    """One of them, on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        driver: Any = connection.connection.driver_connection
        self.driver: Final = driver
        # psycopg and its `pq`, without a need for it where there is only SQLite.
        self._dbapi: Any = connection.dialect.loaded_dbapi
        self._libpq: Any = driver.pgconn
        self._encoding: str = driver.info.encoding
        self._session: _Session = connection.info.setdefault(_SESSION, _Session())

    def run(self, passengers: Boarding) -> Sequence[Landed]:
        status = self._dbapi.pq.TransactionStatus
        # What cannot be bound fails here, where nothing is sent.
        bound = [(it, it.bind(texts, self._encoding)) for it, texts in passengers]
        begins = self._libpq.transaction_status == status.IDLE
        if begins:
            bound.insert(0, (_BEGIN, ()))
        answers = self._exchange(bound)
        if self._forgotten(answers):
            self._session.forget()
            if begins:
                # Nothing but what was sent here is in the transaction, and that is taken back.
                if self._libpq.transaction_status != status.IDLE:
                    bound.insert(0, (_ROLLBACK, ()))
                answers = self._exchange(bound)
        for answer in answers:
            if answer.status == self._dbapi.pq.ExecStatus.FATAL_ERROR:
                raise self._dbapi.errors.error_from_result(answer, encoding=self._encoding)
        return [self._landed(answer) for answer in answers[-len(passengers) :]]

    def _exchange(self, bound: Sequence[tuple[Passenger, Sequence[bytes]]]) -> Sequence[Any]:
        """Sends them; what they were answered, or the errors."""
        read_all = False
        try:
            self._libpq.enter_pipeline_mode()
            answers = self._answers(self._send(bound))
            self._libpq.exit_pipeline_mode()
            read_all = True
        finally:
            if not read_all:
                # What comes next on it would be taken for the answer to something else.
                with contextlib.suppress(self._dbapi.Error):
                    self._libpq.finish()
        return answers

    def _forgotten(self, answers: Sequence[Any]) -> bool:
        """Whether the server does not know what it was to run."""
        pq = self._dbapi.pq
        return any(
            answer.status == pq.ExecStatus.FATAL_ERROR
            and answer.error_field(pq.DiagnosticField.SQLSTATE) == _NOT_PREPARED
            for answer in answers
        )

    def _send(
        self, bound: Sequence[tuple[Passenger, Sequence[bytes]]]
    ) -> Sequence[tuple[Passenger, bytes] | None]:
        """Sends them; for each answer that will come, what it prepares, or None if it is a run."""
        names = dict(self._session.names)
        sent: list[tuple[Passenger, bytes] | None] = []
        for passenger, values in bound:
            name = names.get(passenger)
            if name is None:
                name = names[passenger] = self._session.name(passenger)
                self._libpq.send_prepare(name, passenger.text.encode(self._encoding))
                sent.append((passenger, name))
            self._libpq.send_query_prepared(name, values)
            sent.append(None)
        self._libpq.pipeline_sync()
        return sent

    def _answers(self, sent: Sequence[tuple[Passenger, bytes] | None]) -> Sequence[Any]:
        """The answers to what was run, or those that are errors; all of them are read."""
        status = self._dbapi.pq.ExecStatus
        poll = select.poll()
        poll.register(self._libpq.socket, select.POLLIN | select.POLLOUT)
        # A server that is answering may take no more until it is listened to. How long it may take
        # it knows itself (see postgres_engine).
        while self._libpq.flush():
            poll.poll()
            self._libpq.consume_input()
        poll.modify(self._libpq.socket, select.POLLIN)
        answers: list[Any] = []
        failed: list[Any] = []
        for prepares in (*sent, None):
            answer = self._next(poll)
            if answer.status == status.FATAL_ERROR:
                failed.append(answer)
            elif prepares is None:
                answers.append(answer)
            elif answer.status == status.COMMAND_OK:
                passenger, name = prepares
                self._session.names[passenger] = name
        if not answers or answers[-1].status != status.PIPELINE_SYNC:
            raise self._dbapi.OperationalError("the connection to the server is out of step")
        return failed or answers[:-1]

    def _next(self, poll: select.poll) -> Any:  # noqa: ANN401 - libpq's
        """The next answer. Between two of them there is a None."""
        for _ in range(2):
            while self._libpq.is_busy():
                poll.poll()
                self._libpq.consume_input()
            if (answer := self._libpq.get_result()) is not None:
                return answer
        raise self._dbapi.OperationalError("the connection to the server was lost")

    def _landed(self, answer: Any) -> Landed:  # noqa: ANN401 - libpq's
        columns = range(answer.nfields)
        values = ([answer.get_value(row, it) for it in columns] for row in range(answer.ntuples))
        return [
            [None if value is None else value.decode(self._encoding) for value in row]
            for row in values
        ]
