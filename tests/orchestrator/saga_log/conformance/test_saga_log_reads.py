"""What is read from a log."""

from dataclasses import replace

import pytest

from orchestrator.saga.code import Code
from orchestrator.saga.events import (
    AttemptBegan,
    AttemptEnded,
    Cancelled,
    CancelRequested,
    CompensationBegan,
    Completed,
    Event,
    Parked,
    ResolvedByHand,
    RetryRequested,
    Started,
)
from orchestrator.saga.state import Phase
from orchestrator.saga_log.protocol import (
    ListQuery,
    SagaLog,
)
from tests.orchestrator.saga_log.conformance.processes import (
    BEGAN,
    BEGAN_NEXT,
    COMPLETED,
    ENDED,
    SECOND,
    T0,
    append,
    new,
    stored,
)


async def test_a_load_after_a_revision_gives_what_came_after(log: SagaLog) -> None:
    await log.create(new())
    await log.append(append(ENDED, BEGAN_NEXT))
    for after, expected in ((1, (BEGAN, ENDED, BEGAN_NEXT)), (3, (BEGAN_NEXT,)), (4, ())):
        found = await log.load("prc_1", after=after)
        assert found is not None
        assert expected == found.events
        assert 4 == found.row.revision


EVERY_EVENT: tuple[Event, ...] = (
    Started(
        definition="d",
        version=1,
        input={"nested": {"list": [1, 2.5, True, None, 'ä\u2028"\\ \U0001f600']}, "empty": {}},
        deadline_us=T0,
        time_us=T0,
    ),
    AttemptBegan(action="a", attempt=1, time_us=T0 + 1),
    AttemptEnded(
        action="a",
        attempt=1,
        code=Code.UNAVAILABLE,
        reason="R",
        message="ß" * 1_000,
        result=None,
        not_before_us=T0 + 5,
        time_us=T0 + 2,
    ),
    AttemptEnded(action="a", attempt=2, code=Code.OK, result={"id": 2**63}, time_us=T0 + 3),
    AttemptEnded(action="a", attempt=2, code=Code.OK, result="", time_us=T0 + 3),
    CancelRequested(reason="why not", requested_by="", time_us=T0 + 4),
    CompensationBegan(step="", code_name="CANCELLED", reason="R", message="m", time_us=T0 + 5),
    Parked(action="u", code_name="NOT_FOUND", reason="R", message="m", time_us=T0 + 6),
    RetryRequested(reason="again", requested_by="Grace", time_us=T0 + 7),
    ResolvedByHand(action="u", reason="by hand", requested_by="Grace", time_us=T0 + 8),
    Completed(time_us=T0 + 9),
    Cancelled(time_us=T0 + 10),
)


async def test_every_event_comes_back_as_it_was(log: SagaLog) -> None:
    await log.create(replace(new(), events=EVERY_EVENT[:2]))
    await log.append(append(*EVERY_EVENT[2:]))
    assert EVERY_EVENT == (await stored(log)).events


async def listed(log: SagaLog, query: ListQuery) -> list[str]:
    return [process.row.process_id for process in await log.list(query)]


@pytest.fixture
async def five(log: SagaLog) -> SagaLog:
    """Five processes; the fourth and the fifth were created in the same microsecond."""
    for number, (subject, created_us) in enumerate(
        [("Ada", 1), ("Grace", 2), ("Ada", 3), ("Ada", 4), ("Grace", 4)], start=1
    ):
        await log.create(
            replace(new(f"prc_{number}"), subject=subject, create_time_us=T0 + created_us)
        )
    await log.append(append(ENDED, COMPLETED, process_id="prc_2", phase=Phase.COMPLETED))
    parked = Parked(action="", code_name="", reason="R", message="", time_us=T0 + SECOND)
    await log.append(append(parked, process_id="prc_3", phase=Phase.PARKED))
    return log


async def test_a_list_is_newest_first_with_histories(five: SagaLog) -> None:
    found = await five.list(ListQuery(limit=100))
    assert [f"prc_{number}" for number in (5, 4, 3, 2, 1)] == [p.row.process_id for p in found]
    assert [2, 2, 3, 4, 2] == [len(process.events) for process in found]
    for process in found:
        assert process == await five.load(process.row.process_id)


async def test_a_list_goes_on_where_the_page_before_ended(five: SagaLog) -> None:
    assert ["prc_5"] == await listed(five, ListQuery(limit=1))
    assert ["prc_4", "prc_3"] == await listed(five, ListQuery(limit=2, before=(T0 + 4, "prc_5")))
    assert ["prc_2", "prc_1"] == await listed(five, ListQuery(limit=9, before=(T0 + 3, "prc_3")))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (ListQuery(limit=9, phases=frozenset({Phase.RUNNING})), ["prc_5", "prc_4", "prc_1"]),
        (
            ListQuery(limit=9, phases=frozenset({Phase.PARKED, Phase.COMPLETED})),
            ["prc_3", "prc_2"],
        ),
        (ListQuery(limit=9, phases=frozenset({Phase.CANCELLED})), []),
        (ListQuery(limit=9, subject="Grace"), ["prc_5", "prc_2"]),
        (ListQuery(limit=9, create_time_after_us=T0 + 3), ["prc_5", "prc_4", "prc_3"]),
        (ListQuery(limit=9, create_time_before_us=T0 + 3), ["prc_2", "prc_1"]),
        (
            ListQuery(
                limit=9, subject="Ada", phases=frozenset({Phase.RUNNING}), before=(T0 + 4, "prc_4")
            ),
            ["prc_1"],
        ),
        (ListQuery(limit=2, phases=frozenset(Phase)), ["prc_5", "prc_4"]),
    ],
)
async def test_a_list_lets_through_what_all_its_filters_let_through(
    five: SagaLog, query: ListQuery, expected: list[str]
) -> None:
    assert expected == await listed(five, query)
