"""Who is struck when: a plan drawn from the seed, and what carries it out.

Invariant: the plan has each kill and each pause that was asked for, spread evenly over the replicas
and over the load, and each restart of the database; a replica is struck only while it serves. Must
never: restart a replica, which sees to that itself.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.chaos.fleet import Fleet
from bench.chaos.layout import Layout
from bench.chaos.pace import Pace

DATABASE: Final = "database"
"""The victim that is no replica."""
# The last blow of the load falls before its end.
_END_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """What falls after so many accepted orders.

    A kill -9 of a replica, a pause of so many seconds, or the database's server is restarted.
    """

    after: int
    victim: str
    pause_seconds: float | None = None


def draw_blows(
    seed: int, layout: Layout, *, orders: int, kills: int, pauses: int, restarts: int = 0
) -> tuple[Blow, ...]:
    """The plan of a run."""
    assert restarts == 0 or layout.shared, "files have no server"
    dice = random.Random(f"{seed}/blows")
    victims = layout.names
    blows: list[tuple[str, float | None]] = [
        (victims[n % len(victims)], None) for n in range(kills)
    ]
    blows += [
        (victims[n % len(victims)], dice.uniform(*layout.pause_seconds)) for n in range(pauses)
    ]
    dice.shuffle(blows)
    # So that each falls on others that are down or stopped, and none on the recovery of the last.
    for n in range(restarts):
        blows.insert((n + 1) * (kills + pauses) // (restarts + 1) + n, (DATABASE, None))
    stride = orders * _END_SHARE / max(1, len(blows))
    return tuple(
        Blow(after=int((n + dice.random()) * stride), victim=victim, pause_seconds=seconds)
        for n, (victim, seconds) in enumerate(blows)
    )


async def strike(blows: Sequence[Blow], fleet: Fleet, pace: Pace) -> None:
    """Carries out the plan. Returns once every blow has fallen and every pause is over."""
    async with asyncio.TaskGroup() as pausing:
        for blow in blows:
            await pace.is_due()
            await _strike(blow, fleet, pausing)
            await pace.was_struck()


async def _strike(blow: Blow, fleet: Fleet, pausing: asyncio.TaskGroup) -> None:
    if blow.victim == DATABASE:
        assert fleet.server is not None, "files have no server"
        await fleet.server.restart()
        return
    victim = fleet.replicas[blow.victim]
    await victim.serving()
    if blow.pause_seconds is None:
        await victim.kill()
    else:
        pausing.create_task(victim.pause(blow.pause_seconds))
