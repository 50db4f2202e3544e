"""What a saga log promises, whatever it is kept in.

A process is a row and a history. The history is append-only; its key is (process, sequence), so an
append names the revision it follows, and of two that follow the same one, one misses. The row says
who owns the process and since which epoch. An owner's append proves its epoch in the very statement
that writes: that is the fence. Whoever claims a process raises the epoch, and what its former owner
still tries to write is turned away.

Who is dead is for the log to know: on an embedded database, which one orchestrator holds
exclusively, every owner but the one who asks. So an owner's name is never used twice.

Invariant: what was answered is durable; what was answered `Unavailable` may be durable or not, and
offered again word for word it is there once. Must never: know what any saga is about.
"""

from typing import Final, Protocol

from chassis.record import record
from orchestrator.saga.events import Event
from orchestrator.saga.state import Phase

FIRST_EPOCH: Final = 1
"""That of whoever creates a process."""


class Stale(Exception):  # noqa: N818 - named by what the caller must do: look again
    """Somebody appended meanwhile: reload, and decide again."""


class Fenced(Exception):  # noqa: N818 - named by what the caller must do: keep out
    """The process is somebody else's now: leave it alone."""


@record
class ProcessRow:
    """A process without its history."""

    process_id: str
    business_key: str
    """Unique: what makes a create that is sent twice the same process."""
    fingerprint: str
    """Of the content that the process was created with."""
    subject: str
    """Whom it is about; lists filter by it."""
    phase: Phase
    revision: int
    """How many events the history counts."""
    epoch: int
    """How many owners it has had."""
    owner: str | None
    """Who runs it. None: released, settled or parked."""
    due_time_us: int | None
    """When it is to be claimed, if nobody owns it. None exactly if it is settled or parked."""
    create_time_us: int
    update_time_us: int
    end_time_us: int | None
    """When it was settled. None: it is not."""


@record
class NewProcess:
    """A process that begins, owned by whoever creates it, at epoch 1."""

    process_id: str
    business_key: str
    fingerprint: str
    subject: str
    owner: str
    events: tuple[Event, ...]
    """The first is Started."""
    phase: Phase
    due_time_us: int
    create_time_us: int


@record
class Append:
    """What happened next to a process, and how its row is then.

    Without events it moves no revision on; it may still release.
    """

    process_id: str
    follows: int
    """The revision that the decision rests on."""
    events: tuple[Event, ...]
    epoch: int | None
    """The epoch that is to be proved. None: by sequence alone, by somebody who is not the owner."""
    phase: Phase
    due_time_us: int | None
    """None exactly if the phase is at rest. While somebody runs the process and it was due before,
    a time that has come already changes nothing: it stays due since when it was."""
    release: bool = False
    """Give the process back. At rest it has no owner anyway."""
    time_us: int


@record
class StoredProcess:
    """A process as it is stored, with all of its history or with what follows a revision."""

    row: ProcessRow
    events: tuple[Event, ...]
    unreadable: str = ""
    """Why the history cannot be read: then there are no events here. Empty: it can."""


@record
class ListQuery:
    """A page of processes, newest first. What is left out lets everything through."""

    limit: int
    before: tuple[int, str] | None = None
    """(create_time_us, process_id) of the last of the page before."""
    phases: frozenset[Phase] = frozenset()
    subject: str = ""
    create_time_after_us: int | None = None
    """That time or later."""
    create_time_before_us: int | None = None
    """Before that time."""


class SagaLog(Protocol):
    """The histories of all processes, and who runs which.

    Every method raises `faults.Unavailable` (LOG_UNAVAILABLE) when the log does not answer.
    """

    async def create(self, new: NewProcess) -> tuple[ProcessRow, bool]:
        """Stores a process that begins, unless one of its business key is there.

        Returns:
            The row of that business key, and whether it is the one that was offered: true also if
            an earlier offer of the same process had been stored already.
        """
        ...

    async def append(self, append: Append) -> int:
        """Moves a process on.

        Returns:
            The revision after these events. That these very events are there already, under the
            same epoch, is a success.

        Raises:
            Fenced: The row has another epoch. Said before anything else.
            Stale: The history is not at `follows` (or there is no such process).
        """
        ...

    async def load(self, process_id: str, *, after: int = 0) -> StoredProcess | None:
        """Reads a process with its events after a revision. None: there is no such process."""
        ...

    async def find(self, business_key: str) -> ProcessRow | None:
        """Reads the row of one business key. None: there is none."""
        ...

    async def claim(self, *, owner: str, now_us: int, limit: int) -> tuple[StoredProcess, ...]:
        """Takes over processes that nobody runs, each under a new epoch.

        These are the ones that are released and due, those whose owner is dead, and those that
        `owner` may own without knowing it: their create or claim was not answered. Not the others
        that `owner` owns.
        """
        ...

    async def next_due_us(self, owner: str) -> int | None:
        """When `claim` will next find something; None: nothing is waiting."""
        ...

    async def release(self, *, process_id: str, epoch: int, due_time_us: int) -> None:
        """Gives a process back, to be claimed when it is due, whatever was appended meanwhile.

        Does nothing if the process has another epoch or is at rest.
        """
        ...

    async def list(self, query: ListQuery) -> tuple[StoredProcess, ...]:
        """Reads a page of processes with their histories, newest first."""
        ...

    async def close(self) -> None:
        """Writes what was submitted, then lets go of everything."""
        ...
