"""When a target is down, and how attempts come back to it."""

import asyncio
import itertools
from collections.abc import Callable, Sequence

import pytest
import structlog

from orchestrator.breaker import (
    TRIAL_PAUSE_SECONDS_MAX,
    UNANSWERED_MIN,
    Breaker,
    State,
)
from orchestrator.ramp import Ramp
from tests.orchestrator.breaker.harness.target import Target
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.harness.virtual_time import play

# What is told of attempts one after the other: "+" answered, "-" found nobody; "~" was under way
# when the last answer came, and found nobody; "." is a fifth of a second.
SEQUENCES = [
    ("nothing happened", "", State.CLOSED),
    ("too few went unanswered", "-.-.-.-", State.CLOSED),
    ("enough of them, one after the other", "-.-.-.-.-", State.OPEN),
    ("many at once are one accident", "-" * 64, State.CLOSED),
    ("many at once, and one later", "-" * 64 + "...-", State.OPEN),
    ("one in five is answered", "-.-.-.-.+-.-.-.-.+-.-.-.-", State.CLOSED),
    ("answered before, and then no more", "+" * 50 + "-.-.-.-.-", State.OPEN),
    ("all of them began before the last answer", "+" + "~." * 50, State.CLOSED),
    ("the last answer came in between", "-.-.-.-.+~.~.~.~.~", State.CLOSED),
    ("it is back", "-.-.-.-.-" + "+", State.CLOSED),
    ("back, and down again", "-.-.-.-.-" + "+" + "-.-.-.-.-", State.OPEN),
]


@pytest.mark.parametrize(
    ("sequence", "state"), [it[1:] for it in SEQUENCES], ids=[it[0] for it in SEQUENCES]
)
def test_what_counts_as_down(sequence: str, state: State) -> None:
    target = Target(up=False)

    async def scenario() -> None:
        for told in sequence:
            match told:
                case "+":
                    target.breaker.answered()
                case "-":
                    await target.unanswered()
                case "~":
                    await target.unanswered(since=target.breaker.lives - 1)
                case _:
                    await target.clock.sleep(0.2)
        assert state is target.breaker.state
        assert target.breaker.shut == (state is not State.CLOSED)

    play(scenario())


def test_a_target_that_gives_a_sign_of_life_is_slow_and_not_down() -> None:
    target = Target(up=True)

    async def scenario() -> None:
        for _ in range(100):
            await target.unanswered(waited_seconds=2.0)
            await target.clock.sleep(0.1)
        assert State.CLOSED is target.breaker.state

    play(scenario())
    # Once for every few, not for each.
    assert 0 < target.asked <= 100 / UNANSWERED_MIN


def test_of_what_began_before_the_last_answer_nothing_is_asked() -> None:
    target = Target(up=False)

    async def scenario() -> None:
        target.breaker.answered()
        for _ in range(100):
            await target.unanswered(since=0)
            await target.clock.sleep(0.1)

    play(scenario())
    assert 0 == target.asked


def test_one_asks_for_all_and_whoever_is_answered_meanwhile_knows_better() -> None:
    target = Target(up=False, asking_takes_seconds=0.5)

    async def scenario() -> None:
        async with asyncio.TaskGroup() as attempts:
            for _ in range(50):
                attempts.create_task(target.unanswered(waited_seconds=2.0))
            await target.clock.sleep(0.1)
            target.breaker.answered()
        assert State.CLOSED is target.breaker.state

    play(scenario())
    assert 1 == target.asked


def test_attempts_that_waited_long_for_an_answer_count_from_when_they_began() -> None:
    target = Target(up=False)

    async def scenario() -> None:
        for _ in range(UNANSWERED_MIN):
            await target.unanswered(waited_seconds=2.0)
        assert State.OPEN is target.breaker.state

    play(scenario())


def test_while_a_target_is_down_one_at_a_time_tries_with_pauses() -> None:
    target = Target()

    async def scenario() -> None:
        await target.goes_down()
        held = [asyncio.create_task(target.attempt()) for _ in range(100)]
        await target.clock.sleep(10.0)
        assert 100 - len(target.arrivals) == target.breaker.held
        for task in held:
            task.cancel()

    play(scenario())
    pauses = [round(after - before, 3) for before, after in itertools.pairwise(target.arrivals)]
    assert 1 == target.out_most
    assert 12 <= len(target.arrivals) <= 14
    assert sorted(pauses) == pauses
    assert TRIAL_PAUSE_SECONDS_MAX <= pauses[-1] <= TRIAL_PAUSE_SECONDS_MAX + 0.1


def test_whoever_is_answered_while_it_is_down_begins_the_ramp_at_once() -> None:
    target = Target()

    async def scenario() -> None:
        await target.goes_down()
        # So that the next trial is a second away.
        tries = [asyncio.create_task(target.attempt_until_answered()) for _ in range(5)]
        await target.clock.sleep(5.0)
        target.up = True
        target.breaker.answered()
        await target.clock.sleep(0.1)
        assert all(it.done() for it in tries)

    play(scenario())


async def outage(target: Target, held: int) -> float:
    """Everybody comes while it is down, then it is up again. When it was found to be."""
    await target.goes_down()
    tasks = [asyncio.create_task(target.attempt_until_answered()) for _ in range(held)]
    await target.clock.sleep(30.0)
    target.trials = len(target.arrivals)
    target.up = True
    await asyncio.gather(*tasks)
    # Whoever found it up again was first.
    since = target.arrivals[target.trials]
    target.arrivals = target.arrivals[target.trials :]
    return since


def seconds_of_a_return(target: Target, held: int = 3_000) -> list[int]:
    async def scenario() -> list[int]:
        counts = target.per_second(since=await outage(target, held))
        assert State.CLOSED is target.breaker.state
        assert 0 == target.breaker.held
        return counts

    return play(scenario())


def is_a_ramp(counts: Sequence[int]) -> None:
    assert counts[0] <= max(counts) / 2
    assert all(after <= 3 * before for before, after in itertools.pairwise(counts))


def test_all_come_back_along_a_ramp() -> None:
    target = Target()
    counts = seconds_of_a_return(target)
    is_a_ramp(counts)
    assert 3_000 == sum(counts)
    assert len(counts) <= 6


def test_the_second_outage_is_like_the_first() -> None:
    target = Target()

    async def scenario() -> list[tuple[int, int]]:
        seen = []
        for _ in range(2):
            before = len(target.arrivals)
            since = await outage(target, held=500)
            seen.append((target.trials - before, target.per_second(since=since)[0]))
        return seen

    (trials, in_the_first_second), second = play(scenario())
    assert (trials, in_the_first_second) == pytest.approx(second, abs=1)
    assert trials > 30


def test_no_more_are_out_than_the_window_lets() -> None:
    target = Target(ramp=Ramp(per_second=1_000_000.0))
    # A hundredth of a second each: all are through before the window has grown.
    seconds_of_a_return(target, held=200)
    assert 32 == target.out_most


def without_a_bound() -> Target:
    return Target(ramp=Ramp(per_second=1e9, window=1_000_000), window_max=1_000_000)


def that_never_opens(monkeypatch: pytest.MonkeyPatch) -> Target:
    def never(self: Breaker, now_us: int) -> bool:
        del self, now_us
        return False

    monkeypatch.setattr(Breaker, "_is_suspect", never)
    return Target()


def test_without_a_bound_on_the_ramp_all_are_there_at_once() -> None:
    """Removes the mechanism: the ramp."""
    with pytest.raises(AssertionError):
        is_a_ramp(seconds_of_a_return(without_a_bound()))


def test_a_breaker_that_never_opens_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes the mechanism: the opening."""
    target = that_never_opens(monkeypatch)
    with pytest.raises(AssertionError):
        play(target.goes_down())
    assert not target.breaker.shut


def test_a_target_that_goes_down_on_the_ramp_is_left_alone_at_once() -> None:
    target = Target()

    async def scenario() -> None:
        await target.goes_down()
        tasks = [asyncio.create_task(target.attempt_until_answered()) for _ in range(500)]
        target.up = True
        await target.clock.sleep(2.0)
        target.up = False
        began = len(target.arrivals)
        await target.clock.sleep(0.1)
        assert State.OPEN is target.breaker.state
        assert len(target.arrivals) - began <= 50
        target.up = True
        await asyncio.gather(*tasks)

    with captured_lines() as lines:
        play(scenario())
    assert ["participant_down"] == lines.events("error")
    assert ["participant_back"] == lines.events("info")


def test_one_that_is_slow_for_everybody_is_not_waited_for_for_good() -> None:
    """A second for each, where the window at first lets thirty a second through."""
    target = Target()

    async def scenario() -> float:
        await target.goes_down()
        tasks = [asyncio.create_task(target.attempt(takes_seconds=1.0)) for _ in range(3_000)]
        target.up = True
        await asyncio.gather(*tasks)
        return asyncio.get_running_loop().time()

    assert play(scenario()) <= 25.0


def test_turns_are_granted_in_the_order_in_which_they_were_asked_for() -> None:
    target = Target()
    granted: list[int] = []

    async def one(number: int) -> None:
        await target.attempt()
        granted.append(number)

    async def scenario() -> None:
        await target.goes_down()
        tasks = [asyncio.create_task(one(number)) for number in range(300)]
        target.up = True
        await asyncio.gather(*tasks)

    play(scenario())
    assert list(range(300)) == granted


def given_back(times: int) -> Callable[[Target], None]:
    def give_back(target: Target) -> None:
        turn = target.breaker.queue(lambda: None)
        for _ in range(times):
            turn.give_back()

    return give_back


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_turn_that_is_given_back_unused_is_the_next_ones(times: int) -> None:
    target = Target(window_max=1)

    async def scenario() -> None:
        await target.goes_down()
        given_back(times)(target)
        target.up = True
        await asyncio.gather(*(target.attempt() for _ in range(10)))

    play(scenario())
    assert 1 == target.out_most
    assert 10 == len(target.arrivals)


def test_those_who_ask_where_it_is_closed_come_along_the_ramp_and_no_others_are_held() -> None:
    target = Target()

    async def scenario() -> list[int]:
        tasks = [asyncio.create_task(target.attempt()) for _ in range(5_000)]
        await target.clock.sleep(1.0)
        assert not target.breaker.shut
        assert target.breaker.held > 4_000
        await asyncio.gather(*tasks)
        return target.per_second(since=0.0)

    is_a_ramp(play(scenario()))


def test_after_the_ramp_it_is_closed_even_if_many_are_still_held() -> None:
    target = Target(window_max=10)

    async def scenario() -> None:
        await target.goes_down()
        tasks = [asyncio.create_task(target.attempt(takes_seconds=1.0)) for _ in range(300)]
        target.up = True
        await target.clock.sleep(20.0)
        assert not target.breaker.shut
        assert target.breaker.held > 0
        await asyncio.gather(*tasks)

    play(scenario())
    assert 10 == target.out_most


def test_an_outage_is_one_incident_with_two_lines() -> None:
    target = Target()
    # Whoever's attempt was the last straw, it is not what the lines are about.
    with structlog.contextvars.bound_contextvars(process_id="prc_1"), captured_lines() as lines:
        seconds_of_a_return(target, held=200)
    [down] = lines.of("participant_down")
    [back] = lines.of("participant_back")
    assert "process_id" not in down | back
    assert ("error", "shop", "UNAVAILABLE", 5, 0) == (
        down["log_level"],
        down["participant"],
        down["seen"],
        down["unanswered"],
        down["held"],
    )
    assert ("info", "shop") == (back["log_level"], back["participant"])
    assert 30.0 <= back["seconds"] <= 32.0
    assert 0.0 < back["ramp_seconds"] <= 2.0
    # Each of those that tried in vain was held once more.
    assert 200 <= back["held"] <= 240
