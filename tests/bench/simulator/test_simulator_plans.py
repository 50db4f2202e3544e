import pytest

from bench.simulator.faults import AT_THE_CALL, JUST_BEFORE, LIKE, MENU, Place
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


SCENARIOS = ("delivered", "declined", "not-taken", "undeliverable", "parked-resolved")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_just_before_a_call_is_right_after_the_commit_that_lets_it_leave(scenario: str) -> None:
    player, plan = Player(order_world()), Plan(scenario=scenario)
    points = player.play(plan).points
    calls = [at for at, (place, _) in enumerate(points) if place in {Place.CALL, Place.UNDO}]
    for call in calls:
        assert Place.LOG is points[call - 1][0]
        for before, after in JUST_BEFORE.items():
            one = player.play(plan.and_then(call, before))
            other = player.play(plan.and_then(call - 1, after))
            assert (one.phase, one.end_state, one.story) == (
                other.phase,
                other.end_state,
                other.story,
            )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_right_after_a_reply_is_just_before_the_commit_of_the_outcome(scenario: str) -> None:
    player, plan = Player(order_world()), Plan(scenario=scenario)
    points = player.play(plan).points
    for call, (place, _) in enumerate(points):
        if place not in {Place.CALL, Place.UNDO}:
            continue
        commit = next(at for at in range(call, len(points)) if points[at][0] is Place.LOG)
        for before, after in JUST_BEFORE.items():
            one = player.play(plan.and_then(call, after))
            other = player.play(plan.and_then(commit, before))
            assert (one.phase, one.end_state, one.story) == (
                other.phase,
                other.end_state,
                other.story,
            )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_where_one_commit_is_all_its_faults_are_those_of_the_call(scenario: str) -> None:
    world = order_world()
    player, plan = Player(world), Plan(scenario=scenario)
    points = player.play(plan).points
    for commit, (place, name) in enumerate(points):
        if place is not Place.COMMIT or name not in world.one_commit:
            continue
        call = max(at for at in range(commit) if points[at][0] in {Place.CALL, Place.UNDO})
        for fault, at_the_call in AT_THE_CALL.items():
            one = player.play(plan.and_then(commit, fault))
            other = player.play(plan.and_then(call, at_the_call))
            assert (one.phase, one.end_state, one.story) == (
                other.phase,
                other.end_state,
                other.story,
            )
