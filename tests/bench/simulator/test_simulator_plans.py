import pytest

from bench.simulator.faults import LIKE, MENU
from bench.simulator.orders.world import order_world
from bench.simulator.plan import Plan, Unreadable
from bench.simulator.run import Player

EVERY_FAULT = sorted({fault for menu in MENU.values() for fault in menu})


def test_a_plan_reads_back_as_it_was_printed() -> None:
    plan = Plan(scenario="parked-retried")
    assert plan == Plan.parse(str(plan))
    for fault in EVERY_FAULT:
        longer = plan.and_then(3, fault).and_then(17, "lost")
        assert longer == Plan.parse(str(longer))


@pytest.mark.parametrize("text", ["", "Delivered", "delivered:", "delivered:x=lost", "a:1=gone"])
def test_what_is_no_plan_is_refused_in_words(text: str) -> None:
    with pytest.raises(Unreadable, match="such as"):
        Plan.parse(text)


def test_a_plan_gives_the_same_run_every_time() -> None:
    plan = Plan.parse("undeliverable:5=crash-after,20=out-5s")
    first, second = (
        Player(order_world()).play(plan, traced=True),
        Player(order_world()).play(plan, traced=True),
    )
    assert first == second
    assert first.trace


def test_one_code_of_each_outcome_stands_for_the_others() -> None:
    """What pairs leave out is in the singles, and leads to the same."""
    player = Player(order_world())
    for text, point in (("delivered", 1), ("delivered", 5), ("undeliverable", 22)):
        plan = Plan.parse(text)
        place, _ = player.play(plan).points[point]
        for fault in MENU[place]:
            if fault not in LIKE:
                continue
            outcome = player.play(plan.and_then(point, fault))
            like = player.play(plan.and_then(point, LIKE[fault]))
            assert (like.phase, like.end_state, like.points) == (
                outcome.phase,
                outcome.end_state,
                outcome.points,
            )
