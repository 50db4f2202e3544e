"""A rolling restart: one replica after the other is drained and started again, under load.

Invariant: one replica is away at a time, and the next is told to stop only when it serves again; on
the roads the weather is fine. Whoever calls is told nothing but OK and UNAVAILABLE (admission
aside), and no attempt is left without its outcome. Must never: kill anything.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from bench.chaos.account import Account
from bench.chaos.audit import Finding, Rule
from bench.chaos.callers import TRIED_AGAIN_IN_CALM, Callers
from bench.chaos.fleet import Fleet
from bench.chaos.hands import unanswered
from bench.chaos.layout import ORCHESTRATOR
from bench.chaos.orders import draw
from bench.chaos.pace import Pace
from bench.chaos.run import Options, Result, Say, conclude, taken_over, tell

# So long that whoever waits is answered, however slow the machine: nobody leaves by himself.
PATIENCE_SECONDS: Final = 60.0
# The last replica is drained before the end of the load.
_END_SHARE: Final = 0.9


async def rolling(
    fleet: Fleet,
    options: Options,
    say: Say,
    *,
    names: Sequence[str] = (),
    first: int = 0,
    known: Sequence[Account] = (),
) -> Result:
    """Restarts each of `names`, or every replica, `options.rounds` times while orders pour in.

    The orders are those from number `first` on, for a fleet that has seen the ones before it; its
    callers' accounts are `known`.
    """
    fleet.calm()
    before = await asyncio.to_thread(unanswered, fleet.databases.url(ORCHESTRATOR))
    in_turn = tuple(names or fleet.layout.names) * options.rounds
    stride = _END_SHARE * options.orders / len(in_turn)
    due_at = [int((n + 0.5) * stride) for n in range(len(in_turn))]
    pace = Pace(due_at, ahead=2 * options.concurrency)
    callers = Callers(fleet, pace, seed=options.seed, tried_again=TRIED_AGAIN_IN_CALM)
    orders = (
        replace(draw(options.seed, first + n), number=n, patience_seconds=PATIENCE_SECONDS)
        for n in range(options.orders)
    )
    began = time.monotonic()
    async with asyncio.TaskGroup() as parts:
        news = parts.create_task(tell(pace, options, say))
        restarting = parts.create_task(_restart(in_turn, fleet, pace))
        await callers.run(orders, concurrency=options.concurrency)
        await restarting
        news.cancel()
    load_seconds = time.monotonic() - began
    taken = await taken_over(fleet)
    result = await conclude(
        fleet, options, callers, say, load_seconds=load_seconds, taken=taken, known=known
    )
    after = await asyncio.to_thread(unanswered, fleet.databases.url(ORCHESTRATOR))
    # Who got no time from a busy machine for a whole lease was no more drained than struck.
    excused = set() if taken is None else set(taken.alive)
    lost = lost_attempts(before, after, excused)
    return replace(result, findings=(*result.findings, *lost))


def lost_attempts(
    before: Mapping[str, int], after: Mapping[str, int], excused: Collection[str] = ()
) -> list[Finding]:
    """Processes that have more attempts without an outcome than before."""
    return [
        Finding(
            rule=Rule.ANSWERED_ATTEMPTS,
            subject=process_id,
            found=f"attempts without an outcome: {count}",
        )
        for process_id, count in after.items()
        if count != before.get(process_id, 0) and process_id not in excused
    ]


async def _restart(names: Sequence[str], fleet: Fleet, pace: Pace) -> None:
    for name in names:
        await pace.is_due()
        replica = fleet.replicas[name]
        await replica.serving()
        await replica.drain()
        await replica.serving()
        await pace.was_struck()
