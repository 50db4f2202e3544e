"""Every single fault at every point of every scenario; pairs are for `make explore`."""

import pytest

from bench.simulator.explore import Explorer, Job, Settings, explore
from bench.simulator.faults import CUT_LAST, MENU, TWICE_LAST
from bench.simulator.named import ORDERS, NoSuchWorld, load_world
from bench.simulator.plan import Plan

JOURNEY = "tests.bench.simulator.journey_world:journey"


@pytest.mark.timeout(600)
def test_no_single_fault_at_any_point_breaks_an_order() -> None:
    tally = explore(Settings(world=ORDERS), depth=1, workers=2)
    assert [] == tally.violations
    assert tally.schedules > 2_500
    assert {"COMPLETED", "CANCELLED", "PARKED"} == set(tally.phases)
    assert len(tally.end_states) > 20


def test_every_fault_of_every_place_is_tried() -> None:
    explorer = Explorer(Settings(world=ORDERS))
    tried = {plan.faults[0][1] for plan in explorer.singles()}
    # What befalls the commits of people needs a first fault that has people do something.
    assert tried == {fault for menu in MENU.values() for fault in menu}


@pytest.mark.parametrize("fault", [CUT_LAST, TWICE_LAST])
def test_a_request_that_arrives_when_all_is_over_breaks_nothing_whatever_else_happens(
    fault: str,
) -> None:
    explorer = Explorer(Settings(world=ORDERS))
    tally = explorer.do(Job(plan=Plan(scenario="delivered").and_then(1, fault), pairs=True))
    assert [] == tally.violations
    # Fewer than the menu has for every point: what provably leads to the same is left out.
    assert tally.schedules > 100


def test_a_saga_of_ones_own_is_explored_as_well() -> None:
    tally = explore(Settings(world=JOURNEY), depth=1, workers=1)
    assert [] == tally.violations
    assert tally.schedules > 500
    assert "journey" == load_world(JOURNEY).name


@pytest.mark.parametrize("name", ["", "nowhere:world", "bench.simulator.plan:Plan"])
def test_a_world_that_is_not_there_is_said_so(name: str) -> None:
    with pytest.raises((NoSuchWorld, TypeError)):
        load_world(name)
