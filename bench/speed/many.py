"""Very many in flight at slow participants: what each takes in memory, and how soon all go on.

Invariant: when memory is read every process is under way, with its first call outstanding at a
participant that holds it; none has ended. The kill comes while calls are answered again, slowly.
Must never: count a call that left before the kill as one that goes on after it.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bench.chaos.service import WillNotRun
from bench.speed.books import audited, completed, until_settled
from bench.speed.child import Child
from bench.speed.contenders import CONTENDERS, OURS_SQLITE
from bench.speed.gated import COUNT, HELD, NEXT, OPEN, SLOW, arrivals, is_now
from bench.speed.job import Job
from bench.speed.stage import MODULES, Stage
from bench.speed.usage import usage_of

PROCESSES: Final = 10_000
SETTLED_SECONDS_MAX: Final = 600.0
HELD_SECONDS_MAX: Final = 60.0
# The participants are slow for longer than an attempt may take by default.
SETTINGS: Final = {
    "OMS_ATTEMPT_TIMEOUT_SECONDS": "300",
    "OMS_PROCESS_DEADLINE_SECONDS": "1200",
    "OMS_OUTSTANDING_MAX": "20000",
    "OMS_IN_FLIGHT_MAX": "20000",
}
# From when the calls go through again, slowly, to the kill: between the first step and the last.
_KILLED_AFTER_SECONDS: Final = 8.0
# What the dead one had sent has arrived by then.
_QUIET_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.02
_KIB: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """What came of it."""

    processes: int
    accept_seconds: float
    memory_kib_idle: float
    memory_kib_full: float
    gone_on_seconds: float | None
    """From the start after the kill to the first call at a participant."""
    settled_seconds: float | None
    """From that start until nothing was under way any more."""
    completed: int
    audit: str
    """What `oms audit` had to say against it."""

    @property
    def kib_each(self) -> float:
        """Memory for each process in flight."""
        return (self.memory_kib_full - self.memory_kib_idle) / self.processes

    @property
    def failures(self) -> dict[str, int]:
        """What did not end as it should."""
        found = {}
        if self.completed != self.processes + 1:
            found["not COMPLETED"] = self.processes + 1 - self.completed
        if self.audit:
            found[f"oms audit: {self.audit}"] = 1
        return found


async def measure_many(say: Callable[[str], None], *, processes: int = PROCESSES) -> Many:
    """Does all of it, on a stage of its own.

    Raises:
        WillNotRun: A process does not come up, or ended by itself; an order was not accepted, or
            the first calls did not all arrive.
    """
    async with Stage.built(()) as stage:
        await stage.start_participants(gated=True)
        async with stage.orchestrators(CONTENDERS[OURS_SQLITE], SETTINGS) as (orchestrator,):
            # One to its end first, so that what is loaded once is not taken for theirs.
            await _accept(stage, orchestrator, work="process", calls=1)
            idle = usage_of([orchestrator.pid]).memory_bytes_now / _KIB
            _tell(stage, COUNT)
            await _gates(stage, HELD)
            accept_seconds = await _accept(stage, orchestrator, work="accept", calls=processes)
            await _all_held(stage, processes)
            full = usage_of([orchestrator.pid]).memory_bytes_now / _KIB
            say(f"{processes:,} accepted in {accept_seconds:.1f} s, {full - idle:,.0f} KiB more")
            await _gates(stage, SLOW)
            await asyncio.sleep(_KILLED_AFTER_SECONDS)
            gone_on = await _killed_and_gone_on(stage, orchestrator)
            say(f"killed and started again, the first went on after {gone_on or -1:.2f} s")
            began = time.monotonic()
            settled = await until_settled(orchestrator, SETTLED_SECONDS_MAX)
            settled_seconds = None if settled is None else time.monotonic() - began
            await _gates(stage, OPEN)
            say(f"settled after {settled_seconds or -1:.1f} s")
            return Many(
                processes=processes,
                accept_seconds=accept_seconds,
                memory_kib_idle=idle,
                memory_kib_full=full,
                gone_on_seconds=gone_on,
                settled_seconds=settled_seconds,
                completed=await completed(orchestrator),
                audit=await audited(stage, orchestrator),
            )


async def _accept(stage: Stage, orchestrator: Child, *, work: str, calls: int) -> float:
    report = await stage.load(
        Job(
            work=work,
            targets=[orchestrator.address],
            prefix=stage.new_prefix(),
            in_flight=64,
            calls=calls,
            warm_up_seconds=0,
            measured_seconds=0,
        )
    )
    if report.failures:
        raise WillNotRun(f"not accepted: {dict(report.failures)}\n{orchestrator.tail()}")
    return report.seconds


async def _all_held(stage: Stage, processes: int) -> None:
    """Waits until the first call of each is at the participant that holds it."""
    first = next(iter(MODULES.values()))
    began = time.monotonic()
    while (held := len(arrivals(first, stage.folder))) != processes:
        if time.monotonic() - began > HELD_SECONDS_MAX:
            raise WillNotRun(f"{held:,} first calls arrived, of {processes:,}")
        await asyncio.sleep(_LOOK_SECONDS)


async def _killed_and_gone_on(stage: Stage, orchestrator: Child) -> float | None:
    await orchestrator.stop(signal.SIGKILL)
    await asyncio.sleep(_QUIET_SECONDS)
    _tell(stage, COUNT)
    began = time.time()
    await orchestrator.respawn()
    await orchestrator.serving()
    while time.time() - began < SETTLED_SECONDS_MAX:
        first = [it for name in MODULES.values() for it in arrivals(name, stage.folder)[:1]]
        if first:
            return max(0.0, min(first) - began)
        await asyncio.sleep(_LOOK_SECONDS)
    return None


async def _gates(stage: Stage, state: str) -> None:
    """Has the gates go on to their next state. A call that comes before they have is slow still."""
    _tell(stage, NEXT)
    began = time.monotonic()
    while not all(is_now(name, stage.folder, state) for name in MODULES.values()):
        if time.monotonic() - began > HELD_SECONDS_MAX:
            raise WillNotRun(f"the gates are not {state}")
        await asyncio.sleep(_LOOK_SECONDS)


def _tell(stage: Stage, number: signal.Signals) -> None:
    for it in stage.participants.values():
        it.tell(number)


def many_table(many: Many) -> Iterator[str]:
    """What was measured."""
    yield f"{many.processes:,} in flight in one orchestrator on SQLite, participants slow or silent"
    yield _row("accepted in", f"{many.accept_seconds:.1f} s")
    yield _row("memory of the orchestrator, idle", f"{many.memory_kib_idle / _KIB:.0f} MiB")
    yield _row("with all of them in flight", f"{many.memory_kib_full / _KIB:.0f} MiB")
    yield _row("for each", f"{many.kib_each:.1f} KiB")
    yield _row("killed; from the start to the first call", _seconds(many.gone_on_seconds))
    yield _row("from the start until all had ended", _seconds(many.settled_seconds))
    yield _row("COMPLETED, with one before them", f"{many.completed:,}")
    yield _row("oms audit", many.audit or "clean")


def _row(name: str, value: str) -> str:
    return f"  {name:<44}{value:>14}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"
