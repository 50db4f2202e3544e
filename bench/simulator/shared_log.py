"""The saga log that all orchestrators of a simulation share, without the waiting.

Invariant: it is the log in memory, with all of its rules; each method here is one transaction.
Must never: await, or be disturbed: that is done around it.
"""

from dataclasses import replace

from orchestrator.saga.state import Phase
from orchestrator.saga_log.codec import stored_process
from orchestrator.saga_log.memory import MemorySagaLog
from orchestrator.saga_log.protocol import (
    FIRST_EPOCH,
    Append,
    NewProcess,
    ProcessRow,
    StoredProcess,
)


class SharedLog(MemorySagaLog):
    """What survives every crash."""

    def row(self, process_id: str) -> ProcessRow | None:
        """The row of a process."""
        record = self._records.get(process_id)
        return None if record is None else record.row

    def rows(self) -> list[ProcessRow]:
        """The rows of all processes, oldest first."""
        return [record.row for record in self._records.values()]

    def is_parked(self) -> bool:
        """Whether a process is parked."""
        return any(record.row.phase is Phase.PARKED for record in self._records.values())

    def texts(self, process_id: str) -> list[tuple[str, int, str]]:
        """The history of a process, as it is stored."""
        return self._records[process_id].texts

    def create_now(self, new: NewProcess) -> ProcessRow:
        """Stores a process that begins, unless there is one."""
        return self._create(new)

    def append_now(self, append: Append) -> int:
        """Moves a process on."""
        return self._append(append)

    def claim_now(self, owner: str, now_us: int, limit: int) -> tuple[StoredProcess, ...]:
        """Takes over processes that nobody runs."""
        return tuple(
            stored_process(record.row, record.texts) for record in self._claim(owner, now_us, limit)
        )

    def release_now(self, process_id: str, epoch: int, due_time_us: int) -> None:
        """Gives a process back."""
        record = self._records[process_id]
        if record.row.epoch == epoch and not record.row.phase.at_rest:
            record.row = replace(record.row, owner=None, due_time_us=due_time_us)

    def doubt(self, process_id: str, epoch: int = FIRST_EPOCH) -> None:
        """An owner may own this without knowing."""
        self._in_doubt.add((process_id, epoch))

    def claimable(self, row: ProcessRow, owner: str, now_us: int) -> bool:
        """Whether a claim would take this over."""
        if row.due_time_us is None:
            return False
        if row.owner is None:
            return row.due_time_us <= now_us
        return self._lost(row, owner)
