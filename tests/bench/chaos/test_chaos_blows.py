"""The plan of a run, and how it keeps step with the load."""

import asyncio
from collections import Counter

import pytest

from bench.chaos.blows import DATABASE, draw_blows
from bench.chaos.layout import ONE_OF_EACH, SERVICES, Layout
from bench.chaos.orders import HOPELESS, Fate, draw
from bench.chaos.pace import Pace

MANY = Layout(orchestrators=3, participants=2)


def test_the_plan_has_every_kill_and_every_pause_spread_evenly_over_the_four() -> None:
    blows = draw_blows(7, ONE_OF_EACH, orders=5_000, kills=40, pauses=8)
    killed = Counter(it.victim for it in blows if it.pause_seconds is None)
    stopped = Counter(it.victim for it in blows if it.pause_seconds is not None)
    assert dict.fromkeys(SERVICES, 10) == killed
    assert dict.fromkeys(SERVICES, 2) == stopped


def test_the_blows_fall_one_after_the_other_and_within_the_load() -> None:
    after = [it.after for it in draw_blows(7, ONE_OF_EACH, orders=5_000, kills=40, pauses=8)]
    assert sorted(after) == after
    assert 0 <= after[0] < after[-1] < 5_000


@pytest.mark.parametrize("layout", [ONE_OF_EACH, MANY], ids=["one", "many"])
def test_a_pause_is_long_enough_to_hurt_and_short_enough_to_end(layout: Layout) -> None:
    pauses = [it.pause_seconds for it in draw_blows(7, layout, orders=100, kills=0, pauses=50)]
    shortest, longest = layout.pause_seconds
    assert all(it is not None and shortest <= it <= longest for it in pauses)


def test_who_shares_a_log_is_stopped_for_longer_than_its_lease() -> None:
    assert MANY.pause_seconds[0] > MANY.lease_seconds


def test_the_database_is_restarted_at_moments_spread_over_the_load() -> None:
    blows = draw_blows(7, MANY, orders=5_000, kills=40, pauses=8, restarts=3)
    restarts = [it.after for it in blows if it.victim == DATABASE]
    assert 51 == len(blows)
    assert [1, 2, 3] == [round(4 * it / 5_000) for it in restarts]
    assert set(MANY.names) == {it.victim for it in blows} - {DATABASE}


def test_replicas_are_named_by_their_service() -> None:
    assert SERVICES == ONE_OF_EACH.names
    assert ("order-1", "order-2") == MANY.replicas["order"]
    assert ("orchestrator-1", "orchestrator-2", "orchestrator-3") == MANY.replicas["orchestrator"]


def test_the_same_seed_is_the_same_plan_and_the_same_orders() -> None:
    assert draw_blows(7, ONE_OF_EACH, orders=99, kills=9, pauses=3) == draw_blows(
        7, ONE_OF_EACH, orders=99, kills=9, pauses=3
    )
    assert [draw(7, n) for n in range(50)] == [draw(7, n) for n in range(50)]
    assert [draw(7, n).fate for n in range(50)] != [draw(8, n).fate for n in range(50)]


def test_every_fate_is_drawn_and_each_request_has_an_id_of_its_own() -> None:
    orders = [draw(7, n) for n in range(1_000)]
    assert set(Fate) == {it.fate for it in orders}
    assert 1_000 == len({it.request.request_id for it in orders})
    assert HOPELESS < set(Fate)


def test_an_order_costs_what_its_items_add_up_to() -> None:
    free = [draw(7, n).minor_units for n in range(1_000) if draw(7, n).fate is Fate.FREE]
    paid = [draw(7, n).minor_units for n in range(1_000) if draw(7, n).fate is Fate.GOOD]
    assert {0} == set(free)
    assert min(paid) > 0


async def test_a_blow_waits_until_enough_orders_are_accepted() -> None:
    pace = Pace([2], ahead=5)
    due = asyncio.create_task(pace.is_due())
    await pace.was_accepted()
    await asyncio.wait({due}, timeout=0)
    assert not due.done()
    await pace.was_accepted()
    await due


async def test_the_load_does_not_outrun_the_blows() -> None:
    pace = Pace([2], ahead=5)
    await pace.may_offer(6)
    too_early = asyncio.create_task(pace.may_offer(7))
    await asyncio.wait({too_early}, timeout=0)
    assert not too_early.done()
    await pace.was_struck()
    await too_early
