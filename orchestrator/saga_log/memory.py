"""The saga log in memory: the model of what every other log does, with places to break it.

Invariant: it promises what `protocol.SagaLog` says, except that it does not outlive the program. It
keeps texts, as a database would, so what it gives back went through the codec. Must never: await
anything between what a command reads and what it writes.

A seam is awaited before and after every commit. One that raises `faults.Unavailable` before loses
the command, one that raises it after loses only the answer, one that never returns is a crash.
"""

from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from orchestrator.saga_log.codec import encode, stored_process
from orchestrator.saga_log.protocol import (
    FIRST_EPOCH,
    Append,
    Fenced,
    ListQuery,
    NewProcess,
    ProcessRow,
    Stale,
    StoredProcess,
)
from orchestrator.saga_log.retirement import RetiredProcess, by_hand


class Moment(StrEnum):
    """Where a command is when the seam is awaited."""

    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"


Seam: TypeAlias = Callable[[Moment, str], Awaitable[None]]
"""Told the moment and the name of the method. Reads have only the moment before."""


async def _no_seam(moment: Moment, method: str) -> None:
    del moment, method


def _everybody_is_dead(owner: str) -> bool:
    """As on a database that one orchestrator holds exclusively."""
    del owner
    return True


@dataclass(slots=True, kw_only=True)
class _Record:
    row: ProcessRow
    texts: list[tuple[str, int, str]] = field(default_factory=list)
    """Kind, time and body of each event."""


class MemorySagaLog:
    """Histories and rows in dictionaries."""

    def __init__(
        self, *, seam: Seam = _no_seam, is_dead: Callable[[str], bool] = _everybody_is_dead
    ) -> None:
        """`is_dead` tells of an owner other than the one who claims."""
        self.seam = seam
        self.is_dead = is_dead
        self._records: dict[str, _Record] = {}
        self._ids: dict[str, str] = {}
        self._retired: dict[str, RetiredProcess] = {}
        self._in_doubt: set[tuple[str, int]] = set()

    async def create(self, new: NewProcess) -> tuple[ProcessRow, bool]:
        """Stores a process that begins, unless one of its business key is there."""
        try:
            await self.seam(Moment.BEFORE_COMMIT, "create")
            row = self._create(new)
            await self.seam(Moment.AFTER_COMMIT, "create")
        except BaseException:
            self._in_doubt.add((new.process_id, FIRST_EPOCH))
            raise
        # One that is retired is never the one that was offered: there is nothing left to begin.
        return row, row.process_id == new.process_id and row.process_id in self._records

    async def append(self, append: Append) -> int:
        """Moves a process on."""
        await self.seam(Moment.BEFORE_COMMIT, "append")
        revision = self._append(append)
        await self.seam(Moment.AFTER_COMMIT, "append")
        return revision

    async def load(self, process_id: str, *, after: int = 0) -> StoredProcess | None:
        """Reads a process with its events after a revision."""
        await self.seam(Moment.BEFORE_COMMIT, "load")
        record = self._records.get(process_id)
        return None if record is None else stored_process(record.row, record.texts[after:])

    async def find(self, business_key: str) -> ProcessRow | None:
        """Reads the row of one business key; of a retired process, as it stood."""
        await self.seam(Moment.BEFORE_COMMIT, "find")
        process_id = self._ids.get(business_key)
        return None if process_id is None else self._row_of(process_id)

    async def claim(self, *, owner: str, now_us: int, limit: int) -> tuple[StoredProcess, ...]:
        """Takes over processes that nobody runs."""
        await self.seam(Moment.BEFORE_COMMIT, "claim")
        claimed = self._claim(owner, now_us, limit)
        try:
            await self.seam(Moment.AFTER_COMMIT, "claim")
        except BaseException:
            self._in_doubt.update((record.row.process_id, record.row.epoch) for record in claimed)
            raise
        return tuple(stored_process(record.row, record.texts) for record in claimed)

    async def next_due_us(self, owner: str) -> int | None:
        """When `claim` will next find something."""
        await self.seam(Moment.BEFORE_COMMIT, "next_due_us")
        waiting = (row for row in self._rows() if row.due_time_us is not None)
        dues = (
            row.due_time_us if row.owner is None else 0
            for row in waiting
            if row.owner is None or self._lost(row, owner)
        )
        return min((due for due in dues if due is not None), default=None)

    async def release(self, *, process_id: str, epoch: int, due_time_us: int) -> None:
        """Gives a process back."""
        await self.seam(Moment.BEFORE_COMMIT, "release")
        record = self._records.get(process_id)
        if record is not None and record.row.epoch == epoch and not record.row.phase.at_rest:
            record.row = replace(record.row, owner=None, due_time_us=due_time_us)
        await self.seam(Moment.AFTER_COMMIT, "release")

    async def list(self, query: ListQuery) -> tuple[StoredProcess, ...]:
        """Reads a page of processes with their histories, newest first."""
        await self.seam(Moment.BEFORE_COMMIT, "list")
        rows = sorted(
            (row for row in self._rows() if _lets_through(query, row)),
            key=lambda row: (row.create_time_us, row.process_id),
            reverse=True,
        )
        return tuple(
            stored_process(row, self._records[row.process_id].texts) for row in rows[: query.limit]
        )

    @property
    def retirement(self) -> "MemoryRetirement":
        """What became of those that were settled long ago."""
        return MemoryRetirement(self, self._records, self._ids, self._retired)

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _row_of(self, process_id: str) -> ProcessRow:
        record = self._records.get(process_id)
        return self._retired[process_id].row if record is None else record.row

    def _rows(self) -> Iterator[ProcessRow]:
        return (record.row for record in self._records.values())

    def _lost(self, row: ProcessRow, owner: str) -> bool:
        """Whether a process that somebody owns is run by nobody."""
        assert row.owner is not None, "it is asked of what is owned"
        if row.owner == owner:
            return (row.process_id, row.epoch) in self._in_doubt
        return self.is_dead(row.owner)

    def _create(self, new: NewProcess) -> ProcessRow:
        assert not new.phase.at_rest, "a process begins with something to do"
        process_id = self._ids.setdefault(new.business_key, new.process_id)
        if process_id in self._records or process_id in self._retired:
            return self._row_of(process_id)
        row = ProcessRow(
            process_id=new.process_id,
            business_key=new.business_key,
            fingerprint=new.fingerprint,
            subject=new.subject,
            phase=new.phase,
            revision=len(new.events),
            epoch=FIRST_EPOCH,
            owner=new.owner,
            due_time_us=new.due_time_us,
            create_time_us=new.create_time_us,
            update_time_us=new.create_time_us,
            end_time_us=None,
        )
        self._records[process_id] = _Record(row=row, texts=list(map(encode, new.events)))
        return row

    def _append(self, append: Append) -> int:
        assert append.phase.at_rest == (append.due_time_us is None), "what goes on is due some time"
        record = self._records.get(append.process_id)
        if record is None:
            raise Stale(append.process_id)
        row = record.row
        if not self._proves_epoch(append, row):
            raise Fenced(append.process_id)
        texts = list(map(encode, append.events))
        revision = append.follows + len(texts)
        if row.revision != append.follows:
            if texts and record.texts[append.follows : revision] == texts:
                return revision
            raise Stale(append.process_id)
        record.texts.extend(texts)
        record.row = replace(
            row,
            phase=append.phase,
            revision=revision,
            owner=None if append.release or append.phase.at_rest else row.owner,
            due_time_us=_due_time_us(append, row),
            update_time_us=append.time_us,
            end_time_us=append.time_us if append.phase.settled else None,
        )
        return revision

    def _proves_epoch(self, append: Append, row: ProcessRow) -> bool:
        return append.epoch is None or append.epoch == row.epoch

    def _claim(self, owner: str, now_us: int, limit: int) -> Sequence[_Record]:
        claimed = [
            record
            for record in self._records.values()
            if record.row.due_time_us is not None
            and (
                record.row.due_time_us <= now_us
                if record.row.owner is None
                else self._lost(record.row, owner)
            )
        ][:limit]
        for record in claimed:
            record.row = replace(record.row, owner=owner, epoch=record.row.epoch + 1)
        return claimed


class MemoryRetirement:
    """The retired processes of a log in memory (see `retirement.Retirement`)."""

    def __init__(
        self,
        log: MemorySagaLog,
        records: dict[str, _Record],
        ids: dict[str, str],
        retired: dict[str, RetiredProcess],
    ) -> None:
        """The dictionaries are the log's own."""
        self._log = log
        self._records = records
        self._ids = ids
        self._retired = retired

    async def retire(self, *, ended_before_us: int, now_us: int, limit: int) -> int:
        """Retires processes that were settled before then."""
        await self._log.seam(Moment.BEFORE_COMMIT, "retire")
        ended = sorted(
            (record.row.end_time_us, process_id)
            for process_id, record in self._records.items()
            if record.row.end_time_us is not None and record.row.end_time_us < ended_before_us
        )[:limit]
        for end_time_us, process_id in ended:
            assert end_time_us is not None, "what is settled has an end"
            record = self._records.pop(process_id)
            row = record.row
            self._retired[process_id] = RetiredProcess(
                process_id=process_id,
                business_key=row.business_key,
                fingerprint=row.fingerprint,
                subject=row.subject,
                phase=row.phase,
                revision=row.revision,
                epoch=row.epoch,
                by_hand=by_hand(record.texts),
                create_time_us=row.create_time_us,
                end_time_us=end_time_us,
                retire_time_us=now_us,
                purge_due_us=now_us,
            )
        await self._log.seam(Moment.AFTER_COMMIT, "retire")
        return len(ended)

    async def take_due(
        self, *, now_us: int, again_us: int, limit: int
    ) -> tuple[RetiredProcess, ...]:
        """Retired processes whose purge is due."""
        await self._log.seam(Moment.BEFORE_COMMIT, "take_due")
        waiting = sorted(
            (it.purge_due_us, it.process_id)
            for it in self._retired.values()
            if it.purge_due_us is not None and it.purge_due_us <= now_us
        )[:limit]
        due = tuple(self._retired[process_id] for _, process_id in waiting)
        self._set_due([it.process_id for it in due], again_us)
        await self._log.seam(Moment.AFTER_COMMIT, "take_due")
        return due

    async def purged(self, process_ids: Collection[str]) -> None:
        """Nobody keeps anything for these any more."""
        await self._log.seam(Moment.BEFORE_COMMIT, "purged")
        self._set_due(process_ids, None)
        await self._log.seam(Moment.AFTER_COMMIT, "purged")

    async def put_off(self, process_ids: Collection[str], *, due_us: int) -> None:
        """Something is still kept for these."""
        await self._log.seam(Moment.BEFORE_COMMIT, "put_off")
        self._set_due(process_ids, due_us)
        await self._log.seam(Moment.AFTER_COMMIT, "put_off")

    async def forget(self, *, ended_before_us: int, limit: int) -> int:
        """Forgets retired processes."""
        await self._log.seam(Moment.BEFORE_COMMIT, "forget")
        over = sorted(
            (it.end_time_us, it.process_id)
            for it in self._retired.values()
            if it.purge_due_us is None and it.end_time_us < ended_before_us
        )[:limit]
        for _, process_id in over:
            del self._ids[self._retired.pop(process_id).business_key]
        await self._log.seam(Moment.AFTER_COMMIT, "forget")
        return len(over)

    async def find(self, process_ids: Sequence[str]) -> Mapping[str, RetiredProcess]:
        """Those of these processes that are retired."""
        await self._log.seam(Moment.BEFORE_COMMIT, "find_retired")
        return {it: self._retired[it] for it in process_ids if it in self._retired}

    def _set_due(self, process_ids: Collection[str], due_us: int | None) -> None:
        for process_id in process_ids:
            retired = self._retired.get(process_id)
            if retired is not None and retired.purge_due_us is not None:
                self._retired[process_id] = replace(retired, purge_due_us=due_us)


def _due_time_us(append: Append, row: ProcessRow) -> int | None:
    """When a process is due after an append; as before, while it is run on at once."""
    if append.release or append.phase.at_rest or row.owner is None or row.due_time_us is None:
        return append.due_time_us
    assert append.due_time_us is not None, "what goes on is due some time"
    run_on = max(row.due_time_us, append.due_time_us) <= append.time_us
    return row.due_time_us if run_on else append.due_time_us


def _lets_through(query: ListQuery, row: ProcessRow) -> bool:
    since, until = query.create_time_after_us, query.create_time_before_us
    return (
        (query.before is None or (row.create_time_us, row.process_id) < query.before)
        and (not query.phases or row.phase in query.phases)
        and (not query.subject or row.subject == query.subject)
        and (since is None or row.create_time_us >= since)
        and (until is None or row.create_time_us < until)
    )
