"""Scripts, crashes, outages, cancels and zombies at random; what must hold of all of them holds.

Whatever was played is checked by `Stage.check`: nothing left before it was in the log, the history
replays to the same commands, undone newest first, never forward after an undo, and where a process
was cancelled nothing of it is left in the world.
"""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.saga.code import Code
from orchestrator.saga.definition import Definition, Policy
from orchestrator.saga.outcome import OUTCOMES, Outcome
from orchestrator.saga.state import Phase
from tests.orchestrator.harness.answers import Answer
from tests.orchestrator.harness.incidents import cancel, crash, freeze, lose
from tests.orchestrator.harness.stage import Hook, Stage
from tests.orchestrator.harness.virtual_time import play
from tests.orchestrator.sagas.five_steps import FIVE_STEPS
from tests.orchestrator.sagas.journey import JOURNEY

POINTS = 70
UNCERTAIN = [code for code in Code if OUTCOMES[code] is Outcome.UNKNOWN]


@st.composite
def an_answer(draw: st.DrawFn) -> Answer:
    code = draw(st.sampled_from(Code))
    may_be_applied = code in UNCERTAIN or code is Code.RESOURCE_EXHAUSTED
    # A call that was refused is over; one of which nobody knows may be under way for long.
    late = st.sampled_from([None, 0.05, 3.0, 200.0]) if code in UNCERTAIN else st.none()
    return Answer(
        code=code,
        applies=may_be_applied and draw(st.booleans()),
        applies_after_seconds=draw(late),
        takes_seconds=draw(st.sampled_from([0.0, 0.0, 0.5, 4.0, 30.0])),
        retry_after_seconds=draw(st.sampled_from([None, None, 0.2, 40.0, 500.0])),
    )


def scripts(definition: Definition) -> st.SearchStrategy[dict[str, list[Answer]]]:
    return st.dictionaries(
        st.sampled_from(sorted(definition.actions())), st.lists(an_answer(), max_size=4)
    )


HOOKS: dict[str, Hook] = {
    "crash": crash,
    "lose": lose,
    "cancel": cancel,
    "freeze": freeze(3.0),
    "freeze long": freeze(90.0),
}


async def resolve(stage: Stage) -> None:
    parking = stage.state().parking
    assert parking is not None
    await stage.resolve(parking.action)


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data(), definition=st.sampled_from([FIVE_STEPS, JOURNEY]))
def test_whatever_happens_it_settles_and_nothing_is_left_half_done(
    data: st.DataObject, definition: Definition
) -> None:
    script = data.draw(scripts(definition), label="script")
    hooks = data.draw(
        st.dictionaries(st.integers(0, POINTS), st.sampled_from(sorted(HOOKS)), max_size=6),
        label="hooks",
    )
    seed = data.draw(st.integers(0, 2**32), label="seed")
    stage = Stage(
        definition,
        script={name: iter(answers) for name, answers in script.items()},
        hooks={point: HOOKS[name] for point, name in hooks.items()},
        fraction=random.Random(seed).random,  # noqa: S311 - a seed makes the failure repeatable
    )
    stage.define(Policy(compensation_horizon_seconds=30.0))
    state = play(stage.play(operator=resolve))
    assert state.phase.settled
    if "cancel" in hooks.values() and state.cancel is not None:
        assert Phase.CANCELLED is state.phase
