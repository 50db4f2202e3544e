"""What others append to held processes is seen, all of it with one look."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from chassis.clock import SystemClock
from orchestrator.overheard import Overheard
from tests.orchestrator.saga_log.conformance.processes import ME, OTHER, T0, claimed, new
from tests.orchestrator.saga_log_sql.harness.troubled import TroubledLog


@dataclass(slots=True, kw_only=True)
class Held:
    """Holds what the test says."""

    at: dict[str, int]
    woken: list[str] = field(default_factory=list)

    def held(self) -> Mapping[str, int]:
        return self.at

    def wake(self, process_id: str) -> None:
        self.woken.append(process_id)


async def overheard(log: TroubledLog, held: Held) -> list[str]:
    it = Overheard(revisions=log, owner=ME, holder=held, clock=SystemClock(), look_seconds=5.0)
    await it.look()
    return sorted(held.woken)


async def filled(log: TroubledLog) -> None:
    for owner in (ME, OTHER):
        await log.beat(owner, lease_seconds=600)
    for process_id, owner in (("prc_1", ME), ("prc_2", ME), ("prc_theirs", OTHER)):
        await log.create(new(process_id, owner=owner))


async def test_one_whose_history_has_gone_on_is_looked_at_and_the_others_are_not(
    one: TroubledLog,
) -> None:
    await filled(one)
    revisions = await one.revisions(ME)
    assert {"prc_1", "prc_2"} == set(revisions)
    assert [] == await overheard(one, Held(at=dict(revisions)))
    assert ["prc_2"] == await overheard(one, Held(at={**revisions, "prc_2": 0}))


async def test_one_that_is_somebody_elses_by_now_is_looked_at(one: TroubledLog) -> None:
    await filled(one)
    revisions = await one.revisions(ME)
    await one.release(process_id="prc_1", epoch=1, due_time_us=T0)
    assert ["prc_1"] == await claimed(one, owner=OTHER)
    assert ["prc_1"] == await overheard(one, Held(at=dict(revisions)))


async def test_while_nobody_is_held_nothing_is_asked(one: TroubledLog) -> None:
    await one.close()
    assert [] == await overheard(one, Held(at={}))
