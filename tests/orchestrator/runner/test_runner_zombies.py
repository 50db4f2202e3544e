"""Two orchestrators take a process for theirs; the epoch says whose it is."""

from orchestrator.saga.code import Code
from orchestrator.saga.events import AttemptEnded
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import Answer, answers
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.harness.stage import Node, Stage
from tests.orchestrator.harness.virtual_time import play


async def overtaken(stage: Stage) -> tuple[Node, Node]:
    """The first orchestrator is slow, not dead; the second claims what it owns and finishes it."""
    first = stage.start_node(recovers=False)
    await stage.accept(first)
    await stage.clock.sleep(1.0)
    assert ["create_order", "process_payment"] == stage.calls
    second = stage.start_node()
    await stage.rests()
    return first, second


def slow_payment() -> Stage:
    slow = Answer(code=Code.UNAVAILABLE, takes_seconds=4.0, applies=True)
    return Stage(script={"process_payment": answers(slow)})


def test_who_was_overtaken_writes_nothing_and_calls_nobody() -> None:
    stage = slow_payment()
    with captured_lines() as lines:

        async def scenario() -> None:
            first, second = await overtaken(stage)
            settled = stage.events()
            calls = tuple(stage.calls)
            assert 1 == first.runner.in_flight
            await stage.clock.sleep(10.0)
            assert 0 == first.runner.in_flight
            assert settled == stage.events()
            assert calls == tuple(stage.calls)
            await first.drain()
            await second.drain()
            stage.check()

        play(scenario())
    assert 1 == len(lines.of("process_fenced"))
    assert Phase.COMPLETED is stage.state().phase
    ends = [e for e in stage.events() if isinstance(e, AttemptEnded)]
    assert [Code.OK] * 5 == [end.code for end in ends]


def test_who_was_overtaken_during_a_pause_makes_no_further_attempt() -> None:
    stage = Stage(
        script={
            "process_payment": answers(
                Answer(code=Code.RESOURCE_EXHAUSTED, retry_after_seconds=20.0)
            )
        }
    )

    async def scenario() -> None:
        first = stage.start_node(recovers=False)
        await stage.accept(first)
        await stage.clock.sleep(1.0)
        second = stage.start_node()
        await stage.rests()
        await first.drain()
        await second.drain()
        stage.check()

    play(scenario())
    assert ["process_payment"] * 2 == [call for call in stage.calls if call == "process_payment"]


def test_who_claims_what_he_runs_himself_fences_his_former_self() -> None:
    """As when the answer to a create or a claim was lost, and the process is found later."""
    stage = slow_payment()

    async def scenario() -> None:
        node = stage.start_node(recovers=False)
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        process_id = stage.row().process_id
        stage.log._in_doubt.add((process_id, 1))
        [claimed] = await stage.log.claim(owner=node.owner, now_us=stage.clock.now_us(), limit=1)
        node.runner.launch(claimed)
        assert 2 == claimed.row.epoch
        node.runner.launch(claimed)
        await stage.rests()
        await node.drain()
        stage.check()

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase
    assert [
        "create_order",
        "process_payment",
        "process_payment",
        "confirm_payment",
        "confirm_order",
        "process_delivery",
    ] == stage.calls
