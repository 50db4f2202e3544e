"""The saga log in memory: the model of what every other log does, with places to break it.

Invariant: it promises what `protocol.SagaLog` says, except that it does not outlive the program. It
keeps texts, as a database would, so what it gives back went through the codec. Must never: await
anything between what a command reads and what it writes.

A seam is awaited before and after every commit. One that raises `faults.Unavailable` before loses
the command, one that raises it after loses only the answer, one that never returns is a crash.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeAlias

from orchestrator.saga.events import Event
from orchestrator.saga_log.codec import encode, stored_process
from orchestrator.saga_log.protocol import (
    Append,
    Fenced,
    ListQuery,
    NewProcess,
    ProcessRow,
    Stale,
    StoredProcess,
)


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


FIRST_EPOCH: Final = 1


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
        return row, row.process_id == new.process_id

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
        """Reads the row of one business key."""
        await self.seam(Moment.BEFORE_COMMIT, "find")
        process_id = self._ids.get(business_key)
        return None if process_id is None else self._records[process_id].row

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
        record = self._records[process_id]
        if record.row.epoch == epoch and not record.row.phase.at_rest:
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

    async def close(self) -> None:
        """There is nothing to let go of."""

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
        if process_id in self._records:
            return self._records[process_id].row
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
        self._records[process_id] = _Record(row=row, texts=_texts(new.events))
        return row

    def _append(self, append: Append) -> int:
        assert append.phase.at_rest == (append.due_time_us is None), "what goes on is due some time"
        record = self._records.get(append.process_id)
        if record is None:
            raise Stale(append.process_id)
        row = record.row
        if not self._proves_epoch(append, row):
            raise Fenced(append.process_id)
        texts = _texts(append.events)
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
            due_time_us=append.due_time_us,
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


def _lets_through(query: ListQuery, row: ProcessRow) -> bool:
    since, until = query.create_time_after_us, query.create_time_before_us
    return (
        (query.before is None or (row.create_time_us, row.process_id) < query.before)
        and (not query.phases or row.phase in query.phases)
        and (not query.subject or row.subject == query.subject)
        and (since is None or row.create_time_us >= since)
        and (until is None or row.create_time_us < until)
    )


def _texts(events: Iterable[Event]) -> list[tuple[str, int, str]]:
    texts = []
    for event in events:
        kind, body = encode(event)
        texts.append((kind, event.time_us, body))
    return texts
