"""Golden histories in the tables of a real log, as their release left them there."""

from sqlalchemy import Connection

from orchestrator.saga.evolve import replay
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
    texts = [
        {
            "process_id": process_id,
            "sequence": sequence,
            "kind": kind,
            "time_us": time_us,
            "body": body,
        }
        for sequence, (kind, time_us, body) in enumerate(golden.texts[:length], start=1)
    ]
    connection.execute(PROCESSES.insert(), row)
    connection.execute(EVENTS.insert(), texts)
    return process_id
