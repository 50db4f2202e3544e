"""How a history lies in the table of events, and how it is read from there.

Invariant: a row holds what was appended at once, or a part of it, under the sequence of the first
event in it; the rows of a process, in the order of their sequences, are its history, and none is
left out. Must never: part what no append has written apart: a reader takes a row as a whole.

A row is what an append costs most on. So where a step goes well, how its attempt ended and what
follows from that, the next attempt or the end of the process, are one row. All else has a row for
each event, where a person finds it by its kind.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

from orchestrator.saga.code import OK
from orchestrator.saga.events import AttemptBegan, AttemptEnded, Cancelled, Completed, Event
from orchestrator.saga_log.codec import encode, in_one, stored_process
from orchestrator.saga_log.protocol import ProcessRow, StoredProcess

EventRow: TypeAlias = tuple[str, int, str, int, str]
"""The process, the sequence of the first event, the kind, the time and the body, as the table has
them. Encoded by the caller, so that what cannot be fails there."""
EventText: TypeAlias = tuple[int, str, int, str]
"""The same without the process."""

_FOLLOWS_FROM_SUCCESS: Final = frozenset({AttemptBegan, Completed, Cancelled})


def rows_of(process_id: str, events: Sequence[Event], *, follows: int) -> Sequence[EventRow]:
    """The rows of what is appended at once, after a revision."""
    if goes_well(events):
        ended, then = events
        return [(process_id, follows + 1, *in_one(encode(ended), encode(then)))]
    return [(process_id, at, *encode(it)) for at, it in enumerate(events, start=follows + 1)]


def goes_well(events: Sequence[Event]) -> bool:
    """Whether these are a step that went well and what follows from that."""
    if len(events) != 2:
        return False
    ended, then = events
    return type(then) in _FOLLOWS_FROM_SUCCESS and type(ended) is AttemptEnded and ended.code is OK


def stored(row: ProcessRow, texts: Sequence[EventText], *, after: int = 0) -> StoredProcess:
    """A process with its events after a revision.

    Args:
        row: The process.
        texts: Its rows, from the one that the event after that revision is in.
        after: The revision.
    """
    found = stored_process(row, [text[1:] for text in texts])
    if found.unreadable:
        return found
    # The first row may begin with what is not asked for.
    events = found.events[max(after + 1 - texts[0][0], 0) :] if texts else ()
    if len(events) != max(row.revision - after, 0):
        return StoredProcess(row=row, events=(), unreadable="events are missing from the history")
    return StoredProcess(row=row, events=events)
