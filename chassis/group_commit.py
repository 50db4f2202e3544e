"""Writes in groups: everything that waits is written in one transaction, by one thread.

Invariant: a caller is answered only after the transaction that holds its command has committed,
and is answered with what that transaction made of it. It must never run two transactions at a
time, and never let one command's failure become another's.

What `apply` is given may be offered to it again: after an operational trouble the commit may or
may not have taken effect, so the same commands are offered again under the same keys. Whoever
writes `apply` sees to it that doing so gives the same answer and no second effect.

How a batch ends:

- It commits: each command gets its entry of what `apply` returned.
- `apply` raises `Missed`: rolled back; the others go together, the missed ones follow, each alone.
- Any other exception: rolled back; each command is run alone, so that the one at fault fails alone.
- It loses against another transaction (a deadlock, say): rolled back, and run again at once.
- An operational trouble (locked, full, gone, an answer to a commit that was lost): rolled back,
  the connection dropped, and offered again, with growing pauses, until `TRYING_SECONDS` have
  passed. From then on each batch is offered once, until one commits: whoever asks is told at once.
- The storage is lost (see storage_health.py): nobody is told of a commit, and the writer dies.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

import sqlalchemy
import structlog
from structlog.typing import FilteringBoundLogger

from chassis import faults
from chassis.statements import primary_message
from chassis.storage_health import Side, StorageLost, health_of
from chassis.storage_trouble import is_contended, is_trouble

Command = TypeVar("Command")
Reply = TypeVar("Reply")

Apply: TypeAlias = Callable[[sqlalchemy.Connection, Sequence[Command]], Sequence[Reply | Exception]]
"""Runs in a transaction that is begun and committed for it; returns one entry a command.

An entry that is an exception is that command's own failure: nothing of it is in the transaction.
"""

# How long the same commands are offered again to a database in trouble, and the pauses between.
TRYING_SECONDS: Final = 5.0
PAUSE_SECONDS_MIN: Final = 0.02
PAUSE_SECONDS_MAX: Final = 1.0
# How often a command that misses is decided again before its caller is sent away.
MISSES_MAX: Final = 5
# How often a batch that lost against other transactions is run again before that counts as trouble.
CONTESTS_MAX: Final = 10
# A transaction costs far more than one more row in it. So where the last batch was of several, the
# next one is gathered for a while: for as long as a commit takes, and somewhat more, but not long.
# Who is alone waits for one turn of the loop.
SEVERAL: Final = 4
GATHERING_SHARE: Final = 1.5
GATHERING_SECONDS_MAX: Final = 0.005

_log: FilteringBoundLogger = structlog.get_logger()


class Missed(Exception):  # noqa: N818 - not an error: the rows had moved on
    """Guarded writes found another version than the one that was read.

    `indices` are the commands, by their place in the batch, that have to be decided again.
    """

    def __init__(self, indices: Iterable[int]) -> None:
        self.indices = frozenset(indices)
        assert self.indices, "whoever missed says which"
        super().__init__(f"{len(self.indices)} commands found another version")


class _Trouble(Exception):  # noqa: N818 - never leaves this module
    """The database stayed in trouble for as long as we try."""


class BatchWriter(Generic[Command, Reply]):
    """Sees one batch after another to its end, in whatever thread calls it, over one connection."""

    def __init__(
        self,
        engine: sqlalchemy.Engine,
        apply: Apply[Command, Reply],
        *,
        name: str,
        pause: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._apply = apply
        self._name = name
        self._pause = pause
        self._monotonic = monotonic
        self._health = health_of(engine)
        self._gave_up = False
        self._connection: sqlalchemy.Connection | None = None

    def write(self, commands: Sequence[Command]) -> Sequence[Reply | Exception]:
        """Returns one entry a command, each committed or failed for good. Never raises for them.

        Raises:
            StorageLost: There is nothing left to write to. What was committed is not known.
        """
        deadline = self._monotonic() + TRYING_SECONDS
        try:
            return self._together(commands, deadline)
        except Missed as missed:
            apart = missed.indices
        except _Trouble:
            return [_unavailable() for _ in commands]
        except StorageLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is one command's: see whose
            if len(commands) > 1:
                _log.warning(
                    "a batch failed, its items are run alone", store=self._name, error=_short(error)
                )
            apart = frozenset(range(len(commands)))
        return self._apart(commands, apart, deadline)

    def close(self) -> None:
        """Gives the connection up; the next write opens another."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # It may be half dead: what it says on the way out is of no interest any more.
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
            connection.invalidate()
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
            connection.close()

    def _apart(
        self, commands: Sequence[Command], apart: frozenset[int], deadline: float
    ) -> Sequence[Reply | Exception]:
        """Runs the commands at `apart` in their order, each alone, after the others together."""
        replies: dict[int, Reply | Exception] = {}
        rest = [index for index in range(len(commands)) if index not in apart]
        if rest:
            answers = self.write([commands[index] for index in rest])
            replies.update(zip(rest, answers, strict=True))
        for index in sorted(apart):
            try:
                replies[index] = self._alone(commands[index], deadline)
            except _Trouble:
                # What does not answer this command will not answer the next one either.
                for left in apart:
                    replies.setdefault(left, _unavailable())
                break
        return [replies[index] for index in range(len(commands))]

    def _alone(self, command: Command, deadline: float) -> Reply | Exception:
        failure: Exception = _unavailable()
        for _ in range(MISSES_MAX):
            try:
                return self._together([command], deadline)[0]
            except (_Trouble, StorageLost):
                raise
            except Missed:
                failure = _unavailable()
            except sqlalchemy.exc.IntegrityError as error:
                failure = error  # maybe a row that was not there when it was looked for: look again
            except Exception as error:  # noqa: BLE001 - this one command's own, answered below
                failure = error
                break
        if isinstance(failure, faults.Fault):
            return failure
        _log.error("a command failed", store=self._name, exc_info=failure)
        return faults.Defect("INTERNAL", "internal error")

    def _together(
        self, commands: Sequence[Command], deadline: float
    ) -> Sequence[Reply | Exception]:
        """One transaction over `commands`, offered again while the database is in trouble.

        Raises:
            _Trouble: The time for that is up.
        """
        pause = PAUSE_SECONDS_MIN
        contests = 0
        while True:
            try:
                return self._once(commands)
            except sqlalchemy.exc.SQLAlchemyError as error:
                if is_contended(error) and contests < CONTESTS_MAX:
                    contests += 1
                    continue
                if not is_trouble(error):
                    raise
                self.close()
                self._health.troubled(Side.WRITING, error)
                self._health.raise_if_lost()
                over = self._gave_up or self._monotonic() + pause >= deadline
                _log.warning(
                    "the database is in trouble",
                    store=self._name,
                    error=_short(error),
                    gave_up=over,
                )
                if over:
                    self._gave_up = True
                    raise _Trouble from error
            self._pause(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    def _once(self, commands: Sequence[Command]) -> Sequence[Reply | Exception]:
        if self._connection is None:
            self._connection = self._engine.connect()
        try:
            transaction = self._connection.begin()
        except Exception:
            # It may be half begun, and nobody would end it: the next one is begun on another.
            self.close()
            raise
        with transaction:
            replies = self._apply(self._connection, commands)
            assert len(replies) == len(commands), "apply returns one entry a command"
        self._health.committed()
        self._gave_up = False
        return replies


class GroupCommit(Generic[Command, Reply]):
    """One writer thread behind an asyncio front.

    `start`, `submit`, `close` and `failed` belong to one event loop; `apply` runs in the thread.
    """

    def __init__(
        self,
        engine: sqlalchemy.Engine,
        apply: Apply[Command, Reply],
        *,
        name: str,
        batch_max: int = 256,
        waiting_max: int = 20_000,
        pause: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        assert 1 <= batch_max <= waiting_max
        self._name = name
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._writer = BatchWriter(engine, apply, name=name, pause=pause, monotonic=monotonic)
        self._thread = threading.Thread(target=self._run, name=f"{name}-writer", daemon=True)
        # What the writer is to write; None is the end of it.
        self._batches: queue.SimpleQueue[Sequence[Command] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open = False
        # What waits, and who for it; and who waits for the batch that the writer has, if it has
        # one.
        self._waiting: list[Command] = []
        self._callers: list[asyncio.Future[Reply]] = []
        self._in_hand: list[asyncio.Future[Reply]] | None = None
        self._gathering = False
        self._gather_seconds = 0.0
        self._handed_over_at = 0.0
        self._ended = asyncio.Event()
        self._failed = asyncio.Event()

    async def start(self) -> None:
        """Starts the writer."""
        assert self._loop is None, "a group commit is started once"
        self._loop = asyncio.get_running_loop()
        self._open = True
        self._thread.start()

    def submit(self, command: Command) -> Awaitable[Reply]:
        """Has `command` written.

        Returns:
            What is done once it is committed. A caller that leaves does not take it back. It raises
            faults.Unavailable where the database stayed away and the command may have been
            applied, or else the command's own failure, as `apply` returned it.

        Raises:
            faults.Overloaded: Too many commands are waiting; this one was not taken.
            faults.Unavailable: It is closed; this one was not taken.
        """
        if self._loop is None or not self._open:
            raise _unavailable()
        if len(self._waiting) >= self._waiting_max:
            raise faults.Overloaded(
                "STORE_OVERLOADED",
                "too many writes are waiting; ask again later",
                retry_after_seconds=1.0,
            )
        caller: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting.append(command)
        self._callers.append(caller)
        if self._in_hand is None and not self._gathering:
            self._begin_gathering(self._loop)
        return caller

    async def close(self) -> None:
        """Writes everything that was submitted, then ends the writer. May be called again."""
        if self._loop is None:
            return
        if self._open:
            self._open = False
            if self._in_hand is None and not self._gathering:
                self._batches.put(None)
        await self._ended.wait()
        self._thread.join()

    async def failed(self) -> None:
        """Returns if the writer dies of a defect: then the process should end, and recover."""
        await self._failed.wait()

    def _begin_gathering(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gathering = True
        if self._gather_seconds and len(self._waiting) < self._batch_max:
            loop.call_later(self._gather_seconds, self._hand_over, loop)
        else:
            loop.call_soon(self._hand_over, loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Gives the writer what waits."""
        batch, self._waiting = (
            self._waiting[: self._batch_max],
            self._waiting[self._batch_max :],
        )
        self._in_hand, self._callers = (
            self._callers[: self._batch_max],
            self._callers[self._batch_max :],
        )
        self._gathering = False
        self._handed_over_at = loop.time()
        self._batches.put(batch)

    def _deliver(self, replies: Sequence[Reply | Exception]) -> None:
        assert self._loop is not None
        callers, self._in_hand = self._in_hand, None
        assert callers is not None, "only what was handed over is delivered"
        took_seconds = self._loop.time() - self._handed_over_at
        self._gather_seconds = (
            min(GATHERING_SHARE * took_seconds, GATHERING_SECONDS_MAX)
            if len(callers) >= SEVERAL
            else 0.0
        )
        for caller, reply in zip(callers, replies, strict=True):
            if caller.done():  # it went away
                continue
            if isinstance(reply, Exception):
                caller.set_exception(reply)
            else:
                caller.set_result(reply)
        if self._waiting:
            self._begin_gathering(self._loop)
        elif not self._open:
            self._batches.put(None)

    def _end(self, died: bool) -> None:
        self._open = False
        for caller in (*(self._in_hand or ()), *self._callers):
            if not caller.done():
                caller.set_exception(_unavailable())
        self._ended.set()
        if died:
            self._failed.set()

    def _run(self) -> None:
        assert self._loop is not None
        died = True
        try:
            while (batch := self._batches.get()) is not None:
                replies = self._writer.write(batch)
                self._loop.call_soon_threadsafe(self._deliver, replies)
            died = False
        except BaseException:  # noqa: BLE001 - the last word of the thread: the process is told
            _log.exception("the writer died", store=self._name)
        finally:
            self._writer.close()
            # A loop that is closed has nobody left to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end, died)


def _unavailable() -> faults.Unavailable:
    return faults.Unavailable(
        "STORE_UNAVAILABLE", "the database cannot be written just now; ask again"
    )


def _short(error: BaseException) -> str:
    """An error for the log: bounded, and without the values that were being written."""
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    if isinstance(cause, UnicodeError):
        # It says all of the text that could not be encoded.
        return type(cause).__name__
    said = primary_message(cause) if cause is not None else ""
    return (f"{type(cause).__name__}: {said}" if said else repr(cause))[:500]
