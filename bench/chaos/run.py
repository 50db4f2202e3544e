"""One run: load and blows, the last blow, the wait until all is settled, the audit.

Invariant: every part gets its chance from the one seed; whatever happens, what was started is
ended.
Must never: judge: the audit does, and what it finds is reported whole.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
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
from bench.chaos.layout import ORCHESTRATOR, SERVICES
from bench.chaos.orders import draw
from bench.chaos.pace import Pace
from bench.chaos.product_audit import ask_product
from bench.chaos.service import WillNotRun
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
    """What is run. `kills` fall during the load; the last blow kills all once more."""

    orders: int
    seed: int
    kills: int = 48
    pauses: int = 16
    concurrency: int = 64
    shares: Mapping[Fault, float] = field(default_factory=lambda: SHARES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a run."""

    options: Options
    accounts: tuple[Account, ...]
    evidence: Evidence
    findings: tuple[Finding, ...]
    faults: Counter[Fault]
    kills: Mapping[str, int]
    pauses: Mapping[str, int]
    load_seconds: float
    settled_seconds: float | None
    """From the last blow on; None: not within SETTLED_SECONDS_MAX."""

    def in_state(self, state: str) -> int:
        """How many processes ended so."""
        return sum(it.state == state for it in self.evidence.processes)


async def run(options: Options, folder: Path, say: Callable[[str], None]) -> Result:
    """Runs it all in `folder`, which has to be empty, and ends what it started.

    Raises:
        WillNotRun: A service does not stay up.
    """
    fleet = Fleet(folder, seed=options.seed, shares=options.shares)
    try:
        await fleet.start()
        say("all serve")
        return await run_on(fleet, options, say)
    except ExceptionGroup as troubles:
        for trouble in troubles.exceptions:
            if isinstance(trouble, WillNotRun):
                raise trouble from None
        raise
    finally:
        await fleet.close()


async def run_on(fleet: Fleet, options: Options, say: Callable[[str], None]) -> Result:
    """Runs it all on a fleet that serves, and leaves it serving."""
    began = time.monotonic()
    callers = await _load(fleet, options, say)
    load_seconds = time.monotonic() - began
    say("the last blow: all at once")
    await asyncio.gather(*(it.serving() for it in fleet.replicas.values()))
    await asyncio.gather(*(it.kill() for it in fleet.replicas.values()))
    fleet.calm()
    struck_at = time.monotonic()
    settled_seconds = (
        time.monotonic() - struck_at if await settled(fleet, SETTLED_SECONDS_MAX) else None
    )
    await fleet.idle()
    say("the audit")
    evidence = await gather_evidence(fleet)
    findings = judge(evidence, callers.accounts)
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
        kills={it: sum(replica.kills for replica in fleet.of(it)) for it in SERVICES},
        pauses={it: sum(replica.pauses for replica in fleet.of(it)) for it in SERVICES},
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


async def _load(fleet: Fleet, options: Options, say: Callable[[str], None]) -> Callers:
    blows = draw_blows(
        options.seed,
        fleet.layout.names,
        orders=options.orders,
        kills=options.kills,
        pauses=options.pauses,
    )
    pace = Pace([it.after for it in blows], ahead=2 * options.concurrency)
    callers = Callers(fleet, pace, seed=options.seed)
    orders = (draw(options.seed, number) for number in range(options.orders))
    async with asyncio.TaskGroup() as parts:
        news = parts.create_task(_tell(pace, options, say))
        striking = parts.create_task(strike(blows, fleet.replicas, pace))
        await callers.run(orders, concurrency=options.concurrency)
        await striking
        news.cancel()
    return callers


async def _tell(pace: Pace, options: Options, say: Callable[[str], None]) -> None:
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
