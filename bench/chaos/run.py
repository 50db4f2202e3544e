"""One run: a load with what disturbs it, the wait until all is settled, the audit.

Invariant: every part gets its chance from the one seed; whatever happens, what was started is
ended.
Must never: judge: the audit does, and what it finds is reported whole.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc

from bench.chaos.account import Account
from bench.chaos.audit import Finding, Rule, judge
from bench.chaos.blows import draw_blows, strike
from bench.chaos.callers import Callers
from bench.chaos.evidence import Evidence, gather_evidence
from bench.chaos.fleet import Fleet
from bench.chaos.hands import moves
from bench.chaos.layout import ONE_OF_EACH, ORCHESTRATOR, SERVICES, Layout
from bench.chaos.orders import draw
from bench.chaos.pace import Pace
from bench.chaos.product_audit import ask_product
from bench.chaos.service import How, WillNotRun, all_serving
from bench.chaos.takeovers import Takeovers, takeovers
from bench.chaos.weather import SHARES, Fault
from oms.orchestrator.v1.order_process_pb2 import (
    ORDER_PROCESS_STATE_COMPENSATING,
    ORDER_PROCESS_STATE_RUNNING,
)
from oms.orchestrator.v1.order_process_service_pb2 import ListOrderProcessesRequest
from oms.orchestrator.v1.order_process_service_pb2_grpc import OrderProcessServiceStub

SETTLED_SECONDS_MAX: Final = 60.0
_LOOK_SECONDS: Final = 0.2
_LOOK_CALL_SECONDS: Final = 5.0
# How many tenths of the load are told about.
_NEWS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is run.

    `kills`, `pauses` and `restarts` of the database fall during the load; the last blow kills all
    replicas once more. With `rounds` there are none of these: instead each replica is drained and
    restarted so many times.
    """

    orders: int
    seed: int
    kills: int = 48
    pauses: int = 16
    restarts: int = 0
    rounds: int = 0
    concurrency: int = 64
    layout: Layout = ONE_OF_EACH
    shares: Mapping[Fault, float] = field(default_factory=lambda: SHARES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a run."""

    options: Options
    accounts: tuple[Account, ...]
    evidence: Evidence
    findings: tuple[Finding, ...]
    faults: Counter[Fault]
    answers: Counter[grpc.StatusCode]
    """What the callers were told."""
    kills: Mapping[str, int]
    pauses: Mapping[str, int]
    drains: Mapping[str, int]
    outages_seconds: tuple[float, ...]
    """How long PostgreSQL was away, each time that it was restarted."""
    takeovers: Takeovers | None
    """Up to the last blow, which leaves nobody to take anything over. None: nothing is shared."""
    load_seconds: float
    settled_seconds: float | None
    """From the end of the load, or the last blow, on; None: not within SETTLED_SECONDS_MAX."""

    def in_state(self, state: str) -> int:
        """How many processes ended so."""
        return sum(it.state == state for it in self.evidence.processes)


Say = Callable[[str], None]
Drive = Callable[[Fleet, Options, Say], Awaitable[Result]]
"""What is done on a fleet that serves, and is left serving."""


async def run(options: Options, folder: Path, say: Say, drive: Drive) -> Result:
    """Runs it all in `folder`, which has to be empty, and ends what it started.

    Raises:
        WillNotRun: A service does not stay up.
    """
    fleet = Fleet(folder, seed=options.seed, shares=options.shares, layout=options.layout)
    try:
        await fleet.start()
        say("all serve")
        return await drive(fleet, options, say)
    except ExceptionGroup as troubles:
        for trouble in troubles.exceptions:
            if isinstance(trouble, WillNotRun):
                raise trouble from None
        raise
    finally:
        await fleet.close()


async def storm(fleet: Fleet, options: Options, say: Say) -> Result:
    """Kills, stops and cuts while orders pour in; in the end, all at once."""
    began = time.monotonic()
    callers = await _load(fleet, options, say)
    load_seconds = time.monotonic() - began
    say("the last blow: all at once")
    await all_serving(tuple(fleet.replicas.values()))
    taken = await taken_over(fleet)
    await asyncio.gather(*(it.kill() for it in fleet.replicas.values()))
    fleet.calm()
    return await conclude(fleet, options, callers, say, load_seconds=load_seconds, taken=taken)


async def taken_over(fleet: Fleet) -> Takeovers | None:
    """Who went on with whose processes until now."""
    if fleet.server is None:
        return None
    moved = await asyncio.to_thread(moves, fleet.databases.url(ORCHESTRATOR))
    return takeovers(
        moved,
        fleet.ends(),
        outages_us=fleet.server.outages_us,
        away_us={it.name: it.away_us for it in fleet.of(ORCHESTRATOR)},
        lease_seconds=fleet.layout.lease_seconds,
    )


async def conclude(
    fleet: Fleet,
    options: Options,
    callers: Callers,
    say: Say,
    *,
    load_seconds: float,
    taken: Takeovers | None,
    known: Sequence[Account] = (),
) -> Result:
    """Waits until all is settled, and has everything judged.

    `known` are the accounts of callers that were there before.
    """
    began = time.monotonic()
    settled_seconds = (
        time.monotonic() - began if await settled(fleet, SETTLED_SECONDS_MAX) else None
    )
    await fleet.idle()
    say("the audit")
    evidence = await gather_evidence(fleet)
    findings = judge(evidence, (*known, *callers.accounts))
    if settled_seconds is None:
        findings.append(
            Finding(rule=Rule.SETTLED, subject="all", found=f"not within {SETTLED_SECONDS_MAX:g} s")
        )
    return Result(
        options=options,
        accounts=tuple(callers.accounts),
        evidence=evidence,
        findings=(*findings, *await ask_product(fleet), *own_ends(fleet)),
        faults=fleet.struck(),
        answers=callers.answers,
        kills={it: fleet.ended(it, How.KILLED) for it in SERVICES},
        pauses={it: sum(replica.pauses for replica in fleet.of(it)) for it in SERVICES},
        drains={it: fleet.ended(it, How.DRAINED) for it in SERVICES},
        outages_seconds=() if fleet.server is None else fleet.server.outages_seconds,
        takeovers=taken,
        load_seconds=load_seconds,
        settled_seconds=settled_seconds,
    )


def own_ends(fleet: Fleet) -> list[Finding]:
    """Replicas that ended without having been struck."""
    return [
        Finding(rule=Rule.STAYS_UP, subject=name, found=f"ended by itself, exit code {code}")
        for name, replica in fleet.replicas.items()
        for code in replica.own_ends
    ]


async def _load(fleet: Fleet, options: Options, say: Say) -> Callers:
    blows = draw_blows(
        options.seed,
        fleet.layout,
        orders=options.orders,
        kills=options.kills,
        pauses=options.pauses,
        restarts=options.restarts,
    )
    pace = Pace([it.after for it in blows], ahead=2 * options.concurrency)
    callers = Callers(fleet, pace, seed=options.seed)
    orders = (draw(options.seed, number) for number in range(options.orders))
    async with asyncio.TaskGroup() as parts:
        news = parts.create_task(tell(pace, options, say))
        striking = parts.create_task(strike(blows, fleet, pace))
        await callers.run(orders, concurrency=options.concurrency)
        await striking
        news.cancel()
    return callers


async def tell(pace: Pace, options: Options, say: Say) -> None:
    """Says how far the load is, now and then."""
    for tenth in range(1, _NEWS + 1):
        goal = options.orders * tenth // _NEWS
        await pace.accepted_by(goal)
        say(f"{goal:,} of {options.orders:,} orders accepted, {pace.struck} blows")


async def settled(fleet: Fleet, seconds: float) -> bool:
    """Whether, within that time, no process is under way any more."""
    processes = OrderProcessServiceStub(fleet.channel(ORCHESTRATOR))
    request = ListOrderProcessesRequest(
        page_size=1, states=[ORDER_PROCESS_STATE_RUNNING, ORDER_PROCESS_STATE_COMPENSATING]
    )
    try:
        async with asyncio.timeout(seconds):
            while True:
                call = processes.ListOrderProcesses(
                    request, timeout=_LOOK_CALL_SECONDS, wait_for_ready=True
                )
                if await call.code() is grpc.StatusCode.OK and not (await call).processes:
                    return True
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        return False
