"""That nothing is reported that is merely under way: every honest life, however it is read.

And that this is owed to reading again what does not fit: without it the same lives are reported.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import strategies

from orchestrator.audit import audit as audit_module
from orchestrator.audit.accounts import Case, EntityKind, process_of_retired
from orchestrator.audit.audit import Audit
from orchestrator.audit.comparison import compare
from orchestrator.audit.finding import Finding
from orchestrator.audit.progress import Progress, Range
from orchestrator.saga_log.retirement import RetiredProcess
from tests.orchestrator.audit.harness import history
from tests.orchestrator.audit.harness.history import (
    BEGAN_US,
    PROCESS_ID,
    Life,
    World,
    declined,
    delivered,
    delivered_long_ago,
    delivered_long_ago_and_purged_the_other_way_round,
    returned,
    returned_long_ago,
    undeliverable,
    undeliverable_long_ago,
)

LONG_AGO = (
    delivered_long_ago,
    delivered_long_ago_and_purged_the_other_way_round,
    returned_long_ago,
    undeliverable_long_ago,
)
LIVES = (delivered, returned, undeliverable, declined)
# How far the world moves before each read of an audit: mostly not at all, sometimes a lot.
MOVES = strategies.lists(strategies.sampled_from([0, 0, 0, 1, 1, 2, 5, 40]), max_size=60)


class FixedClock:
    def now_us(self) -> int:
        return BEGAN_US + 1_000

    async def sleep(self, seconds: float) -> None:
        del seconds


def audited(life: Life, moves: Sequence[int]) -> list[Finding]:
    """What an audit finds while the world moves so."""
    left = list(moves)
    world = World(life, lambda: left.pop(0) if left else 0)
    audit = Audit(log=world.log, books=world.books, clock=FixedClock(), attempt_timeout_seconds=2.0)
    progress = Progress(
        range=Range(overdue_seconds=300),
        until_us=BEGAN_US + 1_000,
        position_us=BEGAN_US - 1_000,
        width_us=10_000,
    )

    async def run() -> list[Finding]:
        return [it async for page in audit.pages(progress) for it in page.findings]

    return asyncio.run(run())


@pytest.mark.parametrize("life", LIVES)
@hypothesis.given(moves=MOVES)
@hypothesis.settings(max_examples=300)
def test_an_honest_life_is_never_reported(life: Callable[[], Life], moves: list[int]) -> None:
    assert [] == audited(life(), moves)


@hypothesis.given(moves=MOVES)
@hypothesis.settings(max_examples=100)
def test_nor_is_one_that_retention_takes_leave_of(moves: list[int]) -> None:
    assert [] == audited(delivered_long_ago(), moves)


@pytest.mark.parametrize("life", LIVES)
def test_nor_is_it_wherever_the_world_moves_once_or_twice(life: Callable[[], Life]) -> None:
    moments = len(life().moments)
    for first in range(moments):
        for read in range(14):
            for further in (1, 3, moments):
                moves = [first, *[0] * read, further]
                assert [] == audited(life(), moves), moves


async def _read_once(
    audit: Audit, process_id: str, overdue_us: int, kinds: Iterable[EntityKind] = EntityKind
) -> tuple[Finding, ...]:
    """Reads again, but takes one reading for the truth."""
    entities = await audit._belongings(process_id, kinds)
    process = await audit._process(process_id)
    if process is None:
        return ()
    case = Case(entities=entities, process=process)
    return compare(case, now_us=BEGAN_US, overdue_us=overdue_us)


def test_without_reading_the_entities_twice_an_honest_life_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Audit, "_of_process", _read_once)
    moments = len(returned().moments)
    reported = [
        (first, read)
        for first in range(moments)
        for read in range(14)
        if audited(returned(), [first, *[0] * read, *[1] * 11])
    ]
    assert reported


def wherever_it_moves(life: Callable[[], Life]) -> list[tuple[int, int]]:
    """Where the world may stand and move on from so that an audit reports something."""
    return [
        (first, read)
        for first in range(len(life().moments))
        for read in range(14)
        if audited(life(), [first, *[0] * read, *[1] * 11])
    ]


@pytest.mark.parametrize("life", LONG_AGO)
def test_retention_at_full_speed_between_any_two_reads_is_never_reported(
    life: Callable[[], Life],
) -> None:
    assert [] == wherever_it_moves(life)


@pytest.mark.parametrize("life", [delivered_long_ago, returned_long_ago])
def test_without_looking_at_the_retired_what_they_left_is_reported(
    life: Callable[[], Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removes the mechanism: the test above would fail."""

    async def nobody(_: object, process_ids: Sequence[str]) -> Mapping[str, RetiredProcess]:
        del process_ids
        return {}

    monkeypatch.setattr(history._Retirement, "find", nobody)
    assert (life is delivered_long_ago) == bool(wherever_it_moves(life))


def test_without_knowing_that_a_process_is_retired_what_is_purged_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Removes the mechanism, as above: it is compared as if everything should be there."""
    monkeypatch.setattr(
        audit_module,
        "process_of_retired",
        lambda it: replace(process_of_retired(it), retired=False),
    )
    assert wherever_it_moves(delivered_long_ago)


def test_without_reading_twice_what_is_purged_meanwhile_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Takes the list that was read first for the truth: the process is in the log, the order not.

    What the participant had is read after the process, so it may be purged since.
    """

    async def process_first(
        audit: Audit, process_id: str, overdue_us: int, kinds: Iterable[EntityKind] = EntityKind
    ) -> tuple[Finding, ...]:
        process = await audit._process(process_id)
        if process is None:
            return ()
        case = Case(process=process, entities=await audit._belongings(process_id, kinds))
        return compare(case, now_us=BEGAN_US, overdue_us=overdue_us)

    monkeypatch.setattr(Audit, "_of_process", process_first)
    # It is listed as it was on its way, then seen to be completed; from there on it is purged.
    completed = len(delivered().moments) - 1
    moves = (
        [first, *[0] * read, completed - first, *[0] * again, 40]
        for first in range(completed)
        for read in range(2, 10)
        for again in range(3, 9)
    )
    assert any(audited(delivered_long_ago(), it) for it in moves)


@pytest.mark.parametrize(
    ("kind", "state", "expected"),
    [
        (EntityKind.ORDER, "PENDING", "ORDER_STATE_MISMATCH"),
        (EntityKind.PAYMENT, "CANCELLED", "PAYMENT_STATE_MISMATCH"),
        (EntityKind.DELIVERY, "CANCELLED", "DELIVERY_STATE_MISMATCH"),
    ],
)
def test_what_is_still_there_for_a_retired_process_is_compared_with_its_end(
    kind: EntityKind, state: str, expected: str
) -> None:
    life = delivered()
    life.retire()
    life.effect(kind, state)
    found = audited(life, [len(life.moments)])
    assert [expected] == [it.kind for it in found]
    assert [PROCESS_ID] == [it.process_id for it in found]


def test_what_comes_to_life_after_the_purge_of_a_cancelled_process_is_reported_once() -> None:
    life = undeliverable()
    life.retire()
    life.purge(*EntityKind)
    life.effect(EntityKind.PAYMENT, "HELD")
    found = audited(life, [len(life.moments)])
    assert [("PAYMENT_OF_CANCELLED_PROCESS", PROCESS_ID)] == [
        (it.kind, it.process_id) for it in found
    ]


def test_what_a_person_had_undone_is_not_reported_of_a_retired_process_either() -> None:
    life = undeliverable()
    life.effect(EntityKind.PAYMENT, "HELD")
    life.retire()
    retired = life.moments[-1].retired
    assert retired is not None
    by_hand = replace(retired, by_hand=frozenset({"cancel_payment"}))
    life.moments[-1] = replace(life.moments[-1], retired=by_hand)
    assert [] == audited(life, [len(life.moments)])


def test_what_is_wrong_at_the_end_is_reported_however_the_world_moved_before() -> None:
    life = undeliverable()
    life.effect(EntityKind.DELIVERY, "ASSIGNED")
    moments = len(life.moments)
    found = audited(life, [moments])
    assert ["DELIVERY_OF_CANCELLED"] == [it.kind for it in found]
    assert [PROCESS_ID] == [it.process_id for it in found]
