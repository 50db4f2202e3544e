"""The loop that takes leave of processes: the log leads, and nothing that goes wrong ends it."""

import asyncio
from collections.abc import Collection, Sequence

import pytest

from chassis import faults
from orchestrator.retention import AGAIN_SECONDS, BATCH_MAX, KEPT_SECONDS, Retention, Terms
from orchestrator.saga.events import Cancelled, ResolvedByHand
from orchestrator.saga.state import Phase
from orchestrator.saga_log.memory import MemorySagaLog, Moment
from tests.orchestrator.harness.lines import captured_lines
from tests.orchestrator.saga_log.conformance.processes import ENDED, SECOND, T0, append, new
from tests.orchestrator.saga_log.conformance.test_saga_log_retirement import settled

DAY = 86_400
TERMS = Terms(settled_seconds=30.0 * DAY, request_id_seconds=365.0 * DAY)


class Clock:
    """Stands still until it is told to move; who sleeps is woken by `wake`."""

    def __init__(self) -> None:
        self.now = T0
        self.slept: list[float] = []
        self.asleep = asyncio.Event()
        self._woken = asyncio.Event()

    def now_us(self) -> int:
        return self.now

    def on(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._woken.clear()
        self.asleep.set()
        await self._woken.wait()

    async def look(self) -> None:
        """Wakes the sleeper, and waits until it sleeps again."""
        self.asleep.clear()
        self._woken.set()
        await self.asleep.wait()


class Participant:
    """Keeps something for each process until it is asked to purge it."""

    def __init__(self, participant: str, log: MemorySagaLog) -> None:
        self.participant = participant
        self._log = log
        self.asked: list[str] = []
        self.batches: list[int] = []
        self.keeps: set[str] = set()
        self.trouble: Exception | None = None

    async def purge(self, process_ids: Sequence[str]) -> Collection[str]:
        for process_id in process_ids:
            assert await self._log.load(process_id) is None, "it can be taken up no more"
            assert process_id in await self._log.retirement.find([process_id])
        self.batches.append(len(process_ids))
        if self.trouble is not None:
            raise self.trouble
        self.asked.extend(process_ids)
        return self.keeps & set(process_ids)


class Stand:
    """A log, two participants and what takes leave between them."""

    def __init__(self, terms: Terms = TERMS) -> None:
        self.log = MemorySagaLog()
        self.clock = Clock()
        self.shop = Participant("shop", self.log)
        self.bank = Participant("bank", self.log)
        self.retention = Retention(
            retirement=self.log.retirement,
            purgers=[self.shop, self.bank],
            terms=terms,
            clock=self.clock,
        )

    async def purged(self, process_id: str = "prc_1") -> bool:
        retired = (await self.log.retirement.find([process_id])).get(process_id)
        return retired is not None and retired.purge_due_us is None


async def test_a_process_is_kept_until_its_time_then_purged_then_forgotten() -> None:
    stand = Stand()
    await settled(stand.log)
    stand.clock.on(30 * DAY)
    await stand.retention.batch()
    assert await stand.log.load("prc_1") is not None
    stand.clock.on(2)
    await stand.retention.batch()
    assert await stand.purged()
    assert (["prc_1"], ["prc_1"]) == (stand.shop.asked, stand.bank.asked)
    stand.clock.on(335 * DAY - 2)
    await stand.retention.batch()
    assert await stand.purged()
    stand.clock.on(2)
    await stand.retention.batch()
    assert {} == await stand.log.retirement.find(["prc_1"])
    assert await stand.log.find("key of prc_1") is None


async def test_request_ids_may_be_kept_for_ever() -> None:
    stand = Stand(Terms(settled_seconds=1.0, request_id_seconds=0.0))
    await settled(stand.log)
    stand.clock.on(100 * 366 * DAY)
    await stand.retention.batch()
    await stand.retention.batch()
    assert await stand.purged()


async def test_a_process_that_is_parked_or_under_way_is_never_purged() -> None:
    stand = Stand()
    for number, phase in enumerate((Phase.RUNNING, Phase.COMPENSATING, Phase.PARKED)):
        await stand.log.create(new(f"prc_{number}"))
        await stand.log.append(append(ENDED, process_id=f"prc_{number}", phase=phase))
    stand.clock.on(1_000 * DAY)
    await stand.retention.batch()
    assert [] == stand.shop.batches
    assert 3 == sum([await stand.log.load(f"prc_{it}") is not None for it in range(3)])


async def test_many_go_in_batches() -> None:
    stand = Stand()
    for number in range(BATCH_MAX * 2 + 50):
        await settled(stand.log, f"prc_{number:03}")
    stand.clock.on(31 * DAY)
    takings = [await stand.retention.batch() for _ in range(4)]
    assert [BATCH_MAX, BATCH_MAX, 50, 0] == [it.purged for it in takings]
    assert [True, True, False, False] == [it.full for it in takings]
    assert [BATCH_MAX, BATCH_MAX, 50] == stand.bank.batches


@pytest.mark.parametrize(
    "trouble", [faults.Unavailable("PARTICIPANT_UNAVAILABLE", "away"), ValueError("a defect")]
)
async def test_where_one_participant_is_away_the_others_purge_and_it_is_asked_again(
    trouble: Exception,
) -> None:
    stand = Stand()
    await settled(stand.log)
    stand.clock.on(31 * DAY)
    stand.shop.trouble = trouble
    await stand.retention.batch()
    assert ([], ["prc_1"]) == (stand.shop.asked, stand.bank.asked)
    assert not await stand.purged()
    await stand.retention.batch()
    assert 1 == len(stand.shop.batches)
    stand.shop.trouble = None
    stand.clock.on(AGAIN_SECONDS)
    await stand.retention.batch()
    assert await stand.purged()


async def test_what_a_participant_keeps_is_not_forgotten_and_asked_for_again() -> None:
    stand = Stand()
    await settled(stand.log)
    await settled(stand.log, "prc_2")
    stand.bank.keeps = {"prc_1"}
    stand.clock.on(500 * DAY)
    with captured_lines() as lines:
        taking = await stand.retention.batch()
    assert (1, 1) == (taking.purged, taking.kept)
    [told] = lines.of("purge_kept")
    assert ["prc_1"] == told["process_ids"]
    stand.clock.on(1)
    await stand.retention.batch()
    assert {"prc_1"} == set(await stand.log.retirement.find(["prc_1", "prc_2"]))
    stand.bank.keeps = set()
    stand.clock.on(KEPT_SECONDS)
    await stand.retention.batch()
    assert await stand.purged() or {} == await stand.log.retirement.find(["prc_1"])


async def test_nobody_is_told_of_what_a_person_has_done_by_hand() -> None:
    stand = Stand()
    await stand.log.create(new())
    resolved = ResolvedByHand(
        action="cancel_room", reason="by phone", requested_by="Bo", time_us=T0 + SECOND
    )
    end = append(ENDED, resolved, Cancelled(time_us=T0 + SECOND), phase=Phase.CANCELLED)
    await stand.log.append(end)
    stand.bank.keeps = {"prc_1"}
    stand.clock.on(500 * DAY)
    with captured_lines() as lines:
        await stand.retention.batch()
    assert [] == lines.of("purge_kept")
    assert not await stand.purged()


class Fell(Exception):  # noqa: N818 - what happened
    """The orchestrator fell here."""


async def falls_at(place: int) -> bool:
    """Whether there is such a place; a fall there, and another orchestrator goes on to the end."""
    stand = Stand()
    for process_id in ("prc_1", "prc_2"):
        await settled(stand.log, process_id)
    stand.clock.on(31 * DAY)
    left = place

    async def fall(moment: Moment, method: str) -> None:
        nonlocal left
        if method in {"load", "find_retired"}:
            return
        left -= 1
        if left < 0:
            raise Fell((moment, method))

    stand.log.seam = fall
    fell = False
    try:
        await stand.retention.batch()
    except Fell:
        fell = True

    async def no_seam(moment: Moment, method: str) -> None:
        del moment, method

    stand.log.seam = no_seam
    stand.clock.on(AGAIN_SECONDS)
    await stand.retention.batch()
    assert await stand.purged("prc_1")
    assert await stand.purged("prc_2")
    assert {"prc_1", "prc_2"} == set(stand.shop.asked) == set(stand.bank.asked)
    return fell


async def test_wherever_it_falls_another_goes_on_from_there() -> None:
    falls = [await falls_at(place) for place in range(12)]
    assert falls.count(True) >= 6
    assert not falls[-1]


async def test_the_loop_outlives_the_log_and_its_own_defects() -> None:
    stand = Stand(Terms(settled_seconds=1.0, request_id_seconds=0.0))
    await settled(stand.log)
    stand.clock.on(10)
    troubles: list[Exception] = [
        faults.Unavailable("LOG_UNAVAILABLE", "away"),
        ValueError("a defect"),
    ]

    async def trouble(moment: Moment, method: str) -> None:
        if method == "retire" and moment is Moment.BEFORE_COMMIT and troubles:
            raise troubles.pop(0)

    stand.log.seam = trouble
    with captured_lines() as lines:
        running = asyncio.create_task(stand.retention.run())
        await stand.clock.asleep.wait()
        await stand.clock.look()
        assert not await stand.purged()
        await stand.clock.look()
        assert await stand.purged()
        await stand.clock.look()
        running.cancel()
        await asyncio.wait({running})
    assert [
        "retention_cannot_reach",
        "retention_failed",
        "retention_reaches_again",
        "retention_batch",
    ] == lines.events("error", "info")
    # No longer than a process is kept.
    assert {1.0} == set(stand.clock.slept)
