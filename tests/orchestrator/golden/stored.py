"""Golden histories in the tables of a real log, as their release left them there."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from bench.history.shapes import appended
from orchestrator.saga.evolve import replay
from orchestrator.saga_log.codec import Text, decode, in_one
from orchestrator.saga_log.event_rows import EventRow
from orchestrator.saga_log.tables import EVENTS, PROCESSES
from tests.orchestrator.golden.golden import Golden


def store(connection: Connection, golden: Golden, length: int) -> str:
    """A history as far as that, as its release left it when it was killed."""
    state = replay(golden.events[:length])
    process_id = f"{golden.row['process_id']}_{length}"
    name, version = golden.definition
    row = {
        **golden.row,
        "process_id": process_id,
        "business_key": process_id,
        "definition": name,
        "definition_version": version,
        "phase": state.phase.value,
        "revision": length,
        "epoch": 1,
        "owner": None if state.phase.at_rest else "the release before",
        "due_time_us": None if state.phase.at_rest else state.update_time_us,
        "update_time_us": state.update_time_us,
        "end_time_us": state.end_time_us,
    }
    connection.execute(PROCESSES.insert(), row)
    connection.execute(EVENTS.insert().values(list(_rows(process_id, golden.texts[:length]))))
    return process_id


def _rows(process_id: str, texts: Sequence[Text]) -> Iterator[EventRow]:
    """As a run appends them, each text as its release wrote it."""
    for part in appended([decode(*it) for it in texts]):
        text, *then = texts[part]
        yield process_id, part.start + 1, *(in_one(text, *then) if then else text)
