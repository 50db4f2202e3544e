"""Notices within the program."""

import asyncio

from orchestrator.feed import Feed
from tests.orchestrator.harness.virtual_time import play


async def woken(feed: Feed, *notices: str) -> bool:
    with feed.subscribe("prc_1") as subscription:
        for process_id in notices:
            feed.notify(process_id)
        try:
            async with asyncio.timeout(1.0):
                await subscription.changed()
        except TimeoutError:
            return False
        return True


def test_who_subscribed_is_woken() -> None:
    assert play(woken(Feed(), "prc_1"))


def test_who_subscribed_to_another_is_not() -> None:
    assert not play(woken(Feed(), "prc_2"))


def test_several_notices_are_one() -> None:
    async def scenario() -> bool:
        feed = Feed()
        with feed.subscribe("prc_1") as subscription:
            feed.notify("prc_1")
            feed.notify("prc_1")
            await subscription.changed()
            try:
                async with asyncio.timeout(1.0):
                    await subscription.changed()
            except TimeoutError:
                return True
        return False

    assert play(scenario())


def test_everybody_who_subscribed_is_woken() -> None:
    async def scenario() -> None:
        feed = Feed()
        with feed.subscribe("prc_1") as one, feed.subscribe("prc_1") as two:
            feed.notify("prc_1")
            await asyncio.gather(one.changed(), two.changed())
            with feed.subscribe("prc_2") as three:
                feed.notify_all()
                await asyncio.gather(one.changed(), two.changed(), three.changed())

    play(scenario())


def test_who_has_left_is_forgotten() -> None:
    feed = Feed()
    with feed.subscribe("prc_1"), feed.subscribe("prc_1"):
        pass
    assert {} == feed._subscriptions
    feed.notify("prc_1")
