"""Processes to put into a log."""

from orchestrator.saga.code import Code
from orchestrator.saga.events import AttemptBegan, AttemptEnded, Completed, Event, Started
from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import Append, NewProcess, SagaLog, StoredProcess

T0 = 1_700_000_000_000_000
SECOND = 1_000_000
ME = "me"
OTHER = "other"

STARTED = Started(
    definition="journey", version=3, input={"to": "Lyon"}, deadline_us=T0 + 60 * SECOND, time_us=T0
)
BEGAN = AttemptBegan(action="reserve_seat", attempt=1, time_us=T0)
ENDED = AttemptEnded(
    action="reserve_seat",
    attempt=1,
    code=Code.OK,
    result={"seat": "12A"},
    time_us=T0 + SECOND,
)
BEGAN_NEXT = AttemptBegan(action="book_room", attempt=1, time_us=T0 + SECOND)
COMPLETED = Completed(time_us=T0 + SECOND)


def new(process_id: str = "prc_1", *, key: str | None = None, owner: str = ME) -> NewProcess:
    return NewProcess(
        process_id=process_id,
        business_key=key or f"key of {process_id}",
        fingerprint="f1",
        subject="Ada",
        owner=owner,
        events=(STARTED, BEGAN),
        phase=Phase.RUNNING,
        due_time_us=T0,
        create_time_us=T0,
    )


def append(
    *events: Event,
    process_id: str = "prc_1",
    follows: int = 2,
    epoch: int | None = 1,
    phase: Phase = Phase.RUNNING,
    due_time_us: int | None = T0 + SECOND,
    release: bool = False,
    time_us: int = T0 + SECOND,
) -> Append:
    return Append(
        process_id=process_id,
        follows=follows,
        events=events,
        epoch=epoch,
        phase=phase,
        due_time_us=None if phase.at_rest else due_time_us,
        release=release,
        time_us=time_us,
    )


async def stored(log: SagaLog, process_id: str = "prc_1") -> StoredProcess:
    found = await log.load(process_id)
    assert found is not None
    return found


async def claimed(
    log: SagaLog, *, owner: str = ME, now_us: int = T0, limit: int = 100
) -> list[str]:
    return sorted(
        process.row.process_id
        for process in await log.claim(owner=owner, now_us=now_us, limit=limit)
    )
