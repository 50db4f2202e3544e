"""Deliberately wrong participants: each breaks its own line of the kit, and no other."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from console.conformance.promises.catalogue import PROMISES
from tests.console.conformance.harness.kit import Run, examine
from tests.console.conformance.harness.memory import Memory, MemoryDelivery, MemoryOrder
from tests.console.conformance.harness.served import Crowd
from tests.console.conformance.harness.wrong_lives import LIVES
from tests.console.conformance.harness.wrong_times import TIMES
from tests.console.conformance.harness.wrong_words import WORDS

RIGHT: tuple[type[Memory], ...] = (Memory, MemoryOrder, MemoryDelivery)
WRONG = (*LIVES, *WORDS, *TIMES)
# All of them are looked at in the fixture that the first test waits for.
pytestmark = pytest.mark.timeout(600)
RUNS = 3


class Looked:
    """What the kit said of all of them."""

    def __init__(self, runs: Sequence[Run], crowd: Crowd) -> None:
        self.runs = runs
        self._crowd = crowd

    def of(self, kind: type[Memory], *told: str) -> set[str]:
        participant = self._crowd.served[kind].participant
        return next(
            run.promises(participant, *told) for run in self.runs if participant in run.lines
        )


@pytest.fixture(scope="module")
async def looked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Looked]:
    async with Crowd([*RIGHT, *WRONG]) as crowd:
        runs = await asyncio.gather(
            *(
                examine(
                    crowd.participants[number::RUNS],
                    "--oms-call-seconds=4",
                    "--oms-short-deadline-seconds=0.1",
                    "--oms-at-once=8",
                    folder=tmp_path_factory.mktemp("wrong"),
                )
                for number in range(RUNS)
            )
        )
        yield Looked(runs, crowd)


@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_participant_in_memory_keeps_every_promise(
    looked: Looked, kind: type[Memory]
) -> None:
    made = {it.name for it in PROMISES if kind.kind.name in it.kinds}
    assert made == looked.of(kind, "kept")


@pytest.mark.parametrize("kind", WRONG, ids=lambda it: it.__name__)
def test_a_wrong_participant_breaks_its_own_promise_and_no_other(
    looked: Looked, kind: type[Memory]
) -> None:
    assert {kind.breaks} == looked.of(kind, "BROKEN", "advice", "skipped")


def test_a_run_with_a_broken_promise_fails(looked: Looked) -> None:
    assert [pytest.ExitCode.TESTS_FAILED] * RUNS == [it.finished.exit_code for it in looked.runs]


def test_every_promise_is_broken_by_somebody() -> None:
    # Advice fails nothing: it has a test of its own.
    assert {it.name for it in PROMISES if not it.advice} == {it.breaks for it in WRONG}


def test_a_broken_promise_is_told_with_what_it_means_and_how_to_mend_it(looked: Looked) -> None:
    out = "".join(run.out for run in looked.runs)
    for promise in PROMISES:
        if not promise.advice:
            assert (
                f"\n  promise: {promise.says}"
                f"\n  means:   {promise.means}"
                f"\n  mend:    {promise.mend}\n"
            ) in out
