"""The participants alone, against the same RPC answered without doing anything.

Invariant: each RPC is measured on a server that nobody else calls, the three answers to it one
right after the other in every round. Must never: call what is not in the contract.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.speed.child import Child
from bench.speed.compare import Pace
from bench.speed.figures import Spread
from bench.speed.job import Job
from bench.speed.stage import MODULES, Stage

IN_FLIGHT: Final = 64
DURABLE: Final = "durable"
NOOP: Final = "no-op"
NOOP_OURS: Final = "no-op in our server"
SERVERS: Final = (NOOP, NOOP_OURS, DURABLE)
WORKS: Final[Mapping[str, str]] = {
    "create_order": "order",
    "create_payment": "payment",
    "create_delivery": "delivery",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcSlice:
    """One RPC on one server in one round."""

    work: str
    server: str
    round: int
    per_second: float
    cpu_ms: float
    """Of the server, for each call."""
    p50_ms: float
    p99_ms: float
    failures: Mapping[str, int]


async def measure_participants(
    stage: Stage, pace: Pace, say: Callable[[str], None], *, works: Sequence[str] = tuple(WORKS)
) -> tuple[RpcSlice, ...]:
    """Measures all of it, the three participants in turn.

    Raises:
        WillNotRun: A process does not come up, or ended by itself.
    """
    await stage.start_participants()
    assert set(MODULES) == set(WORKS.values()), "each participant has an RPC"
    noops = {NOOP: _noop(stage, "plain"), NOOP_OURS: _noop(stage, "ours")}
    found: list[RpcSlice] = []
    try:
        for it in noops.values():
            await it.start({"OMS_NOOP_LISTEN": it.address})
        for number in range(1, pace.rounds + 1):
            for work in works:
                servers = {**noops, DURABLE: stage.participants[WORKS[work]]}
                for name in SERVERS:
                    found.append(
                        await _measure(
                            stage, pace, work=work, name=name, server=servers[name], number=number
                        )
                    )
                    say(f"round {number}/{pace.rounds}, {work}, {name}: {found[-1].cpu_ms:.3f} ms")
        for it in noops.values():
            await it.stop()
    finally:
        for it in noops.values():
            await it.close()
    return tuple(found)


def _noop(stage: Stage, kind: str) -> Child:
    return stage.child(f"noop-{kind}", "bench.speed.noop", arguments=(kind,))


async def _measure(
    stage: Stage, pace: Pace, *, work: str, name: str, server: Child, number: int
) -> RpcSlice:
    report = await stage.load(
        Job(
            work=work,
            targets=[server.address],
            prefix=stage.new_prefix(),
            in_flight=IN_FLIGHT,
            warm_up_seconds=pace.warm_up_seconds,
            measured_seconds=pace.measured_seconds,
            watched={"server": [server.pid]},
        )
    )
    return RpcSlice(
        work=work,
        server=name,
        round=number,
        per_second=report.calls / report.seconds,
        cpu_ms=1_000 * report.cpu_seconds["server"] / max(1, report.calls),
        p50_ms=report.p50_ms,
        p99_ms=report.p99_ms,
        failures=report.failures,
    )


def cpu_ratio(slices: Sequence[RpcSlice], *, work: str, against: str) -> Spread | None:
    """How much more CPU the durable one takes than another, round by round."""
    below = {it.round: it.cpu_ms for it in slices if (it.work, it.server) == (work, against)}
    return Spread.of(
        it.cpu_ms / below[it.round]
        for it in slices
        if (it.work, it.server) == (work, DURABLE) and below.get(it.round)
    )


def participants_table(slices: Sequence[RpcSlice]) -> Iterator[str]:
    """What was measured, a line for each RPC on each server."""
    yield f"participants alone, {IN_FLIGHT} in flight (medians of the rounds)"
    yield (
        f"  {'RPC':<18}{'server':<22}{'calls/s':>9}{'CPU ms':>9}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'CPU x no-op':>20}"
    )
    for work in dict.fromkeys(it.work for it in slices):
        for server in SERVERS:
            of = [it for it in slices if (it.work, it.server) == (work, server)]
            figures = [
                statistics.median(getattr(it, name) for it in of)
                for name in ("per_second", "cpu_ms", "p50_ms", "p99_ms")
            ]
            ratio = cpu_ratio(slices, work=work, against=NOOP) if server == DURABLE else None
            yield (
                f"  {work:<18}{server:<22}{figures[0]:>9.0f}{figures[1]:>9.3f}"
                f"{figures[2]:>9.2f}{figures[3]:>9.2f}{_spread(ratio):>20}"
            )


def _spread(it: Spread | None) -> str:
    return "" if it is None else f"{it.median:.2f} ({it.least:.2f}..{it.most:.2f})"
