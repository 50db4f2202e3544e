"""Who is struck when: a plan drawn from the seed, and what carries it out.

Invariant: the plan has each kill and each pause that was asked for, spread evenly over the replicas
and over the load; a replica is struck only while it serves. Must never: restart a replica, which
sees to that itself.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.chaos.pace import Pace
from bench.chaos.service import Service

PAUSE_SECONDS_MIN: Final = 0.2
PAUSE_SECONDS_MAX: Final = 4.0
# The last blow of the load falls before its end.
_END_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """A kill -9 of a replica, or a pause of so many seconds, after so many accepted orders."""

    after: int
    victim: str
    pause_seconds: float | None = None


def draw_blows(
    seed: int, victims: Sequence[str], *, orders: int, kills: int, pauses: int
) -> tuple[Blow, ...]:
    """The plan of a run. `victims` are the names of all replicas."""
    dice = random.Random(f"{seed}/blows")
    blows: list[tuple[str, float | None]] = [
        (victims[n % len(victims)], None) for n in range(kills)
    ]
    blows += [
        (victims[n % len(victims)], dice.uniform(PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX))
        for n in range(pauses)
    ]
    dice.shuffle(blows)
    stride = orders * _END_SHARE / max(1, len(blows))
    return tuple(
        Blow(after=int((n + dice.random()) * stride), victim=victim, pause_seconds=seconds)
        for n, (victim, seconds) in enumerate(blows)
    )


async def strike(blows: tuple[Blow, ...], replicas: Mapping[str, Service], pace: Pace) -> None:
    """Carries out the plan. Returns once every blow has fallen and every pause is over."""
    async with asyncio.TaskGroup() as pausing:
        for blow in blows:
            await pace.is_due()
            victim = replicas[blow.victim]
            await victim.serving()
            if blow.pause_seconds is None:
                await victim.kill()
            else:
                pausing.create_task(victim.pause(blow.pause_seconds))
            await pace.was_struck()
