"""Notices within the program."""

import asyncio

from orchestrator.feed import Feed
from tests.orchestrator.harness.virtual_time import play


async def woken(feed: Feed, *notices: str) -> bool:
    with feed.subscribe("prc_1") as subscription:
        for process_id in notices:
            feed.notify(process_id)
        return await subscription.changed(1.0)


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
            assert await subscription.changed(1.0)
            return await subscription.changed(1.0)

    assert not play(scenario())


def test_a_notice_while_one_waits_ends_the_waiting() -> None:
    async def scenario() -> bool:
        feed = Feed()
        with feed.subscribe("prc_1") as subscription:
            waiting = asyncio.ensure_future(subscription.changed(1.0))
            await asyncio.sleep(0.5)
            feed.notify("prc_1")
            feed.notify("prc_1")
            return await waiting

    assert play(scenario())


def test_everybody_who_subscribed_is_woken() -> None:
    async def scenario() -> None:
        feed = Feed()
        with feed.subscribe("prc_1") as one, feed.subscribe("prc_1") as two:
            feed.notify("prc_1")
            noticed = await asyncio.gather(*(it.changed(1.0) for it in (one, two)))
            assert [True, True] == noticed
            with feed.subscribe("prc_2") as three:
                feed.notify_all()
                noticed = await asyncio.gather(*(it.changed(1.0) for it in (one, two, three)))
                assert [True, True, True] == noticed

    play(scenario())


def test_who_has_left_is_forgotten() -> None:
    feed = Feed()
    with feed.subscribe("prc_1"), feed.subscribe("prc_1"):
        pass
    assert {} == feed._subscriptions
    feed.notify("prc_1")
