"""Room for so many at once."""

import asyncio

from orchestrator.participants.room import Room
from tests.orchestrator.harness.virtual_time import play

LONG_SECONDS = 60.0


def test_there_are_as_many_places_as_were_said() -> None:
    async def scenario() -> list[bool]:
        room = Room(2)
        return [room.enter_at_once(), room.enter_at_once(), room.enter_at_once()]

    assert [True, True, False] == play(scenario())


def test_who_has_waited_longest_is_next_and_nobody_overtakes() -> None:
    async def scenario() -> list[str]:
        room, entered = Room(1), list[str]()

        async def wait(name: str) -> None:
            assert await room.enter(LONG_SECONDS)
            entered.append(name)

        assert room.enter_at_once()
        waiting = [asyncio.ensure_future(wait(name)) for name in ("first", "second")]
        await asyncio.sleep(1.0)
        room.leave()
        # The place is the first one's already, though it has not gone on yet.
        assert not room.enter_at_once()
        await asyncio.sleep(1.0)
        assert ["first"] == entered
        room.leave()
        await asyncio.gather(*waiting)
        return entered

    assert ["first", "second"] == play(scenario())


def test_who_waits_for_too_long_goes_without_and_takes_no_place_along() -> None:
    async def scenario() -> None:
        room = Room(1)
        assert room.enter_at_once()
        assert not await room.enter(1.0)
        room.leave()
        assert room.enter_at_once()

    play(scenario())


def test_a_place_that_was_handed_to_one_who_was_cancelled_is_not_lost() -> None:
    async def scenario() -> None:
        room = Room(1)
        assert room.enter_at_once()
        waiting = asyncio.ensure_future(room.enter(LONG_SECONDS))
        await asyncio.sleep(1.0)
        room.leave()
        waiting.cancel()
        assert [True] == [
            isinstance(it, asyncio.CancelledError)
            for it in await asyncio.gather(waiting, return_exceptions=True)
        ]
        assert room.enter_at_once()

    play(scenario())


def test_one_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    async def scenario() -> None:
        room = Room(1)
        assert room.enter_at_once()
        gone, stays = (asyncio.ensure_future(room.enter(LONG_SECONDS)) for _ in range(2))
        await asyncio.sleep(1.0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        room.leave()
        assert await stays
        assert not room.enter_at_once()

    play(scenario())
