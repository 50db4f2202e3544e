"""A call whose gate is shut waits for its turn, and nothing says that it began."""

from chassis.clock import MICROSECONDS_PER_SECOND
from orchestrator.saga.code import Code
from orchestrator.saga.definition import Policy
from orchestrator.saga.events import AttemptBegan, AttemptEnded, Started
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import always, once
from tests.orchestrator.harness.gates import HandGate
from tests.orchestrator.harness.incidents import dawdle, lose
from tests.orchestrator.harness.stage import KEY, Node, Stage
from tests.orchestrator.harness.virtual_time import EPOCH_US, play

BANK = ("process_payment", "confirm_payment", "cancel_payment")
SHOP = ("create_order", "confirm_order", "cancel_order")


def gated(stage: Stage, *actions: str, shut: bool = True) -> HandGate:
    gate = HandGate(shut=shut)
    stage.gates.update(dict.fromkeys(actions, gate))
    return gate


def began(stage: Stage, key: str = KEY) -> list[str]:
    return [it.action for it in stage.events(key) if isinstance(it, AttemptBegan)]


async def accepted(stage: Stage) -> Node:
    """A process, one second later."""
    node = stage.start_node()
    await stage.accept(node)
    await stage.clock.sleep(1.0)
    return node


async def ends(stage: Stage, node: Node) -> None:
    await stage.rests()
    await node.drain()
    stage.check()


def test_it_is_held_before_its_attempt_is_in_the_log_and_leaves_when_its_turn_comes() -> None:
    stage = Stage()
    gate = gated(stage, "process_payment")

    async def scenario() -> None:
        node = await accepted(stage)
        assert ["create_order"] == began(stage) == stage.calls
        assert isinstance(stage.events()[-1], AttemptEnded)
        assert {"prc_1": stage.row().revision} == node.runner.held()
        gate.shut = False
        gate.grant()
        await ends(stage, node)

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase
    assert EPOCH_US + MICROSECONDS_PER_SECOND == stage.call_times_us[1]
    assert [] == gate.turns


def test_an_open_gate_is_not_asked_for_a_turn() -> None:
    stage = Stage()
    gate = gated(stage, *BANK, *SHOP, shut=False)
    play(stage.play())
    assert 0 == gate.asked_for


def test_while_the_gate_is_shut_each_call_has_a_turn_and_gives_it_back_when_it_has_ended() -> None:
    stage = Stage()
    gate = gated(stage, *BANK)

    async def scenario() -> None:
        node = await accepted(stage)
        gate.grant()
        await stage.clock.sleep(1.0)
        # confirm_payment waits in its own turn.
        assert ["create_order", "process_payment"] == stage.calls
        assert [False] == [it.granted for it in gate.turns]
        gate.grant()
        await ends(stage, node)

    play(scenario())
    assert (2, []) == (gate.asked_for, gate.turns)


def test_a_process_whose_first_call_is_held_is_accepted_all_the_same() -> None:
    stage = Stage()
    gate = gated(stage, "create_order")

    async def scenario() -> None:
        node = await accepted(stage)
        assert [Started] == [type(event) for event in stage.events()]
        gate.grant()
        await ends(stage, node)

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase


def test_a_deadline_that_passes_meanwhile_turns_it_back_and_says_why() -> None:
    stage = Stage()
    gate = gated(stage, "process_payment")

    async def scenario() -> None:
        node = await accepted(stage)
        await ends(stage, node)

    play(scenario())
    state = stage.state()
    assert Phase.CANCELLED is state.phase
    assert state.failure is not None
    assert ("process_payment", "PROCESS_DEADLINE_EXCEEDED") == (
        state.failure.step,
        state.failure.reason,
    )
    assert "the process ran out of time; this step was not begun" == state.failure.message
    assert EPOCH_US + 60 * MICROSECONDS_PER_SECOND == stage.call_times_us[-1]
    # Nothing of the payment began, so nothing of it is undone.
    assert ["create_order", "cancel_order"] == stage.calls
    assert [] == gate.turns


def test_a_deadline_that_passes_after_an_attempt_says_what_that_was_answered() -> None:
    stage = Stage(script={"process_payment": once(Code.UNAVAILABLE, "AWAY")})
    gate = gated(stage, "process_payment")

    async def scenario() -> None:
        node = await accepted(stage)
        gate.grant()
        await ends(stage, node)

    play(scenario())
    failure = stage.state().failure
    assert failure is not None
    assert "the last answer was UNAVAILABLE AWAY" in failure.message
    assert ["create_order", "process_payment", "cancel_payment", "cancel_order"] == stage.calls
    assert [] == gate.turns


def test_a_cancel_is_acted_on_at_once() -> None:
    stage = Stage()
    gate = gated(stage, "process_payment")

    async def scenario() -> None:
        node = await accepted(stage)
        await stage.cancel()
        await ends(stage, node)

    play(scenario())
    assert ["create_order", "cancel_order"] == stage.calls
    assert EPOCH_US + MICROSECONDS_PER_SECOND == stage.call_times_us[-1]
    assert [] == gate.turns


def test_a_turn_that_comes_together_with_a_cancel_is_given_back_unused() -> None:
    stage = Stage()
    gate = gated(stage, "process_payment")

    async def scenario() -> None:
        node = await accepted(stage)
        gate.grant()
        await stage.cancel()
        await ends(stage, node)

    play(scenario())
    assert ["create_order", "cancel_order"] == stage.calls
    assert [] == gate.turns


def test_an_undo_at_the_same_target_keeps_the_place_of_the_step() -> None:
    stage = Stage(script={"process_payment": once(Code.UNAVAILABLE)})
    gate = gated(stage, *BANK)

    async def scenario() -> None:
        node = await accepted(stage)
        gate.grant()
        await stage.clock.sleep(1.0)
        await stage.cancel()
        await stage.clock.sleep(1.0)
        assert ["create_order", "process_payment"] == stage.calls
        gate.grant()
        await ends(stage, node)

    play(scenario())
    assert ["cancel_payment", "cancel_order"] == stage.calls[2:]
    assert (2, []) == (gate.asked_for, gate.turns)


def test_who_drains_gives_it_back_and_the_next_one_holds_it() -> None:
    stage = Stage()
    gate = gated(stage, "process_payment")

    async def scenario() -> None:
        node = await accepted(stage)
        await node.drain()
        assert [] == gate.turns
        row = stage.row()
        assert (None, EPOCH_US + MICROSECONDS_PER_SECOND) == (row.owner, row.due_time_us)
        node = stage.start_node()
        await stage.clock.sleep(1.0)
        assert ["create_order"] == began(stage)
        gate.grant()
        await ends(stage, node)

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase


def test_what_comes_back_after_a_crash_takes_its_turn_even_where_the_gate_is_not_shut() -> None:
    stage = Stage()
    gate = gated(stage, *BANK, shut=False)

    async def scenario() -> None:
        node = stage.start_node()
        stage.hooks[6] = dawdle(1_000.0)
        await stage.accept(node)
        await stage.clock.sleep(1.0)
        assert "before call process_payment" == stage.points[6]
        await node.die()
        node = stage.start_node()
        await ends(stage, node)

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase
    assert (1, []) == (gate.asked_for, gate.turns)


def test_a_turn_is_given_back_when_the_attempt_could_not_be_committed() -> None:
    stage = Stage()
    gate = gated(stage, "process_payment")

    async def scenario() -> None:
        node = await accepted(stage)
        point = len(stage.points)
        stage.hooks[point] = lose
        gate.grant()
        await stage.clock.sleep(0.01)
        assert "before commit append" == stage.points[point]
        # It waits for the log, and nobody else waits for it.
        assert [] == gate.turns
        await stage.clock.sleep(1.0)
        assert ["create_order"] == stage.calls
        gate.grant()
        await ends(stage, node)

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase
    assert (2, []) == (gate.asked_for, gate.turns)


def test_who_is_fenced_gives_its_turn_back() -> None:
    stage = Stage()
    gate = gated(stage, "process_payment")

    async def scenario() -> None:
        first = await accepted(stage)
        other = stage.start_node()
        await stage.clock.sleep(2.0)
        assert 2 == len(gate.turns)
        assert 2 == stage.row().epoch
        first.runner.wake("prc_1")
        await stage.clock.sleep(1.0)
        assert 1 == len(gate.turns)
        gate.grant()
        await stage.rests()
        await other.drain()
        await first.drain()

    play(scenario())
    assert Phase.COMPLETED is stage.state().phase
    assert [] == gate.turns


def test_it_stays_resident_for_longer_than_others_may_wait() -> None:
    stage = Stage(resident_wait_seconds=5.0)
    gate = gated(stage, "process_payment")

    async def scenario() -> None:
        node = await accepted(stage)
        await stage.clock.sleep(40.0)
        assert 1 == node.runner.in_flight
        assert 1 == gate.asked_for
        gate.grant()
        await ends(stage, node)

    play(scenario())
    assert 1 == stage.row().epoch
    assert Phase.COMPLETED is stage.state().phase


def test_an_undo_is_held_until_its_horizon_then_tried_once_more_and_parked() -> None:
    stage = Stage(
        script={
            "process_payment": once(Code.NOT_FOUND),
            "cancel_order": always(Code.UNAVAILABLE),
        }
    )
    stage.define(Policy(compensation_horizon_seconds=1_000.0))
    gate = gated(stage, "cancel_order")

    async def scenario() -> None:
        node = await accepted(stage)
        await ends(stage, node)

    play(scenario())
    state = stage.state()
    assert Phase.PARKED is state.phase
    assert state.parking is not None
    # A horizon begins with the first attempt, which was held for as long.
    assert 2 == stage.calls.count("cancel_order")
    assert EPOCH_US + 2_000 * MICROSECONDS_PER_SECOND == stage.call_times_us[-1]
    assert [] == gate.turns


def test_those_that_are_held_do_nothing_meanwhile() -> None:
    stage = Stage(deadline_seconds=3_000.0)
    gate = gated(stage, "create_order")

    async def scenario() -> None:
        node = stage.start_node()
        for number in range(100):
            await stage.accept(node, key=f"key-{number}")
        before = len(stage.points)
        await stage.clock.sleep(2_000.0)
        assert before == len(stage.points)
        assert (100, 100) == (gate.asked_for, len(gate.turns))
        for _ in range(100):
            gate.grant()
        await stage.rests(key="key-99")
        await node.drain()

    play(scenario())
    assert [] == gate.turns
