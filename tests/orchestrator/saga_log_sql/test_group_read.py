"""Reads that share one."""

import asyncio
from collections.abc import Sequence

import pytest

from orchestrator.saga_log.group_read import GroupRead


class Library:
    """What is read from. The first read goes on until it is let to end."""

    def __init__(self, *, batch_max: int = 100) -> None:
        self.read: list[list[int]] = []
        self.first_began = asyncio.Event()
        self.first_may_end = asyncio.Event()
        self.loads: GroupRead[int, int] = GroupRead(self._read, batch_max=batch_max)

    async def _read(self, wanted: Sequence[int]) -> Sequence[int]:
        self.read.append(list(wanted))
        if len(self.read) == 1:
            self.first_began.set()
            await self.first_may_end.wait()
        if 13 in wanted:
            raise LookupError("thirteen")
        return [number * 10 for number in wanted]

    async def begin(self, *others: int) -> list[asyncio.Task[int]]:
        """Has the number 0 being read, and others waiting behind it."""
        tasks = [asyncio.create_task(self.loads.get(0))]
        await self.first_began.wait()
        tasks += [asyncio.create_task(self.loads.get(number)) for number in others]
        # One step of the loop, in which they ask.
        await asyncio.sleep(0)
        return tasks


async def test_what_is_asked_for_during_a_read_is_read_after_it_and_together() -> None:
    library = Library()
    tasks = await library.begin(1, 2, 3)
    library.first_may_end.set()

    assert [0, 10, 20, 30] == await asyncio.gather(*tasks)
    assert [[0], [1, 2, 3]] == library.read


async def test_a_group_is_bounded() -> None:
    library = Library(batch_max=2)
    tasks = await library.begin(1, 2, 3, 4, 5)
    library.first_may_end.set()
    await asyncio.gather(*tasks)

    assert [[0], [1, 2], [3, 4], [5]] == library.read


async def test_who_leaves_is_not_read_for_and_the_others_are() -> None:
    library = Library()
    first, second, third = await library.begin(1, 2)
    first.cancel()
    second.cancel()
    library.first_may_end.set()

    assert 20 == await third
    assert [[0], [2]] == library.read


async def test_what_goes_wrong_is_told_to_all_who_share_it_and_to_nobody_else() -> None:
    library = Library()
    tasks = await library.begin(1, 13)
    library.first_may_end.set()

    assert 0 == await tasks[0]
    for task in tasks[1:]:
        with pytest.raises(LookupError):
            await task
    assert 70 == await library.loads.get(7)
