"""That nothing is reported that is merely under way: every honest life, however it is read.

And that this is owed to reading again what does not fit: without it the same lives are reported.
"""

import asyncio
from collections.abc import Callable, Sequence

import hypothesis
import pytest
from hypothesis import strategies

from orchestrator.audit.accounts import Case, EntityKind
from orchestrator.audit.audit import Audit
from orchestrator.audit.comparison import compare
from orchestrator.audit.finding import Finding
from orchestrator.audit.progress import Progress, Range
from tests.orchestrator.audit.harness.history import (
    BEGAN_US,
    PROCESS_ID,
    Life,
    World,
    declined,
    delivered,
    returned,
    undeliverable,
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


@pytest.mark.parametrize("life", LIVES)
def test_nor_is_it_wherever_the_world_moves_once_or_twice(life: Callable[[], Life]) -> None:
    moments = len(life().moments)
    for first in range(moments):
        for read in range(14):
            for further in (1, 3, moments):
                moves = [first, *[0] * read, further]
                assert [] == audited(life(), moves), moves


async def _read_once(audit: Audit, process_id: str, overdue_us: int) -> tuple[Finding, ...]:
    """Reads again, but takes one reading for the truth."""
    case = Case(
        entities=await audit._belongings(process_id, EntityKind),
        process=await audit._process(process_id),
    )
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


def test_what_is_wrong_at_the_end_is_reported_however_the_world_moved_before() -> None:
    life = undeliverable()
    life.effect(EntityKind.DELIVERY, "ASSIGNED")
    moments = len(life.moments)
    found = audited(life, [moments])
    assert ["DELIVERY_OF_CANCELLED"] == [it.kind for it in found]
    assert [PROCESS_ID] == [it.process_id for it in found]
