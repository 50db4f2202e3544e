"""Mistakes that a saga log could make. See `bugs`.

Must never: be imported by anything but `bugs`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from bench.simulator.shared_log import SharedLog
from orchestrator.saga.events import AttemptBegan, Event
from orchestrator.saga_log.codec import stored_process
from orchestrator.saga_log.protocol import Append, NewProcess, ProcessRow, StoredProcess


@contextmanager
def intent_not_durable() -> Iterator[None]:
    create_now, append_now = SharedLog.create_now, SharedLog.append_now
    kept: dict[tuple[int, str, int], Event] = {}

    def create(self: SharedLog, new: NewProcess) -> ProcessRow:
        row = create_now(self, replace(new, events=new.events[:1]))
        if row.process_id == new.process_id:
            kept[id(self), new.process_id, 1] = new.events[1]
        return row

    def append(self: SharedLog, given: Append) -> int:
        if given.epoch is None:
            return append_now(self, given)
        key = (id(self), given.process_id, given.epoch)
        intent = kept.pop(key, None)
        events, follows = given.events, given.follows
        if intent is not None:
            events, follows = (intent, *events), follows - 1
        last = events[-1] if events else None
        if isinstance(last, AttemptBegan):
            kept[key] = last
            events = events[:-1]
        revision = append_now(self, replace(given, events=events, follows=follows))
        return revision + isinstance(last, AttemptBegan)

    with (
        patch.object(SharedLog, "create_now", create),
        patch.object(SharedLog, "append_now", append),
    ):
        yield


@contextmanager
def no_epoch_check() -> Iterator[None]:
    def proves(self: SharedLog, append: Append, row: ProcessRow) -> bool:
        del self, append, row
        return True

    with patch.object(SharedLog, "_proves_epoch", proves):
        yield


@contextmanager
def claim_keeps_epoch() -> Iterator[None]:
    claim = SharedLog._claim

    def keep(self: SharedLog, owner: str, now_us: int, limit: int) -> Sequence[Any]:
        claimed = claim(self, owner, now_us, limit)
        for record in claimed:
            record.row = replace(record.row, epoch=record.row.epoch - 1)
        return claimed

    with patch.object(SharedLog, "_claim", keep):
        yield


@contextmanager
def last_writer_wins() -> Iterator[None]:
    append_now = SharedLog.append_now

    def overwrite(self: SharedLog, append: Append) -> int:
        _truncate(self, append)
        return append_now(self, append)

    with patch.object(SharedLog, "append_now", overwrite):
        yield


@contextmanager
def stale_recovery_read() -> Iterator[None]:
    append_now, claim_now = SharedLog.append_now, SharedLog.claim_now

    def claim(self: SharedLog, owner: str, now_us: int, limit: int) -> tuple[StoredProcess, ...]:
        stale = []
        for stored in claim_now(self, owner, now_us, limit):
            texts = self.texts(stored.row.process_id)
            # The last event came between the read and the claim.
            events = texts[:-1] if len(texts) > 2 else texts
            stale.append(stored_process(replace(stored.row, revision=len(events)), events))
        return tuple(stale)

    def overwrite(self: SharedLog, append: Append) -> int:
        row = self.row(append.process_id)
        if row is not None and row.epoch > 1:
            _truncate(self, append)
        return append_now(self, append)

    with (
        patch.object(SharedLog, "claim_now", claim),
        patch.object(SharedLog, "append_now", overwrite),
    ):
        yield


@contextmanager
def orphans_stay() -> Iterator[None]:
    def lost(self: SharedLog, row: ProcessRow, owner: str) -> bool:
        del self, row, owner
        return False

    with patch.object(SharedLog, "_lost", lost):
        yield


def _truncate(log: SharedLog, append: Append) -> None:
    """Drops what a runner's append does not know of."""
    record = log._records.get(append.process_id)
    if record is None or append.epoch != record.row.epoch:
        return
    if record.row.revision > append.follows:
        del record.texts[append.follows :]
        record.row = replace(record.row, revision=append.follows)
